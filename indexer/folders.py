"""Folders that are as a run left them: one digest each, so that their files need not be read back.

The digest of a folder is over the names and stamps of the media files in it. It is kept only when
the catalogue had every one of them with that very stamp, and any change to the catalogue's files
drops them all (a trigger in its schema). So an equal digest says that there is nothing to do.
"""

import os
import sqlite3
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

_SEPARATOR = os.fsencode(os.sep)
_WORD = 2**64

FOLDERS_SCHEMA = """
CREATE TABLE folders (
    root BLOB NOT NULL, folder BLOB NOT NULL,
    digest BLOB NOT NULL, files INTEGER NOT NULL, failed INTEGER NOT NULL,
    PRIMARY KEY (root, folder)
) WITHOUT ROWID;
CREATE TRIGGER file_entered AFTER INSERT ON files BEGIN DELETE FROM folders; END;
CREATE TRIGGER file_changed AFTER UPDATE ON files BEGIN DELETE FROM folders; END;
CREATE TRIGGER file_forgotten AFTER DELETE ON files BEGIN DELETE FROM folders; END;
"""


class FolderMark(NamedTuple):
    """What a folder was like; an empty digest equals none, so the folder is looked into."""

    digest: bytes = b""
    files: int = 0
    failed: int = 0


Marks = Mapping[bytes, FolderMark]


def digest_of(names: Sequence[str], numbers: Sequence[int]) -> bytes:
    """A digest over names and the numbers of their stamps, in the order in which they are given.

    A file system lists a folder that stays as it is in one order; if it doesn't, time is lost.
    """
    try:
        packed = array("q", numbers)
    except OverflowError:  # an inode or a date beyond 63 bits
        packed = array("Q", [number % _WORD for number in numbers])
    from hashlib import blake2b  # brings OpenSSL along, which who only searches does without

    hasher = blake2b(os.fsencode("\0".join(names)), digest_size=16)
    hasher.update(b"\0\0")
    hasher.update(packed)
    return hasher.digest()


def folder_of(path: bytes) -> bytes:
    """The folder that a path lies in."""
    return path.rpartition(_SEPARATOR)[0] or _SEPARATOR


class FolderTable:
    """The marks, root by root. What writes belongs to the writer of the catalogue."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def under(self, roots: Iterable[bytes]) -> dict[bytes, dict[bytes, FolderMark]]:
        """The marks of those roots that have any. They name every folder that holds known files."""
        found: dict[bytes, dict[bytes, FolderMark]] = {}
        query = "SELECT folder, digest, files, failed FROM folders WHERE root = ?"
        for root in roots:
            rows = self._connection.execute(query, (root,))
            marks = {
                folder: FolderMark(digest, files, failed) for folder, digest, files, failed in rows
            }
            if marks:
                found[root] = marks
        return found

    def replace(self, root: bytes, marks: Marks) -> None:
        """Enter the marks of a root in place of those before; to be called in a transaction."""
        self._connection.execute("DELETE FROM folders WHERE root = ?", (root,))
        rows = [(root, folder, *mark) for folder, mark in marks.items()]
        self._connection.executemany("INSERT INTO folders VALUES (?, ?, ?, ?, ?)", rows)
