"""SQLite connections that say which file is damaged and what to do about it."""

import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from omni_encoder import CollectionError

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SAID_OF_DAMAGE = ("Could not decode to UTF-8", "unsupported file format")
_FETCHED = 1000
BUSY_S = 30.0


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that a file is not sound."""
    code = cast("int", getattr(error, "sqlite_errorcode", 0))
    return (code & 0xFF) in _DAMAGE or any(words in str(error) for words in _SAID_OF_DAMAGE)


@contextmanager
def catalogue_read(path: Path) -> Generator[None, None, None]:
    """Whatever makes no sense in here means that the catalogue is damaged.

    Raises:
        CollectionError: It is, with what to do about it.
    """
    try:
        yield
    except (sqlite3.Error, KeyError, TypeError, ValueError) as error:
        # Our own statements name nothing that isn't there.
        lost = str(error).startswith(("no such table", "no such column"))
        if isinstance(error, sqlite3.Error) and not lost and not is_damage(error):
            raise
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> CollectionError:
    """What to say of a catalogue that can't be read."""
    return CollectionError(
        f"can't read {path}: {error}",
        hint="delete this file; the next `omnidex index` rebuilds it without encoding again",
    )


class SoundConnection(sqlite3.Connection):
    """A connection to a catalogue."""

    path = Path()

    # What sqlite3 says of its types, which hold Any, stays what is said of these methods.
    if not TYPE_CHECKING:

        def cursor(self, factory: object = None) -> "SoundCursor":  # noqa: ARG002 - sqlite3's signature
            """A cursor that explains damage."""
            return SoundCursor(self)

        def execute(self, sql: str, parameters: object = ()) -> "SoundCursor":
            """See `sqlite3.Connection.execute`."""
            return self.cursor().execute(sql, parameters)

        def executemany(self, sql: str, parameters: Iterable[object]) -> "SoundCursor":
            """See `sqlite3.Connection.executemany`."""
            return self.cursor().executemany(sql, parameters)


class SoundCursor(sqlite3.Cursor):
    """A cursor on a catalogue."""

    # What sqlite3 says of its types, which hold Any, stays what is said of these methods.
    if not TYPE_CHECKING:

        def execute(self, sql: str, parameters: object = ()) -> "SoundCursor":
            """See `sqlite3.Cursor.execute`."""
            with self._explained():
                super().execute(sql, parameters)
            return self

        def executemany(self, sql: str, parameters: Iterable[object]) -> "SoundCursor":
            """See `sqlite3.Cursor.executemany`."""
            rows = list(parameters)
            with self._explained():
                super().executemany(sql, rows)
            return self

        def fetchone(self) -> object:
            """See `sqlite3.Cursor.fetchone`."""
            with self._explained():
                return super().fetchone()

        def fetchall(self) -> list[object]:
            """See `sqlite3.Cursor.fetchall`."""
            with self._explained():
                return super().fetchall()

        def __iter__(self) -> Iterator[object]:
            while True:
                with self._explained():
                    rows = super().fetchmany(_FETCHED)
                if not rows:
                    return
                yield from rows

    @contextmanager
    def _explained(self) -> Generator[None, None, None]:
        connection = self.connection
        path = connection.path if isinstance(connection, SoundConnection) else Path()
        try:
            yield
        except sqlite3.Error as error:
            with catalogue_read(path):
                raise error  # noqa: TRY201 - for the context to see


def open_sound(uri: str, path: Path = Path()) -> SoundConnection:
    """Open a catalogue.

    Args:
        uri: What SQLite opens.
        path: The file that messages name.
    """
    # Whichever thread finds it unused closes it, so it isn't bound to the one that opened it.
    connection = sqlite3.connect(
        uri,
        uri=True,
        isolation_level=None,
        timeout=BUSY_S,
        check_same_thread=False,
        factory=SoundConnection,
    )
    connection.path = path
    return connection
