"""Filters: an SQL expression over what is known of an item, evaluated before the search.

The expression runs in an SQLite database of its own, in memory, that holds one table and lets an
expression do nothing but read it. An item with several paths is chosen if one of them fits.
"""

import sqlite3
import weakref
from collections.abc import Iterable
from typing import cast

import numpy as np
from jaxtyping import Int64

from omni_encoder import QueryError

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

_POSITIONS_AT_ONCE = 5000
_ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION)


class Filter:
    """The items of one version of a collection, ready to be filtered."""

    def __init__(
        self,
        facts: Iterable[tuple[object, ...]],
        locations: Iterable[tuple[str, str, bytes, int, int]],
    ) -> None:
        """Take in all items.

        Args:
            facts: The `FACTS` of every item, in order.
            locations: Content, modality, path, size and mtime_ns of every file.
        """
        # Whichever thread finds it unused closes it.
        self._connection = sqlite3.connect(
            ":memory:", isolation_level=None, check_same_thread=False
        )
        weakref.finalize(self, self._connection.close)
        run = self._connection.execute
        run("BEGIN")  # else every row is a transaction of its own
        run(f"CREATE TABLE facts (position INTEGER, {_declare(FACTS)})")
        run(f"CREATE TABLE files (content TEXT, modality TEXT, {_declare(LOCATION)})")
        holes = ", ".join("?" * len(FACTS))
        self._connection.executemany(
            f"INSERT INTO facts VALUES (?, {holes})",  # noqa: S608 - question marks only
            ((position, *values) for position, values in enumerate(facts)),
        )
        # A path that isn't valid UTF-8 can still be text to SQLite, which LIKE wants.
        self._connection.executemany(
            "INSERT INTO files VALUES (?, ?, CAST(? AS TEXT), ?, ? / 1e9)", locations
        )
        run(
            "CREATE TABLE items AS SELECT facts.*, path, bytes, mtime"
            " FROM facts LEFT JOIN files USING (content, modality)"
        )
        run("DROP TABLE facts")
        run("DROP TABLE files")
        run("COMMIT")

    def positions(self, where: str) -> Int64[np.ndarray, " chosen"]:
        """Which items an expression holds for, ascending.

        Raises:
            QueryError: It isn't a valid expression over `COLUMNS`.
        """
        found, _ = self._select("position", where)
        return np.unique(np.array(found, dtype=np.int64))

    def paths(
        self, where: str, positions: Int64[np.ndarray, " chosen"]
    ) -> dict[int, set[bytes]] | None:
        """For which paths of some items an expression holds; None if it isn't about paths.

        Raises:
            QueryError: It isn't a valid expression over `COLUMNS`.
        """
        if self._select("1", where, limit=0)[1].isdisjoint(LOCATION):
            return None
        paths: dict[int, set[bytes]] = {}
        for start in range(0, len(positions), _POSITIONS_AT_ONCE):
            few = positions[start : start + _POSITIONS_AT_ONCE].tolist()
            listed = f"position IN ({', '.join(map(str, few))})"
            found, _ = self._select("position, CAST(path AS BLOB)", where, among=listed)
            for position, path in cast("list[tuple[int, bytes | None]]", found):
                if path is not None:
                    paths.setdefault(position, set()).add(path)
        return paths

    def _select(
        self, what: str, where: str, *, among: str = "1", limit: int = -1
    ) -> tuple[list[tuple[object, ...]], set[str]]:
        """What is found where an expression holds, and which columns were read for that."""
        selects = 0
        read: set[str] = set()

        def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
            nonlocal selects
            selects += action == sqlite3.SQLITE_SELECT
            allowed = action in _ALLOWED and selects <= 1
            if action == sqlite3.SQLITE_READ:
                allowed = first == "items" and second in (*COLUMNS, "position")
                read.add(second or "")
            if action == sqlite3.SQLITE_FUNCTION:
                allowed = (second or "").lower() in FUNCTIONS
            return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

        self._connection.set_authorizer(authorize)
        try:
            # The line break ends a comment that the expression may have.
            found = self._connection.execute(
                f"SELECT {what} FROM items WHERE {among} AND ({where}\n)"  # noqa: S608 - see above
                f" LIMIT {limit}"
            ).fetchall()
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            raise QueryError(
                f"the filter {where!r} can't be used: {error}",
                hint="write it in SQL, such as modality = 'video' AND duration < 30,"
                f" with the columns {', '.join(COLUMNS)}",
            ) from error
        finally:
            self._connection.set_authorizer(None)
        return found, read


def _declare(columns: dict[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())
