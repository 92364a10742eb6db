"""One writer at a time: an operating-system lock on a file that also names its holder.

The system drops the lock when its holder dies, however it dies, so a killed ingest never blocks
the next one. Readers don't take it.
"""

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from omni_encoder import CollectionError

from .file_lock import acquire
from .remote import shown

LOCK_NAME = "lock"


@contextmanager
def writer_lock(directory: Path, command: str) -> Generator[None, None, None]:
    """Hold the lock of a collection.

    Args:
        directory: The collection's directory, which exists.
        command: What the holder is doing, for the message that another process shows.

    Raises:
        CollectionError: Another process holds it, or the directory can't be written to.
    """
    path = directory / LOCK_NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CollectionError(
            f"can't write to the collection in {shown(directory)}: {error.strerror}",
            hint="searching works; to index, make the folder writable or name another with -c",
        ) from error
    try:
        try:
            acquire(descriptor)
        except OSError as error:
            raise CollectionError(
                f"the collection in {shown(directory)} is being written by {_holder(path)}",
                hint="wait until it has finished; reading and searching are possible meanwhile",
            ) from error
        from socket import gethostname  # readers do without

        holder = {"pid": os.getpid(), "host": gethostname(), "command": command}
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(holder).encode())
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _holder(path: Path) -> str:
    try:
        found = cast("object", json.loads(path.read_text()))
    except (OSError, ValueError):
        return "another process"
    if not isinstance(found, dict):
        return "another process"
    holder = cast("dict[str, object]", found)
    return f"process {holder.get('pid')} on {holder.get('host')} ({holder.get('command')})"
