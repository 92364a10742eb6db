"""lancedb without the client of its REST service, whose import takes longer than all the rest.

The client's package imports all it has, classes for every call of the service, built by pydantic.
lancedb needs its data models alone, so the package is entered without being run: its parts can be
imported, and whoever wants a name of the package itself makes it run then.
"""

import sys
from datetime import timedelta
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lancedb.db import DBConnection

CACHE_BYTES = 16 * 2**20
"""What Lance may keep of each kind: left to itself, it keeps what every version said of every
fragment, 400 MB after 800 appends."""

_CLIENT = "lance_namespace_urllib3_client"


def _enter_client() -> None:
    spec = None if _CLIENT in sys.modules else find_spec(_CLIENT)
    if spec is None or spec.loader is None:  # it has been imported, or lancedb does without it now
        return
    package, loader = module_from_spec(spec), spec.loader

    def run_it(name: str) -> object:
        package.__dict__.pop("__getattr__", None)
        loader.exec_module(package)
        return getattr(package, name)

    package.__dict__["__getattr__"] = run_it
    sys.modules[_CLIENT] = package


_enter_client()

from lancedb import Session, connect  # noqa: E402 - the client must be entered before
from lancedb.table import Table  # noqa: E402 - the same

__all__ = ["Table", "open_database"]


def open_database(place: Path | str, *, pinned: bool = False) -> "DBConnection":
    """The tables at a place, with little kept of them in memory.

    Args:
        place: A folder, or a URI.
        pinned: Whether a table stays as it is when it is opened, whatever is written to it
            meanwhile; otherwise every look at it sees what another process has just committed.
    """
    interval = None if pinned else timedelta(0)
    session = Session(CACHE_BYTES, CACHE_BYTES)
    return connect(place, read_consistency_interval=interval, session=session)
