"""The catalogue's rows of files: what is asked of SQLite for them, and what they stand for."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from omni_encoder import Modality

from .entries import ContentKey, FileRow, FileStamp, Location

_MODALITIES = {str(modality): modality for modality in Modality}  # a third of Modality()'s time

# By name: a catalogue that was taken over from format 1 has its columns in another order.
INSERT_FILE = (
    "INSERT OR REPLACE INTO files (path, size, mtime_ns, inode, sidecar_size, sidecar_mtime_ns,"
    " ctime_ns, state, content, modality, reason, message)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

FILES = (
    "SELECT path, size, mtime_ns, inode, sidecar_size, sidecar_mtime_ns, ctime_ns,"
    " content, modality, reason, message FROM files WHERE path = ? OR (path >= ? AND path < ?)"
)
FILES_1 = FILES.replace("ctime_ns", "0")
# Not those in the folders below: no separator follows the folder's own.
FILES_IN = FILES.replace("path = ? OR", "instr(substr(path, ?), ?) = 0 AND")


def below(root: bytes) -> tuple[bytes, bytes]:
    """The range of paths under a root: from `root/` up to, not including, `root0`."""
    separator = os.fsencode(os.sep)
    first = root if root.endswith(separator) else root + separator
    return first, first[:-1] + bytes([first[-1] + 1])


def file_rows(found: Iterable[Sequence[object]]) -> Iterator[tuple[bytes, FileRow]]:
    """The files that rows of `FILES` stand for, each with its path."""
    rows = cast("Iterable[tuple[bytes, int, int, int, int, int, int, str, str, str, str]]", found)
    for path, *stamp, content, modality, reason, message in rows:
        key = ContentKey(content, _MODALITIES[modality]) if content else None
        yield path, FileRow(path, FileStamp(*stamp), key, reason, message)


def to_columns(row: FileRow) -> tuple[object, ...]:
    """A file as `INSERT_FILE` takes it."""
    stamp = row.stamp
    return (
        row.path,
        stamp.size,
        stamp.mtime_ns,
        stamp.inode,
        stamp.sidecar_size,
        stamp.sidecar_mtime_ns,
        stamp.ctime_ns,
        "ok" if row.key else "failed",
        *(row.key or (None, None)),
        row.reason,
        row.message,
    )


def location(path: bytes, size: int, mtime_ns: int) -> Location:
    """The place that a row stands for; a path that isn't bytes is no path."""
    return Location(bytes(memoryview(path)), int(size), int(mtime_ns))
