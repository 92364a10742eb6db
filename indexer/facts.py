"""What is known of the items of one segment, in an SQLite file that is written once.

So a query reads the few rows it shows, and a filter runs over all of them, without Lance.
"""

import sqlite3
import weakref
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from omni_encoder import Modality, Span
from omni_encoder.arrays import Int32, Int64, UInt32

from .cache_files import CacheDamaged
from .catalogue import CATALOGUE_NAME, ContentKey
from .rows import Facts
from .sound_sqlite import catalogue_read
from .where import FACTS, Condition, declare

if TYPE_CHECKING:
    from .words import Unit

_AT_ONCE = 500
_SAID = ("caption", "title", "text")
_FACTS = ", ".join(FACTS)
_AT = f"SELECT {_FACTS} FROM items WHERE position = ?"  # noqa: S608
_LOCATED = (
    "(SELECT items.*, CAST(files.path AS TEXT) AS path, files.path AS raw_path,"
    " files.size AS bytes, files.mtime_ns / 1e9 AS mtime FROM items LEFT JOIN located.files ON"
    " files.content = items.content AND files.modality = items.modality) AS items"
)


_Text = str | None
_Whole = int | None
_Real = float | None
_Values = tuple[str, str, str, int, _Real, _Real, str, _Text, _Text, _Text, _Whole, _Whole, _Real]
"""What `FACTS` are."""


