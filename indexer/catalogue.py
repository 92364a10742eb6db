"""The catalogue: which paths hold which content. SQLite; rebuilt from Lance and the disk if lost.

Paths are kept as the bytes that the file system uses, so a name that isn't valid UTF-8 is as good
as any. The catalogue is never ahead of the vectors: a content is entered after its rows are in.
"""

import os
import sqlite3
import weakref
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from omni_encoder import Modality

from .catalogue_file import SCHEMA, connect, format_of, make_or_update
from .catalogue_rows import (
    FILES,
    FILES_1,
    FILES_IN,
    INSERT_FILE,
    below,
    file_rows,
    location,
    to_columns,
)
from .entries import ContentKey, ContentRow, FileRow, Location
from .folders import FolderMark, FolderTable, Marks, folder_of
from .sound_sqlite import SoundConnection, catalogue_read, open_sound
from .sums import Sums, read_sums, write_sums
from .types import Problem

CATALOGUE_NAME = "catalogue.sqlite"

_FEW_FOLDERS = 8

_SUSPECT = "INSERT OR IGNORE INTO suspects SELECT content, modality FROM files WHERE state = 'ok'"

# Of an item's paths; the same for every item of a content.
_LOCATIONS = "SELECT path, size, mtime_ns FROM files WHERE content = ? AND modality = ?"


