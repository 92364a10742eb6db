"""Filters: an SQL expression over what is known of an item, evaluated before the search.

An expression is first checked against an empty table, in an SQLite database of its own that lets
it do nothing but read that table. An item with several paths is chosen if one of them fits.
"""

import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from omni_encoder import QueryError

from .sound_sqlite import is_damage

FACTS = {
    "id": "TEXT",
    "content": "TEXT",
    "modality": "TEXT",
    "part": "INTEGER",
    "start_s": "REAL",
    "end_s": "REAL",
    "mime": "TEXT",
    "title": "TEXT",
    "caption": "TEXT",
    "text": "TEXT",
    "width": "INTEGER",
    "height": "INTEGER",
    "duration": "REAL",
}
LOCATION = {"path": "TEXT", "bytes": "INTEGER", "mtime": "REAL"}
COLUMNS = (*FACTS, *LOCATION)

FUNCTIONS = frozenset(
    [
        *("abs", "coalesce", "glob", "ifnull", "iif", "instr", "length", "like", "lower", "ltrim"),
        *("max", "min", "nullif", "replace", "round", "rtrim", "substr", "substring", "trim"),
        *("upper", "date", "datetime", "strftime", "time", "unixepoch"),
    ]
)

_ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION)


@dataclass(frozen=True, slots=True)
class FileFilter:
    """Which files an item may come from; what is left empty doesn't matter.

    Attributes:
        folders: It lies in one of these folders, or below, or is one of these files.
        types: It is of one of these types: a suffix such as `jpg`, or a media type such as
            `image/png` or `image/*`.
        after: It was changed then or later, in seconds since 1970.
        before: It was changed earlier than that.
    """

    folders: tuple[Path, ...] = ()
    types: tuple[str, ...] = ()
    after: float | None = None
    before: float | None = None

    def expression(self) -> str | None:
        """The filter in SQL; None if everything passes."""
        terms: list[str] = []
        if self.folders:
            from .scan import absolute

            terms.append(_any(_below(os.fspath(absolute(folder))) for folder in self.folders))
        if self.types:
            terms.append(_any(map(_of_type, self.types)))
        if self.after is not None:
            terms.append(f"mtime >= {self.after!r}")
        if self.before is not None:
            terms.append(f"mtime < {self.before!r}")
        return " AND ".join(terms) or None


def combined(where: str | None, files: FileFilter) -> str | None:
    """An expression for what passes both filters; None if everything does.

    Raises:
        QueryError: `where` is not a valid expression over `COLUMNS`.
    """
    expression = files.expression()
    if where is None or expression is None:
        return where if expression is None else expression
    Condition(where)  # alone first: the message should show what was written, and no more
    return f"({where}\n) AND {expression}"


class Condition:
    """An expression that has been checked: it reads nothing but `COLUMNS`.

    Attributes:
        where: The expression.
        about_paths: Whether it is about what the catalogue knows, such as `path`.
    """

    def __init__(self, where: str) -> None:
        """Check an expression.

        Raises:
            QueryError: It isn't a valid expression over `COLUMNS`.
        """
        self.where = where
        read: set[str] = set()
        # With our brackets, whose line break ends a comment, and alone: what closes our bracket
        # and opens one of its own is no expression.
        for written in (f"{where}\n", f"({where}\n)"):
            with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
                empty.execute(f"CREATE TABLE items (position INTEGER, {declare(FACTS | LOCATION)})")
                read = _columns_read(empty)
                self.run(empty, f"SELECT 1 FROM items WHERE {written}")  # noqa: S608 - authorized
        self.about_paths = not read.isdisjoint(LOCATION)

    def run(self, connection: sqlite3.Connection, sql: str) -> list[tuple[object, ...]]:
        """What a statement finds that contains the expression.

        Raises:
            QueryError: It can't be run.
        """
        try:
            return connection.execute(sql).fetchall()
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            if is_damage(error):  # not the filter's fault
                raise
            raise QueryError(
                f"the filter {self.where!r} can't be used: {error}",
                hint="write it in SQL, such as modality = 'video' AND duration < 30,"
                f" with the columns {', '.join(COLUMNS)}",
            ) from error


def _any(terms: Iterable[str]) -> str:
    return f"({' OR '.join(terms)})"


def _below(path: str) -> str:
    """What holds for a path and for everything below it."""
    folder = path.rstrip(os.sep) + os.sep
    beyond = folder[:-1] + chr(ord(folder[-1]) + 1)
    exactly, first, last = map(path_text, (path, folder, beyond))
    return f"path = {exactly} OR (path >= {first} AND path < {last})"


def _of_type(name: str) -> str:
    if "/" in name:
        return f"mime GLOB {_quoted(name.lower())}"
    suffix = name.lower().removeprefix(".")
    escaped = suffix.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"path LIKE {_quoted(f'%.{escaped}')} ESCAPE '\\'"


def path_text(path: str) -> str:
    """A path in SQL, to be compared with the column `path`; it need not be UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return f"CAST(x'{os.fsencode(path).hex()}' AS TEXT)"
    return _quoted(path)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def declare(columns: Mapping[str, str]) -> str:
    """The columns of a table, as `CREATE TABLE` wants them."""
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())


def _columns_read(connection: sqlite3.Connection) -> set[str]:
    """Let a connection do nothing but read `items` from now on; holds which columns it read."""
    selects = 0
    read: set[str] = set()

    def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        nonlocal selects
        selects += action == sqlite3.SQLITE_SELECT
        allowed = action in _ALLOWED and selects <= 1
        if action == sqlite3.SQLITE_READ:
            # Nothing is read of the columns where an expression has none.
            allowed = first == "items" and second in ("", *COLUMNS)
            read.add(second or "")
        if action == sqlite3.SQLITE_FUNCTION:
            allowed = (second or "").lower() in FUNCTIONS
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    connection.set_authorizer(authorize)
    return read
