"""The catalogue's file: its tables, how earlier formats are taken over, and how it is opened."""

import sqlite3
from pathlib import Path
from typing import cast

from omni_encoder import CollectionError

from .folders import FOLDERS_SCHEMA
from .sound_sqlite import SoundConnection, damaged, open_sound
from .sums import SUMS_SCHEMA

SCHEMA_VERSION = 3

SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE files (
    path BLOB PRIMARY KEY,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
    sidecar_size INTEGER NOT NULL, sidecar_mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ok', 'failed')),
    content TEXT, modality TEXT, reason TEXT, message TEXT,
    CHECK ((state = 'ok') = (content IS NOT NULL AND modality IS NOT NULL)),
    CHECK ((state = 'failed') = (reason IS NOT NULL AND message IS NOT NULL))
) WITHOUT ROWID;
CREATE INDEX files_by_content ON files (content, modality);
CREATE TABLE contents (
    content TEXT NOT NULL, modality TEXT NOT NULL,
    parts INTEGER NOT NULL, partial INTEGER NOT NULL,
    PRIMARY KEY (content, modality)
) WITHOUT ROWID;
CREATE TABLE suspects (
    content TEXT NOT NULL, modality TEXT NOT NULL, PRIMARY KEY (content, modality)
) WITHOUT ROWID;
CREATE TABLE passed (path BLOB PRIMARY KEY, reason TEXT NOT NULL) WITHOUT ROWID;
{FOLDERS_SCHEMA}
{SUMS_SCHEMA}
"""

_FROM_1_TO_2 = """
BEGIN;
ALTER TABLE files ADD COLUMN ctime_ns INTEGER NOT NULL DEFAULT 0;
CREATE TABLE passed (path BLOB PRIMARY KEY, reason TEXT NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 2;
COMMIT;
"""
_FROM_2_TO_3 = f"BEGIN; {FOLDERS_SCHEMA} {SUMS_SCHEMA} PRAGMA user_version = 3; COMMIT;"


def connect(path: Path, uri: str) -> SoundConnection | None:
    """Open a catalogue; None if it has not been filled yet."""
    connection: SoundConnection | None = None
    try:
        connection = open_sound(uri, path)
        version = format_of(connection)
    except (CollectionError, sqlite3.DatabaseError) as error:
        if connection is not None:
            connection.close()
        raise (error if isinstance(error, CollectionError) else damaged(path, error)) from error
    if version in (1, 2, SCHEMA_VERSION):
        return connection
    connection.close()
    if version == 0:
        return None
    raise CollectionError(
        f"{path} has format {version}, this omnidex reads {SCHEMA_VERSION}",
        hint="use the version of omnidex that wrote it",
    )


def make_or_update(connection: sqlite3.Connection) -> None:
    """Fill a new catalogue, or take over one of an earlier format."""
    version = format_of(connection)
    if version == 0:
        # Readers are not kept waiting by a writer, nor it by them.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    if version == 1:
        connection.executescript(_FROM_1_TO_2)
    if version in (1, 2):
        connection.executescript(_FROM_2_TO_3)
    connection.execute("PRAGMA synchronous = FULL")


def format_of(connection: sqlite3.Connection) -> int:
    """The format of a catalogue; 0 if it has not been filled yet."""
    found = cast("tuple[int]", connection.execute("PRAGMA user_version").fetchone())
    return found[0]