def write_facts(rows: Iterable[tuple[object, ...]], path: Path) -> None:
    """Write the `FACTS` of all items, in the order of their positions."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        run = connection.execute
        run("PRAGMA journal_mode = OFF")  # a file that isn't whole is never named
        run("PRAGMA synchronous = OFF")
        run("BEGIN")
        run(f"CREATE TABLE items (position INTEGER PRIMARY KEY, {declare(FACTS)})")
        holes = ", ".join("?" * len(FACTS))
        connection.executemany(
            f"INSERT INTO items VALUES (?, {holes})",  # noqa: S608 - question marks only
            ((position, *values) for position, values in enumerate(rows)),
        )
        run("CREATE INDEX items_by_content ON items (content)")
        _index_words(connection)
        run("COMMIT")
    finally:
        connection.close()


def checksum(values: Sequence[object]) -> int:
    """What `FactsFile.at` compares, of the `FACTS` of one item as they are read."""
    return zlib.crc32(repr(tuple(values)).encode())


def _index_words(connection: sqlite3.Connection) -> None:
    """Index what is said about the items, and how many words that is for each."""
    from .words import create, folded, lengths

    run = connection.execute
    create(connection, *_SAID)
    connection.create_function("folded", 1, folded, deterministic=True)
    said, listed = f"coalesce({', '.join(_SAID)})", ", ".join(_SAID)
    spaced = ", ".join(f"folded(coalesce({column}, ''))" for column in _SAID)
    run(
        f"INSERT INTO words (rowid, {listed}) SELECT position, {spaced} FROM items"  # noqa: S608
        f" WHERE {said} IS NOT NULL"
    )
    run("INSERT INTO words (words) VALUES ('optimize')")
    (count,) = cast("tuple[int]", run("SELECT count(*) FROM items").fetchone())
    run("CREATE TABLE lengths (words BLOB)")
    run("INSERT INTO lengths VALUES (?)", (lengths(connection, count).astype("<i4").tobytes(),))


class FactsFile:
    """The facts of one segment's items, by position."""

    def __init__(
        self, path: Path, directory: Path, sums: UInt32[np.ndarray, " rows"] | None = None
    ) -> None:
        """Open a file.

        Args:
            path: The file, which never changes.
            directory: The collection's directory, where the catalogue lies.
            sums: The checksum of each item's facts; None trusts the file.
        """
        self._sums = sums
        # Whichever thread finds it unused closes it.
        self._connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?immutable=1",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        weakref.finalize(self, self._connection.close)
        self._catalogue = directory / CATALOGUE_NAME
        self._attached = False
        self._looking = False

    def all(self) -> Iterator[tuple[object, ...]]:
        """The `FACTS` of all items, in order.

        Raises:
            CacheDamaged: The file isn't what was written.
        """
        with _sound():
            yield from self._connection.execute(f"SELECT {_FACTS} FROM items ORDER BY position")  # noqa: S608

    def at(
        self, positions: Int64[np.ndarray, " chosen"], rows: Int64[np.ndarray, " chosen"]
    ) -> list[Facts]:
        """The facts at some positions, whose row numbers are given, in the same order.

        Raises:
            CacheDamaged: They aren't what was written.
        """
        return list(map(to_facts, cast("list[int]", rows.tolist()), self.values(positions)))

    def values(self, positions: Int64[np.ndarray, " chosen"]) -> list[tuple[object, ...]]:
        """The `FACTS` at some positions, in the same order.

        Raises:
            CacheDamaged: They aren't what was written.
        """
        found: list[tuple[object, ...]] = []
        with _sound():
            for position in cast("list[int]", positions.tolist()):
                # A statement that stays the same is prepared once.
                found += self._connection.execute(_AT, (position,)).fetchall() or [()]
        if self._sums is not None:
            sums = cast("list[int]", self._sums[positions].tolist())
            if sums != list(map(checksum, found)):
                raise CacheDamaged("what is known of an item has changed")
        return found

    def find(self, content_prefix: str) -> Int64[np.ndarray, " found"]:
        """The positions of the items whose content begins with some hexadecimal digits.

        Raises:
            CacheDamaged: The file isn't what was written.
        """
        with _sound():
            found = self._connection.execute(
                "SELECT position FROM items WHERE content >= ? AND content < ? ORDER BY position",
                (content_prefix, f"{content_prefix}g"),
            )
            return _positions(found.fetchall())

    @cached_property
    def lengths(self) -> Int32[np.ndarray, " items"]:
        """How many words are said about each item: its caption, title and text.

        Raises:
            CacheDamaged: The file isn't what was written.
        """
        with _sound():
            (stored,) = cast(
                "tuple[bytes]", self._connection.execute("SELECT words FROM lengths").fetchone()
            )
            return np.frombuffer(stored, "<i4").astype(np.int32)

    def occurrences(
        self, unit: "Unit"
    ) -> tuple[Int64[np.ndarray, " found"], Int64[np.ndarray, " found"]]:
        """The positions of the items about which a unit is said, ascending, and how often.

        Raises:
            CacheDamaged: The file isn't what was written.
        """
        from .words import look, occurrences  # a query without words has no need of it

        with _sound():
            if not self._looking:
                look(self._connection)
                self._looking = True
            return occurrences(self._connection, unit)

    def of_contents(self, contents: Sequence[str]) -> Int64[np.ndarray, " found"]:
        """The positions of the items of some contents, ascending."""
        found: list[tuple[object, ...]] = []
        for start in range(0, len(contents), _AT_ONCE):
            listed = contents[start : start + _AT_ONCE]
            holes = ", ".join("?" * len(listed))
            with _sound():
                found += self._connection.execute(
                    f"SELECT position FROM items WHERE content IN ({holes})",  # noqa: S608
                    listed,
                )
        return np.sort(_positions(found))

    def groups(
        self, positions: Int64[np.ndarray, " chosen"], *, apart: str | None
    ) -> dict[int, str]:
        """What items at some positions are one hit by: their content, or else their id.

        Args:
            positions: Which items.
            apart: Items of this media type are hits of their own; None stands for all items.
        """
        found: dict[int, str] = {}
        wanted = cast("list[int]", positions.tolist())
        for start in range(0, len(wanted), _AT_ONCE):
            listed = ", ".join(map(str, wanted[start : start + _AT_ONCE]))
            with _sound():
                rows = self._connection.execute(
                    "SELECT position, iif(mime = coalesce(?, mime), id, content) FROM items"  # noqa: S608
                    f" WHERE position IN ({listed})",
                    (apart,),
                )
                found.update(rows.fetchall())
        return found

    def positions(self, condition: Condition) -> Int64[np.ndarray, " chosen"]:
        """Which items a condition holds for, each once, ascending.

        Raises:
            QueryError: The condition can't be evaluated.
        """
        with catalogue_read(self._catalogue) if condition.about_paths else _sound():
            source = self._located() if condition.about_paths else "items"
            sql = f"SELECT position FROM {source} WHERE ({condition.where}\n)"  # noqa: S608 - checked
            return np.unique(_positions(condition.run(self._connection, sql)))

    def paths(
        self, condition: Condition, positions: Int64[np.ndarray, " chosen"]
    ) -> Mapping[int, set[bytes]]:
        """For which paths of some items a condition holds.

        Raises:
            QueryError: The condition can't be evaluated.
        """
        paths: dict[int, set[bytes]] = {}
        wanted = cast("list[int]", positions.tolist())
        for start in range(0, len(wanted), _AT_ONCE):
            listed = ", ".join(map(str, wanted[start : start + _AT_ONCE]))
            sql = (
                f"SELECT position, raw_path FROM {self._located()}"  # noqa: S608 - checked
                f" WHERE position IN ({listed}) AND ({condition.where}\n)"
            )
            with catalogue_read(self._catalogue):
                found = condition.run(self._connection, sql)
            for position, path in found:
                if isinstance(path, bytes):
                    paths.setdefault(cast("int", position), set()).add(path)
        return paths

    def _located(self) -> str:
        """The items joined with the files that hold them, as the catalogue has them now."""
        if not self._attached:
            # Without a catalogue no path is known of any item.
            source = ":memory:"
            if self._catalogue.exists():
                source = f"{self._catalogue.absolute().as_uri()}?mode=ro"
            try:
                self._attach(source)
            except sqlite3.OperationalError:  # the folder can't be written to
                self._attach(source.replace("mode=ro", "immutable=1"))
            self._attached = self._catalogue.exists()
        return _LOCATED

    def _attach(self, source: str) -> None:
        run = self._connection.execute
        if ("located",) in {(name,) for _, name, _ in run("PRAGMA database_list")}:
            run("DETACH located")
        run("ATTACH ? AS located", (source,))
        if source == ":memory:":
            run("CREATE TABLE located.files (content, modality, path, size, mtime_ns)")
        run("SELECT content FROM located.files LIMIT 1").fetchall()


@contextmanager
def _sound() -> Generator[None, None, None]:
    """Whatever SQLite says of a file that was written whole means that the file has changed."""
    try:
        yield
    except sqlite3.Error as error:
        raise CacheDamaged(str(error)) from error


def to_facts(row: int, values: Sequence[object]) -> Facts:
    """Name the `FACTS` of one item."""
    item, content, kind, part, start, end, mime, title, caption, text, width, height, seconds = (
        cast("_Values", values)
    )
    return Facts(
        row=row,
        id=item,
        key=ContentKey(content, Modality(kind)),
        part=part,
        span=None if start is None else Span(start, cast("float", end)),
        mime=mime,
        title=title,
        caption=caption,
        text=text,
        width=width,
        height=height,
        duration=seconds,
    )


def _positions(found: Sequence[tuple[object, ...]]) -> Int64[np.ndarray, " found"]:
    return np.array([row[0] for row in found], dtype=np.int64)
