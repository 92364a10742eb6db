"""Locks of the operating system on files, which it drops when their holder dies."""

import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from omni_encoder import CollectionError

_WAIT_S = 120

if sys.platform == "win32":
    import msvcrt

    def acquire(descriptor: int) -> None:
        """Lock an open file, or raise an OSError if somebody else has."""
        # Far beyond the text, because Windows also keeps others from reading a locked range.
        os.lseek(descriptor, 2**30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def acquire(descriptor: int) -> None:
        """Lock an open file, or raise an OSError if somebody else has."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


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
        acquire(descriptor)
    except OSError:
        return False
    return True
