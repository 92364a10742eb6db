"""One writer at a time: an operating-system lock on a file that also names its holder.

The system drops the lock when its holder dies, however it dies, so a killed ingest never blocks
the next one. Readers don't take it.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from omni_encoder import CollectionError

LOCK_NAME = "lock"
FETCH_NAME = "lock.fetch"
MIRROR_NAME = "lock.mirror"
_WAIT_S = 120

if sys.platform == "win32":
    import msvcrt

    def _acquire(descriptor: int) -> None:
        # Far beyond the text, because Windows also keeps others from reading a locked range.
        os.lseek(descriptor, 2**30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _acquire(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


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
            f"can't write to the collection in {directory}: {error.strerror}",
            hint="searching works; to index, make the folder writable or name another with -c",
        ) from error
    try:
        try:
            _acquire(descriptor)
        except OSError as error:
            raise CollectionError(
                f"the collection in {directory} is being written by {_holder(path)}",
                hint="wait until it has finished; reading and searching are possible meanwhile",
            ) from error
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "command": command}
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(holder).encode())
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


@contextmanager
def brief_lock(path: Path, *, wait: bool = True) -> Generator[bool, None, None]:
    """Hold a lock that is not for long, such as one for a copy.

    Args:
        path: The file to lock, which is made if it isn't there.
        wait: Whether to wait for another holder.

    Yields:
        Whether it is held; always, if `wait`.

    Raises:
        CollectionError: It can't be had, even after minutes.
    """
    deadline = time.monotonic() + _WAIT_S
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CollectionError(f"can't write to {path}: {error.strerror}") from error
    try:
        while not (held := _try(descriptor)) and wait:
            if time.monotonic() > deadline:
                raise CollectionError(f"another process has held {path} for minutes")
            time.sleep(0.01)
        yield held
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        _acquire(descriptor)
    except OSError:
        return False
    return True


def _holder(path: Path) -> str:
    try:
        found = cast("object", json.loads(path.read_text()))
    except (OSError, ValueError):
        return "another process"
    if not isinstance(found, dict):
        return "another process"
    holder = cast("dict[str, object]", found)
    return f"process {holder.get('pid')} on {holder.get('host')} ({holder.get('command')})"
