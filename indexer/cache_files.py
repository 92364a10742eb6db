"""The cache's manifest and files: written whole, named once, and checked before they are read.

Files never change; a new state is new files and one rename of the manifest. A file whose size and
time stamp are as they were when it was published is taken as it is; any other is hashed first.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast
from uuid import uuid4

from omni_encoder import Modality

FORMAT = 4
NAME = "manifest.json"
_PIECE_BYTES = 2**20
LEFTOVER_S = 3600.0
"""A file that no manifest names may be another process's unfinished work for so long."""


class CacheDamaged(Exception):  # noqa: N818 - never an error to a user: the cache is made anew
    """Something in the cache is not what was published."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a published file looks like."""

    name: str
    bytes: int
    mtime_ns: int
    digest: str


@dataclass(frozen=True, slots=True)
class Tuning:
    """How many candidates the codes must give, and what was measured with so many.

    Attributes:
        target: The recall that was asked for.
        candidates_10: How many candidates the 10 nearest need,
        candidates_100: and how many the 100 nearest.
        probes: Into how many of `lists` a query looks.
        lists: Among how many lists the codes are divided.
        recall_within: Share of the true 10 nearest that were found, for items as queries.
        recall_across: The same for items of other modalities as queries; None if there are none.
        queries: How many queries of each kind were measured.
    """

    target: float
    candidates_10: int
    candidates_100: int
    probes: int
    lists: int
    recall_within: float
    recall_across: float | None
    queries: int

    @property
    def reached(self) -> bool:
        """Whether both kinds of queries find as much as was asked for."""
        measured = (self.recall_within, self.recall_across)
        return min(one for one in measured if one is not None) >= self.target


@dataclass(frozen=True, slots=True)
class Entry:
    """A segment: some items of one modality.

    Attributes:
        modality: What they are.
        base: Whether it is the modality's large segment; the other holds what came later.
        rows: How many items it was written with.
        deleted: How many of them are gone since.
        files: Its files by what they hold: `rows`, `vectors`, `facts`, and in a base
            perhaps `codes` and `live`.
        tuning: How its codes are used; None if it has none.
    """

    modality: Modality
    base: bool
    rows: int
    deleted: int
    files: Mapping[str, Mark]
    tuning: Tuning | None = None


@dataclass(frozen=True, slots=True)
class CacheManifest:
    """What the cache holds.

    Attributes:
        version: The version of the table.
        version_digest: A hash that tells this version from any other of the same number.
        entries: The segments.
        engine: The release of FAISS that wrote them.
        made: When it was published, in seconds since 1970.
    """

    version: int
    version_digest: str
    entries: tuple[Entry, ...] = ()
    engine: str = ""
    made: float = field(default_factory=time.time)


def write_file(folder: Path, kind: str, write: Callable[[Path], object]) -> Mark:
    """Write a new file, to the disk itself, under a name that nothing had before."""
    path = folder / f"{kind}-{uuid4().hex[:16]}"
    write(path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    status = path.stat()
    return Mark(path.name, status.st_size, status.st_mtime_ns, digest(path))


def digest(path: Path) -> str:
    """A hash of a file's bytes."""
    from blake3 import blake3  # a run that finds nothing new does without

    # Not mapped: the pages would count as this process's memory, however large the file.
    hasher, piece = blake3(), memoryview(bytearray(_PIECE_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(piece):
            hasher.update(piece[:count])
    return hasher.hexdigest()


def check(folder: Path, mark: Mark, *, thorough: bool = False) -> Path:
    """Make sure that a file is what was published.

    Args:
        folder: Where it lies.
        mark: What it must be.
        thorough: Hash it whatever its time stamp says.

    Raises:
        CacheDamaged: It isn't.
    """
    path = folder / mark.name
    try:
        status = path.stat()
        same = (status.st_size, status.st_mtime_ns) == (mark.bytes, mark.mtime_ns)
        if (thorough or not same) and digest(path) != mark.digest:
            raise CacheDamaged(f"{path} has changed")
    except OSError as error:
        raise CacheDamaged(f"{path}: {error}") from error
    return path


def read_whole(folder: Path, mark: Mark) -> bytes:
    """A file's bytes, hashed whatever its time stamp says.

    Raises:
        CacheDamaged: They are not what was published.
    """
    from blake3 import blake3

    path = folder / mark.name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CacheDamaged(f"{path}: {error}") from error
    if blake3(content).hexdigest() != mark.digest:
        raise CacheDamaged(f"{path} has changed")
    return content


def published_stamp(folder: Path) -> tuple[int, int, int]:
    """A value that is another one after a manifest has been published."""
    try:
        status = (folder / NAME).stat()
    except OSError:
        return (0, 0, 0)
    return status.st_ino, status.st_size, status.st_mtime_ns


def read_published(folder: Path) -> CacheManifest | None:
    """The manifest; None if there is none that is sound."""
    try:
        sealed = cast("dict[str, object]", json.loads((folder / NAME).read_text("utf-8")))
        body = cast("dict[str, object]", sealed["manifest"])
        if sealed["format"] != FORMAT or sealed["seal"] != _seal(body):
            return None
        entries = cast("list[dict[str, object]]", body["entries"])
        return CacheManifest(
            version=cast("int", body["version"]),
            version_digest=cast("str", body["version_digest"]),
            entries=tuple(map(_entry, entries)),
            engine=cast("str", body["engine"]),
            made=cast("float", body["made"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def publish(folder: Path, manifest: CacheManifest) -> None:
    """Make a new state the current one, and delete what only the old one used."""
    before = read_published(folder)
    body = cast("dict[str, object]", json.loads(json.dumps(asdict(manifest))))
    path = folder / f"{NAME}-{uuid4().hex[:16]}"
    with path.open("w", encoding="utf-8") as file:
        json.dump({"format": FORMAT, "seal": _seal(body), "manifest": body}, file)
        file.flush()
        os.fsync(file.fileno())
    path.replace(folder / NAME)
    named = {mark.name for entry in manifest.entries for mark in entry.files.values()}
    old = {
        mark.name for entry in (before.entries if before else ()) for mark in entry.files.values()
    }
    deadline = time.time() - LEFTOVER_S
    for found in folder.iterdir():
        if found.name == NAME or found.name in named:
            continue
        with suppress(OSError):  # another process may be deleting it too
            if found.name in old or found.stat().st_mtime < deadline:
                found.unlink()


def _seal(body: Mapping[str, object]) -> str:
    from blake3 import blake3

    return blake3(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _entry(entry: dict[str, object]) -> Entry:
    files = cast("dict[str, dict[str, str | int]]", entry["files"])
    tuning = cast("dict[str, int] | None", entry["tuning"])
    return Entry(
        modality=Modality(cast("str", entry["modality"])),
        base=bool(entry["base"]),
        rows=cast("int", entry["rows"]),
        deleted=cast("int", entry["deleted"]),
        files={
            kind: Mark(
                str(mark["name"]), int(mark["bytes"]), int(mark["mtime_ns"]), str(mark["digest"])
            )
            for kind, mark in files.items()
        },
        tuning=None if tuning is None else Tuning(**tuning),
    )