class Catalogue:
    """The catalogue of a collection. Only a holder of the writer's lock may call what writes."""

    def __init__(self, connection: SoundConnection) -> None:
        self._connection = connection
        self._folders = FolderTable(connection)
        self._close = weakref.finalize(self, connection.close)

    @classmethod
    def open_to_read(cls, directory: Path) -> "Catalogue":
        """Open it for reading; if there is none, an empty one stands in.

        Raises:
            CollectionError: It is damaged.
        """
        path = directory / CATALOGUE_NAME
        if path.exists():
            # Write-ahead logging wants to write beside the file, unless told that nothing changes.
            mode = "mode=ro" if os.access(directory, os.W_OK) else "immutable=1"
            connection = connect(path, f"{path.absolute().as_uri()}?{mode}")
            if connection is not None:
                return cls(connection)
        connection = open_sound(":memory:")
        connection.executescript(SCHEMA)
        return cls(connection)

    @classmethod
    def open_to_write(cls, directory: Path) -> "Catalogue":
        """Open it for writing, and make it if there is none; a new one isn't clean.

        Raises:
            CollectionError: It is damaged.
        """
        path = directory / CATALOGUE_NAME
        uri = f"{path.absolute().as_uri()}?mode=rwc"
        connection = connect(path, uri) or open_sound(uri, path)
        make_or_update(connection)
        return cls(connection)

    def close(self) -> None:
        """Close the file."""
        self._close()

    def fresh(self) -> bool:
        """Whether nothing was ever recorded here: it was just made, or stands in for a lost one."""
        return _number(self._connection.execute("SELECT count(*) FROM meta")) == 0

    def clean(self) -> bool:
        """Whether the last writer finished: the table holds exactly what is written here."""
        sql = "SELECT count(*) FROM meta WHERE key = 'clean' AND value = 1"
        return _number(self._connection.execute(sql)) == 1

    def mark(self, *, clean: bool) -> None:
        """Record that a writer begins (not clean) or has finished (clean)."""
        with self._transaction() as run:
            run.execute("INSERT OR REPLACE INTO meta VALUES ('clean', ?)", (int(clean),))
            if clean:
                run.execute("DELETE FROM meta WHERE key = 'trusted'")

    def trust(self) -> None:
        """Until a writer has finished, contents that no file is known of are wanted ones."""
        with self._transaction() as run:
            run.execute("INSERT OR REPLACE INTO meta VALUES ('trusted', 1)")

    def _trusted(self) -> bool:
        sql = "SELECT count(*) FROM meta WHERE key = 'trusted'"
        return _number(self._connection.execute(sql)) == 1

    def files_under(self, roots: Iterable[bytes]) -> dict[bytes, FileRow]:
        """All known files that are, or lie under, one of the roots."""
        rows: dict[bytes, FileRow] = {}
        for root in roots:
            rows.update((row.path, row) for row in self.each_under(root))
            with catalogue_read(self._connection.path):
                b"".join(rows)  # a path that isn't bytes is no path
        return rows

    def each_under(self, root: bytes) -> Iterator[FileRow]:
        """All known files that are, or lie under, a root, one at a time; ended before any write."""
        # Who only reads may find a catalogue of format 1: then every file looks changed.
        query = FILES_1 if format_of(self._connection) == 1 else FILES
        found = self._connection.execute(query, (root, *below(root)))
        with catalogue_read(self._connection.path):
            for _, row in file_rows(found):
                yield row

    def files_in(self, folders: Collection[bytes], root: bytes) -> dict[bytes, FileRow]:
        """All known files that lie directly in one of some folders, which are under a root."""
        if len(folders) > _FEW_FOLDERS:
            found = self.files_under([root])
            return {path: row for path, row in found.items() if folder_of(path) in folders}
        rows: dict[bytes, FileRow] = {}
        for folder in folders:
            first, end = below(folder)
            values = (len(first) + 1, first[-1:], first, end)
            found = self._connection.execute(FILES_IN, values)
            with catalogue_read(self._connection.path):
                rows.update(file_rows(found))
        return rows

    def folders_under(self, roots: Iterable[bytes]) -> dict[bytes, dict[bytes, FolderMark]]:
        """See `FolderTable.under`."""
        return self._folders.under(roots)

    def mark_folders(self, root: bytes, marks: Marks) -> None:
        """Enter what the folders under a root are like; writes nothing if it is the same."""
        if self._folders.under([root]).get(root, {}) != marks:
            with self._transaction():
                self._folders.replace(root, marks)

    def sums(self, version_digest: str) -> Sums | None:
        """The sums of the vectors of one version of the table, if they are known."""
        return read_sums(self._connection, version_digest)

    def set_sums(self, version_digest: str, sums: Sums) -> None:
        """Enter the sums of the vectors of one version of the table, in place of any other."""
        with self._transaction() as run:
            write_sums(run, version_digest, sums)

    def __contains__(self, key: object) -> bool:
        """Whether all rows of a content are in the table."""
        if not isinstance(key, ContentKey):
            return False
        query = "SELECT 1 FROM contents WHERE content = ? AND modality = ?"
        return self._connection.execute(query, key).fetchone() is not None

    def holds_any(self) -> bool:
        """Whether there is any content at all."""
        return self._connection.execute("SELECT 1 FROM contents LIMIT 1").fetchone() is not None

    def contents(self) -> set[ContentKey]:
        """The contents whose rows are all in the table."""
        found = self._connection.execute("SELECT content, modality FROM contents")
        return self._keys(found)

    def record(self, files: Sequence[FileRow], contents: Sequence[ContentRow]) -> None:
        """Enter files, and contents whose rows have just been appended, in one transaction."""
        with self._transaction() as run:
            run.executemany(
                "INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?)",
                [(*row.key, row.parts, row.partial) for row in contents],
            )
            run.executemany(
                f"{_SUSPECT} AND path = ? AND (content, modality) IS NOT (?, ?)",
                [(row.path, *(row.key or (None, None))) for row in files],
            )
            run.executemany(
                INSERT_FILE,
                [to_columns(row) for row in files],
            )

    def forget(self, paths: Iterable[bytes]) -> None:
        """Drop paths; contents that they held become suspects."""
        chosen = [(path,) for path in paths]
        if not chosen:
            return
        with self._transaction() as run:
            run.executemany(f"{_SUSPECT} AND path = ?", chosen)
            run.executemany("DELETE FROM files WHERE path = ?", chosen)

    def forget_content(self, key: ContentKey) -> list[bytes]:
        """Drop all paths of a content, which becomes a suspect even if it had none."""
        paths = [row.path for row in self.locations(key)]
        with self._transaction() as run:
            run.execute("INSERT OR IGNORE INTO suspects VALUES (?, ?)", key)
            run.execute("DELETE FROM files WHERE content = ? AND modality = ?", key)
        return paths

    def has_suspects(self) -> bool:
        """Whether some content has lost a path since the last sweep."""
        return _number(self._connection.execute("SELECT count(*) FROM suspects")) > 0

    def orphans(self) -> list[ContentKey]:
        """Suspects that no path holds any more: their rows can be deleted."""
        found = self._connection.execute(
            "SELECT content, modality FROM suspects AS s WHERE NOT EXISTS"
            " (SELECT 1 FROM files WHERE content = s.content AND modality = s.modality)"
        )
        return sorted(self._keys(found))

    def items_without_files(self) -> int:
        """How many items there are that no path is known of: imported ones, or brought back."""
        return _number(
            self._connection.execute(
                "SELECT coalesce(sum(parts), 0) FROM contents AS c WHERE NOT EXISTS"
                " (SELECT 1 FROM files WHERE content = c.content AND modality = c.modality)"
            )
        )

    def acquit(self, orphans: Sequence[ContentKey]) -> None:
        """Strike off the orphans, whose rows have been deleted; no other suspect is left."""
        with self._transaction() as run:
            run.executemany("DELETE FROM contents WHERE content = ? AND modality = ?", orphans)
            run.execute("DELETE FROM suspects")

    def recover(self, complete: Sequence[ContentRow], *, keep: bool = False) -> None:
        """Take what the table really holds for the truth, after a writer was cut off.

        Files of contents that are not there are forgotten, so that they are read again. Contents
        that were not entered any more become suspects: their file may have gone meanwhile. If the
        catalogue itself was lost, they don't, for then no path is known of any content; nor if a
        restore or an import was cut off (`trust`), which bring back contents without files.

        Args:
            complete: What the table holds.
            keep: Not in any case, for the paths are known where another machine wrote.
        """
        keep = keep or self.fresh() or self._trusted()
        with self._transaction() as run:
            known = self._keys(run.execute("SELECT content, modality FROM contents"))
            run.execute("DELETE FROM contents")
            run.executemany(
                "INSERT INTO contents VALUES (?, ?, ?, ?)",
                [(*row.key, row.parts, row.partial) for row in complete],
            )
            if not keep:
                run.executemany(
                    "INSERT OR IGNORE INTO suspects VALUES (?, ?)",
                    [row.key for row in complete if row.key not in known],
                )
            run.execute(
                "DELETE FROM files WHERE state = 'ok' AND (content, modality) NOT IN"
                " (SELECT content, modality FROM contents)"
            )
            run.execute("INSERT OR REPLACE INTO meta VALUES ('clean', 0)")

    def counts(self) -> dict[Modality, int]:
        """How many items of each modality there are."""
        found = self._connection.execute(
            "SELECT modality, sum(parts) FROM contents GROUP BY modality ORDER BY modality"
        )
        with catalogue_read(self._connection.path):
            return {Modality(modality): int(parts) for modality, parts in found}

    def locations(self, key: ContentKey) -> list[Location]:
        """The files that hold a content, sorted by path."""
        found = self._connection.execute(f"{_LOCATIONS} ORDER BY 1", key)
        with catalogue_read(self._connection.path):
            return [location(*row) for row in found.fetchall()]

    def paths_of(self, key: ContentKey) -> set[bytes]:
        """The paths of the files that hold a content."""
        return {row.path for row in self.locations(key)}

    def all_locations(self) -> Iterator[tuple[ContentKey, Location]]:
        """Every file that has a content, and that content."""
        found = self._connection.execute(
            "SELECT content, modality, path, size, mtime_ns FROM files WHERE state = 'ok'"
        )
        with catalogue_read(self._connection.path):
            for content, modality, *place in found:
                yield ContentKey(str(content), Modality(modality)), location(*place)

    def changes(self) -> tuple[int, int]:
        """A value that is another one after any change, whoever made it."""
        return (
            _number(self._connection.execute("PRAGMA data_version")),
            self._connection.total_changes,
        )

    def partial_paths(self) -> set[bytes]:
        """The files that could be read only in part."""
        found = self._connection.execute(
            # The few contents first: SQLite would begin with the many files.
            "SELECT path FROM contents CROSS JOIN files USING (content, modality) WHERE partial"
        )
        return {path for (path,) in found}

    def problems(self) -> list[Problem]:
        """Files that failed, and files that could be read only in part; sorted by path."""
        found = self._connection.execute(
            "SELECT path, reason, message FROM files WHERE state = 'failed' UNION ALL"
            " SELECT path, 'partial', 'shorter than it says; what could be read is indexed'"
            " FROM files JOIN contents USING (content, modality) WHERE partial ORDER BY path"
        )
        with catalogue_read(self._connection.path):
            return [Problem(Path(os.fsdecode(path)), reason, text) for path, reason, text in found]

    def passed(self) -> list[tuple[bytes, str]]:
        """What the last scans passed over, and why; sorted by path."""
        if format_of(self._connection) == 1:
            return []
        found = self._connection.execute("SELECT path, reason FROM passed ORDER BY path")
        return cast("list[tuple[bytes, str]]", found.fetchall())

    def set_passed(self, roots: Sequence[bytes], passed: Mapping[bytes, str]) -> None:
        """Replace what is passed over under some roots; writes nothing if it is the same."""
        before: dict[bytes, str] = {}
        for root in roots:
            query = "SELECT path, reason FROM passed WHERE path = ? OR (path >= ? AND path < ?)"
            before.update(
                cast(
                    "list[tuple[bytes, str]]",
                    self._connection.execute(query, (root, *below(root))).fetchall(),
                )
            )
        gone = [(path,) for path in before.keys() - passed.keys()]
        new = sorted(passed.items() - before.items())
        if gone or new:
            with self._transaction() as run:
                run.executemany("DELETE FROM passed WHERE path = ?", gone)
                run.executemany("INSERT OR REPLACE INTO passed VALUES (?, ?)", new)

    def _keys(self, found: Iterable[tuple[str, str]]) -> set[ContentKey]:
        with catalogue_read(self._connection.path):
            return {ContentKey(str(content), Modality(modality)) for content, modality in found}

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection, None, None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            if self._connection.in_transaction:  # of a full disk, say, SQLite has gone back itself
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _number(cursor: sqlite3.Cursor) -> int:
    row = cast("tuple[int | None]", cursor.fetchone())
    return row[0] or 0
