"""Collections in an object store: what machines share lies there, the rest in a folder here.

At the URI are the table, the manifest, a copy of the catalogue, and `state.json`, which is written
last and says to which version of the table the others belong. The folder here, the mirror, is a
collection's directory without the table: it has the cache, and a manifest and a catalogue of its
own, which follow `state.json` (docs/adr/0012).
"""

import json
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from omni_encoder import CollectionError

from .catalogue import CATALOGUE_NAME
from .file_lock import brief_lock

if TYPE_CHECKING:
    from lancedb.db import DBConnection
    from pyarrow.fs import FileSystem

SUFFIX = ".remote"
URI_NAME = "uri"
STATE_NAME = "state.json"
SEEN_NAME = "seen.json"
MANIFEST_NAME = "omnidex.json"
FETCH_NAME = "lock.fetch"
MIRROR_NAME = "lock.mirror"
_held_here: set[str] = set()  # what this process writes to
_URI = re.compile(r"(s3|gs):/+(.+)")


def uri_of(given: Path | str) -> str | None:
    """The URI that is given, if it is one; a `Path` of it has lost a slash."""
    found = _URI.fullmatch(given.as_posix() if isinstance(given, Path) else given)
    return f"{found[1]}://{found[2].rstrip('/')}" if found else None


def mirror(uri: str) -> Path:
    """The folder of this machine that stands for a collection in an object store, up to date.

    Raises:
        CollectionError: The store can't be reached.
    """
    from hashlib import blake2b

    digest = blake2b(uri.encode(), digest_size=12).hexdigest()
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(caches) / "omnidex" / "remote" / f"{digest}{SUFFIX}"
    directory.mkdir(parents=True, exist_ok=True)
    name = directory / URI_NAME
    if not name.exists() or name.read_text(encoding="utf-8") != uri:
        _replace(name, uri.encode())
    Remote(uri).pull(directory)
    return directory


def located(given: Path | str) -> Path:
    """The directory of a collection, or the one here that stands for a URI.

    Raises:
        CollectionError: There is a URI, and the store can't be reached.
    """
    uri = uri_of(given)
    if uri is not None:
        return mirror(uri)
    return Path(os.path.abspath(given))  # noqa: PTH100 - as `scan.absolute`


@lru_cache(maxsize=16)
def remote_of(directory: Path) -> "Remote | None":
    """What a directory mirrors; None if all of the collection is in it."""
    if directory.suffix != SUFFIX:
        return None
    with suppress(OSError):
        return Remote((directory / URI_NAME).read_text(encoding="utf-8"))
    return None


def shown(directory: Path) -> str:
    """What a collection is called in messages: its directory, or the URI that this mirrors."""
    remote = remote_of(directory)
    return str(directory) if remote is None else remote.uri


