"""What the system says of a file, as numbers that tell whether it has changed."""

import os
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from .entries import FileStamp

_SIGNED_63 = 2**63 - 1  # SQLite's integers; some file systems use inode numbers beyond


@contextmanager
def listed(folder: str) -> Generator[Sequence[os.DirEntry[str]], None, None]:
    """The entries of a folder, to be looked at before it is closed.

    The system is asked for them by name alone, not by path, which takes a tenth less time; so what
    `path` says of them is the name too.

    Raises:
        OSError: It can't be listed.
    """
    if os.scandir not in os.supports_fd:  # Windows
        with os.scandir(folder) as listing:
            yield list(listing)
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.scandir(descriptor) as listing:
            entries = list(listing)
        yield entries
    finally:
        os.close(descriptor)


def regular(status: os.stat_result) -> os.stat_result:
    """The status of a file, if it is a regular one.

    Raises:
        OSError: It is something else.
    """
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "not a regular file")
    return status


def make_stamp(status: os.stat_result, beside: os.stat_result | None) -> FileStamp:
    """The stamp of a file and of its caption, if there is one.

    Raises:
        OSError: It is no regular file.
    """
    regular(status)
    return FileStamp(
        size=status.st_size,
        mtime_ns=_signed(status.st_mtime_ns),
        inode=status.st_ino & _SIGNED_63,
        sidecar_size=beside.st_size if beside else -1,
        sidecar_mtime_ns=_signed(beside.st_mtime_ns) if beside else -1,
        ctime_ns=_signed(status.st_ctime_ns),
    )


def _signed(nanoseconds: int) -> int:
    if -_SIGNED_63 <= nanoseconds <= _SIGNED_63:
        return nanoseconds
    return _SIGNED_63 if nanoseconds > 0 else -_SIGNED_63
