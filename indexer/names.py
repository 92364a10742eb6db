"""An index of the words in file names, beside the cache: which contents have files of such names.

Files are renamed without the table knowing of it, so this follows the catalogue and not the table.
It is compared with the catalogue before it answers, and only what differs is written; a catalogue
whose files have not changed since isn't even read.
"""

import os
import sqlite3
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import cast

from omni_encoder import Modality

from .catalogue import CATALOGUE_NAME
from .entries import ContentKey
from .words import Unit, create, look, name_text, occurrences

NAME = "names.sqlite"
FORMAT = 1
BUSY_S = 10.0

_SETTLED_NS = 50_000_000
"""A change so shortly after another may leave no mark in a file's time stamp."""

_Stamp = tuple[tuple[int, int, int], ...]
"""Inode, size and mtime_ns of the catalogue's files that are there."""

_HELD = "SELECT path, content, modality FROM located.files WHERE state = 'ok'"
_KNOWN = "SELECT path, content, modality FROM names"


class NamesFile:
    """The words of the names of a collection's files."""

    def __init__(self, directory: Path, folder: Path) -> None:
        """Open nothing yet.

        Args:
            directory: The collection's directory.
            folder: Where the index lies; if nothing can be written there, it is kept in memory.
        """
        self._catalogue = directory / CATALOGUE_NAME
        self._path = folder / NAME
        self._opened: sqlite3.Connection | None = None
        self._stamp: _Stamp | None = None

    def contents(self, unit: Unit) -> list[ContentKey]:
        """The contents that a file holds whose name has a unit."""
        connection = self._refreshed()
        found: set[ContentKey] = set()
        documents, _ = occurrences(connection, unit)
        for document in documents.tolist():
            content, modality = cast(
                "tuple[str, str]",
                connection.execute(
                    "SELECT content, modality FROM names WHERE id = ?", (document,)
                ).fetchone(),
            )
            found.add(ContentKey(content, Modality(modality)))
        return sorted(found)

    def _refreshed(self) -> sqlite3.Connection:
        """The index, as new as the catalogue."""
        stamp = _stamp(self._catalogue)
        if self._opened is not None and stamp == self._stamp:
            return self._opened
        try:
            connection = self._opened or self._open(str(self._path))
            _update(connection, self._catalogue, stamp)
        except sqlite3.Error:  # damaged, or in a folder that can't be written to
            self._opened = None
            try:
                self._path.unlink(missing_ok=True)
                connection = self._open(str(self._path))
                _update(connection, self._catalogue, stamp)
            except (sqlite3.Error, OSError):
                connection = self._open(":memory:")
                _update(connection, self._catalogue, stamp)
        self._opened = connection
        self._stamp = stamp if _settled(stamp) else None
        return connection

    def _open(self, path: str) -> sqlite3.Connection:
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        source = path if path == ":memory:" else Path(path).absolute().as_uri()
        connection = sqlite3.connect(  # as a URI, so that what is attached may be one
            source, uri=True, isolation_level=None, timeout=BUSY_S, check_same_thread=False
        )
        weakref.finalize(self, connection.close)
        if connection.execute("PRAGMA user_version").fetchone() != (FORMAT,):
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute("PRAGMA user_version").fetchone() != (FORMAT,):
                connection.execute(
                    "CREATE TABLE names (id INTEGER PRIMARY KEY, path BLOB UNIQUE NOT NULL,"
                    " content TEXT NOT NULL, modality TEXT NOT NULL)"
                )
                create(connection, "name", keeps_text=True)
                connection.execute("CREATE TABLE stamps (stamp TEXT)")
                connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("COMMIT")
        look(connection)
        return connection


def _update(connection: sqlite3.Connection, catalogue: Path, stamp: _Stamp) -> None:
    """Bring the index up to the catalogue, which has a stamp of this kind."""
    # A stamp that may hide a change is never written.
    sure = repr(stamp) if _settled(stamp) else None
    (seen,) = connection.execute("SELECT max(stamp) FROM stamps").fetchone()
    if seen is not None and seen == sure:
        return
    _attach(connection, catalogue)
    try:
        run = connection.execute
        run("BEGIN IMMEDIATE")
        try:
            gone = run(
                f"SELECT id FROM names WHERE (path, content, modality) NOT IN ({_HELD})"  # noqa: S608
            ).fetchall()
            connection.executemany("DELETE FROM words WHERE rowid = ?", gone)
            connection.executemany("DELETE FROM names WHERE id = ?", gone)
            for row in run(f"{_HELD} EXCEPT {_KNOWN}").fetchall():
                number = run("INSERT INTO names VALUES (NULL, ?, ?, ?)", row).lastrowid
                text = name_text(cast("bytes", row[0]).decode("utf-8", "replace"))
                run("INSERT INTO words (rowid, name) VALUES (?, ?)", (number, text))
            run("DELETE FROM stamps")
            run("INSERT INTO stamps VALUES (?)", (sure,))
        except BaseException:
            run("ROLLBACK")
            raise
        run("COMMIT")
    finally:
        connection.execute("DETACH located")


def _attach(connection: sqlite3.Connection, catalogue: Path) -> None:
    """Let the catalogue be read; without one, no file is known."""
    run = connection.execute
    if catalogue.exists():
        mode = "mode=ro" if os.access(catalogue.parent, os.W_OK) else "immutable=1"
        run("ATTACH ? AS located", (f"{catalogue.absolute().as_uri()}?{mode}",))
        if run("SELECT 1 FROM located.sqlite_master WHERE name = 'files'").fetchone():
            return
        run("DETACH located")
    run("ATTACH ':memory:' AS located")
    run("CREATE TABLE located.files (path, content, modality, state)")


def _stamp(catalogue: Path) -> _Stamp:
    found: list[tuple[int, int, int]] = []
    for path in (catalogue, catalogue.with_name(f"{catalogue.name}-wal")):
        with suppress(OSError):
            status = path.stat()
            if not status.st_size:  # a log that a reader made, with nothing in it
                continue
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


def _settled(stamp: _Stamp) -> bool:
    """Whether any further change gives another stamp."""
    return all(time.time_ns() - changed > _SETTLED_NS for _, _, changed in stamp)