class Remote:
    """A collection's place in an object store."""

    def __init__(self, uri: str) -> None:
        """Reach for nothing yet."""
        self.uri = uri
        self._path = uri.partition("://")[2]

    @cached_property
    def _files(self) -> "FileSystem":
        from pyarrow import fs

        if not self.uri.startswith("s3:"):
            return fs.FileSystem.from_uri(self.uri)[0]
        # pyarrow doesn't read what LanceDB reads of the environment.
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return fs.S3FileSystem(endpoint_override=endpoint, region=region)

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder, sorted; none if there is no such folder.

        Raises:
            CollectionError: The store can't be reached.
        """
        from pyarrow import fs

        with self._reachable():
            chosen = fs.FileSelector(f"{self._path}/{folder}", allow_not_found=True)
            return sorted(info.base_name for info in self._files.get_file_info(chosen))

    def read(self, name: str) -> bytes | None:
        """The bytes of a file; None if there is none.

        Raises:
            CollectionError: The store can't be reached.
        """
        with self._reachable():
            try:
                with self._files.open_input_stream(f"{self._path}/{name}") as file:
                    return file.read()
            except FileNotFoundError:
                return None

    def pull(self, directory: Path) -> None:
        """Bring the mirror's manifest and catalogue up to what was pushed last.

        Does nothing while a process of this machine writes: what that has is newer.

        Raises:
            CollectionError: The store can't be reached.
        """
        if self.read(STATE_NAME) == _seen(directory):
            return
        # Readers wait for each other, but not for a writer, who holds the second lock till its end.
        with (
            brief_lock(directory / FETCH_NAME),
            brief_lock(directory / MIRROR_NAME, wait=False) as free,
        ):
            if free:
                self._fetch(directory)

    def _fetch(self, directory: Path) -> None:
        """As `pull`, by the holder of the mirror's lock."""
        state = self.read(STATE_NAME)
        if state == _seen(directory):
            return
        if state is None:
            raise CollectionError(
                f"the collection in {self.uri} is gone",
                hint=f"to make a new one there, delete {directory} first",
            )
        catalogue, manifest = self.read(CATALOGUE_NAME), self.read(MANIFEST_NAME)
        if catalogue is None or manifest is None:
            raise CollectionError(f"the collection in {self.uri} isn't whole")
        fetched = directory / f"{CATALOGUE_NAME}.fetched"
        for left in (fetched, *(fetched.with_name(f"{fetched.name}-{x}") for x in ("wal", "shm"))):
            left.unlink(missing_ok=True)
        fetched.write_bytes(catalogue)
        # Page by page into the catalogue itself, so that who has it open sees what is new.
        _copy(fetched, directory / CATALOGUE_NAME)
        fetched.unlink()
        _replace(directory / MANIFEST_NAME, manifest)
        _replace(directory / SEEN_NAME, state)

    @contextmanager
    def written_here(self, directory: Path) -> Generator[None, None, None]:
        """Bring the mirror up to date, and let nobody do so meanwhile; for who holds the store's.

        Raises:
            CollectionError: The store can't be reached.
        """
        with brief_lock(directory / MIRROR_NAME):
            self._fetch(directory)
            yield

    def push(self, directory: Path, version: int | None) -> None:
        """Let other machines see the mirror's manifest and catalogue.

        Args:
            directory: The mirror.
            version: The version of the table that they belong to.

        Raises:
            CollectionError: The store can't be reached.
        """
        copied = directory / f"{CATALOGUE_NAME}.pushed"
        copied.unlink(missing_ok=True)
        _copy(directory / CATALOGUE_NAME, copied)
        state = json.dumps({"version": version, "push": os.urandom(8).hex()}).encode()
        self._write(CATALOGUE_NAME, copied.read_bytes())
        self._write(MANIFEST_NAME, (directory / MANIFEST_NAME).read_bytes())
        self._write(STATE_NAME, state)
        copied.unlink()
        _replace(directory / SEEN_NAME, state)

    @contextmanager
    def held(self, command: str) -> Generator[None, None, None]:
        """Be the one machine that writes.

        The lock is a table, because making one fails if it exists, whoever is quicker. It stays
        when its holder dies; then the next writer of the same machine takes it over.

        Raises:
            CollectionError: Another machine, or another process of this one, writes.
        """
        import lancedb

        try:
            database = lancedb.connect(f"{self.uri}/lock")
            self._take(database, command)
        except (OSError, RuntimeError, ValueError) as error:
            raise self.unreachable(error) from error
        _held_here.add(self.uri)
        try:
            yield
        except BaseException:
            with suppress(OSError, RuntimeError, ValueError):  # what went wrong first is told
                database.drop_table("writer")
            raise
        finally:
            _held_here.discard(self.uri)
        try:
            database.drop_table("writer")
        except (OSError, RuntimeError, ValueError) as error:
            raise self.unreachable(error) from error

    def _take(self, database: "DBConnection", command: str) -> None:
        from socket import gethostname

        import pyarrow as pa

        mine = {"pid": os.getpid(), "host": gethostname(), "command": command}
        row = pa.table({"holder": [json.dumps(mine)]})
        try:
            database.create_table("writer", row)
        except ValueError as error:
            try:
                found = database.open_table("writer").to_arrow()["holder"][0].as_py()
            except (ValueError, RuntimeError):  # it has just been dropped
                database.create_table("writer", row)
                return
            holder = cast("dict[str, object]", json.loads(str(found)))
            if holder["host"] != mine["host"] or self._lives(int(str(holder["pid"]))):
                raise CollectionError(
                    f"the collection in {self.uri} is being written by process {holder['pid']}"
                    f" on {holder['host']} ({holder['command']})",
                    hint=f"wait until it has finished; if it died, delete {self.uri}/lock/",
                ) from error
            database.create_table("writer", row, mode="overwrite")

    def _lives(self, pid: int) -> bool:
        """Whether a process that held the lock on this machine is still there."""
        if pid == os.getpid():  # or an earlier one of the same number, as in a container
            return self.uri in _held_here
        return _alive(pid)

    def _write(self, name: str, content: bytes) -> None:
        with self._reachable(), self._files.open_output_stream(f"{self._path}/{name}") as file:
            file.write(content)

    @contextmanager
    def _reachable(self) -> Generator[None, None, None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise self.unreachable(error) from error

    def unreachable(self, error: Exception) -> CollectionError:
        """What to say of an error of the store."""
        return CollectionError(
            f"can't reach {self.uri}: {' '.join(str(error).split())[:300]}",
            hint="AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL say"
            " where it is and who you are",
        )


@contextmanager
def shared(
    directory: Path,
    command: str,
    version: Callable[[], int | None],
    *,
    unfinished: bool = True,
) -> Generator[None, None, None]:
    """Be the one machine that writes to what a directory mirrors, and let the others see it.

    Does nothing if it mirrors nothing.

    Args:
        directory: The collection's directory.
        command: What is being done, for the message that others show meanwhile.
        version: Tells at the end which version the table has.
        unfinished: Whether the others shall see it even if an error ends it.

    Raises:
        CollectionError: Another machine writes, or the store can't be reached.
    """
    remote = remote_of(directory)
    if remote is None:
        yield
        return
    with remote.held(command), remote.written_here(directory):
        try:
            yield
        except BaseException:
            if unfinished and (directory / MANIFEST_NAME).exists():
                with suppress(CollectionError):  # what went wrong first is told
                    remote.push(directory, version())
            raise
        remote.push(directory, version())


def behind(directory: Path, version: int | None) -> bool:
    """Whether the table has been changed by a writer who didn't live to say so.

    Args:
        directory: The collection's directory.
        version: The version that the table has.
    """
    if remote_of(directory) is None:
        return False
    try:
        state = cast("object", json.loads((directory / SEEN_NAME).read_bytes()))
        return cast("dict[str, int | None]", state)["version"] != version
    except (OSError, ValueError, KeyError, TypeError):
        return True


def _copy(source: Path, target: Path) -> None:
    """Copy a catalogue as SQLite sees it, whatever is open."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def _seen(directory: Path) -> bytes | None:
    """What `state.json` was when the mirror was last brought up to date; None if it never was."""
    with suppress(FileNotFoundError):
        return (directory / SEEN_NAME).read_bytes()
    return None


def _replace(path: Path, content: bytes) -> None:
    # A name of its own, for processes may do it at the same time.
    new = path.with_name(f"{MANIFEST_NAME}.{os.urandom(6).hex()}.new")
    new.write_bytes(content)
    new.replace(path)


def _alive(pid: int) -> bool:
    """Whether there is a process of this number, perhaps another user's."""
    if sys.platform == "win32":
        return True  # there, asking is interrupting
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
