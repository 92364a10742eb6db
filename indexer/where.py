"""Filters: an SQL expression over what is known of an item, evaluated before the search.

The expression runs in an SQLite database of its own, in memory, that holds one table and lets an
expression do nothing but read it. An item with several paths is chosen if one of them fits.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from jaxtyping import Int64

from omni_encoder import QueryError

from .catalogue import ContentKey, Location
from .table import Facts

COLUMNS = {
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
    "path": "TEXT",
    "bytes": "INTEGER",
    "mtime": "REAL",
}

FUNCTIONS = frozenset(
    [
        *("abs", "coalesce", "glob", "ifnull", "iif", "instr", "length", "like", "lower", "ltrim"),
        *("max", "min", "nullif", "replace", "round", "rtrim", "substr", "substring", "trim"),
        *("upper", "date", "datetime", "strftime", "time", "unixepoch"),
    ]
)

_ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION)


class Filter:
    """The items of one version of a collection, ready to be filtered."""

    def __init__(
        self, facts: Iterable[Facts], locations: Iterable[tuple[ContentKey, Location]]
    ) -> None:
        places: dict[ContentKey, list[tuple[object, ...]]] = defaultdict(list)
        for key, at in locations:
            places[key].append((at.path, at.size, at.mtime_ns / 1e9))
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        self._connection.execute(f"CREATE TABLE items (position INTEGER, {columns})")
        # A path that isn't valid UTF-8 can still be text to SQLite, which LIKE wants.
        values = ", ".join("CAST(? AS TEXT)" if name == "path" else "?" for name in COLUMNS)
        self._connection.executemany(
            f"INSERT INTO items VALUES (?, {values})",  # noqa: S608 - names of ours
            (
                (position, *_to_columns(one), *place)
                for position, one in enumerate(facts)
                for place in places.get(one.key, [(None, None, None)])
            ),
        )

    def positions(self, where: str) -> Int64[np.ndarray, " chosen"]:
        """Which items an expression holds for, ascending.

        Raises:
            QueryError: It isn't a valid expression over `COLUMNS`.
        """
        selects = 0

        def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
            nonlocal selects
            selects += action == sqlite3.SQLITE_SELECT
            allowed = action in _ALLOWED and selects <= 1
            if action == sqlite3.SQLITE_READ:
                allowed = first == "items" and second in {*COLUMNS, "position"}
            if action == sqlite3.SQLITE_FUNCTION:
                allowed = (second or "").lower() in FUNCTIONS
            return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

        self._connection.set_authorizer(authorize)
        try:
            # The line break ends a comment that the expression may have.
            found = self._connection.execute(
                f"SELECT position FROM items WHERE ({where}\n)"  # noqa: S608 - authorized above
            ).fetchall()
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            raise QueryError(
                f"the filter {where!r} can't be used: {error}",
                hint="write it in SQL, such as modality = 'video' AND duration < 30,"
                f" with the columns {', '.join(COLUMNS)}",
            ) from error
        finally:
            self._connection.set_authorizer(None)
        return np.unique(np.array(found, dtype=np.int64))


def _to_columns(facts: Facts) -> tuple[object, ...]:
    span = facts.span
    return (
        facts.id,
        facts.key.content,
        str(facts.key.modality),
        facts.part,
        span.start if span else None,
        span.end if span else None,
        facts.mime,
        facts.title,
        facts.caption,
        facts.text,
        facts.width,
        facts.height,
        facts.duration,
    )
