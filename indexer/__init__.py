"""Collections on disk: what brings media in, and what finds them again.

A name's module is imported when the name is asked for: a query needs little of what is here.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .collection import Collection
    from .duplicates import Copy, DuplicateOptions, Group, Likeness, duplicates
    from .ingest import ingest
    from .plan import Action, Plan, Step, passed_over, plan
    from .selection import Passed, Selection
    from .types import (
        CacheReport,
        Engine,
        IngestOptions,
        IngestReport,
        Merge,
        Nearest,
        Partition,
        Phase,
        Problem,
        Progress,
        Record,
        Removal,
        Restored,
        SearchMode,
        Version,
    )
    from .watch import WatchOptions, watch
    from .where import FileFilter

__all__ = [
    "Action",
    "CacheReport",
    "Collection",
    "Copy",
    "DuplicateOptions",
    "Engine",
    "FileFilter",
    "Group",
    "IngestOptions",
    "IngestReport",
    "Likeness",
    "Merge",
    "Nearest",
    "Partition",
    "Passed",
    "Phase",
    "Plan",
    "Problem",
    "Progress",
    "Record",
    "Removal",
    "Restored",
    "SearchMode",
    "Selection",
    "Step",
    "Version",
    "WatchOptions",
    "duplicates",
    "ingest",
    "passed_over",
    "plan",
    "watch",
]

_HOMES = {
    "collection": ("Collection",),
    "duplicates": ("Copy", "DuplicateOptions", "Group", "Likeness", "duplicates"),
    "ingest": ("ingest",),
    "plan": ("Action", "Plan", "Step", "passed_over", "plan"),
    "selection": ("Passed", "Selection"),
    "watch": ("WatchOptions", "watch"),
    "where": ("FileFilter",),
}
"""Which module has which names; `types` has the others."""
_HOME = {name: home for home, names in _HOMES.items() for name in names}


class _Package(ModuleType):
    """This package, which imports what is asked for."""

    def __getattr__(self, name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found: object = getattr(import_module(f".{_HOME.get(name, 'types')}", __name__), name)
        setattr(self, name, found)
        return found

    def __setattr__(self, name: str, value: object) -> None:
        # Python names a module here when it has been imported; `ingest` is its function, though.
        if isinstance(value, ModuleType) and name in _HOMES.get(name, ()):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
