"""Bringing the cache up to the table: changed rows go into small segments, lost ones are struck.

A row is known by its number and the version of its last change. Whatever the table has that the
cache has not is read, and whatever the cache has that the table has not is struck; so it doesn't
matter how a version came about, or which versions lie between. On any doubt all is read anew.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from omni_encoder import Modality
from omni_encoder.arrays import Bool, Float32, Int64

from .build import CODED_ROWS, write_live, write_segment
from .cache_files import CacheDamaged, CacheManifest, Entry, publish, read_published
from .coding import Recipe
from .exact import centre_rows
from .manifest import Manifest
from .rows import MODALITIES, Items, ItemSource, Stamps
from .segment import Segment
from .table import VectorTable
from .tuning import QUERIES

REBUILD_SHARE = 0.1
"""A base with more changes than this share of its rows is written anew."""

REBUILD_ROWS = 1000
"""A base of no more rows is always written anew."""

MEAN_DRIFT = 0.05
"""Further than this from their mean, codes find too little and short lists get long."""

RECALL = 0.99

_COPIED_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cache is, and what it is a cache of."""

    folder: Path
    directory: Path
    manifest: Manifest
    target: float = RECALL


def synchronize(place: Place, *, anew: bool = False) -> CacheManifest:
    """Bring the cache up to the newest version of the table, and publish it.

    Args:
        place: Where and what.
        anew: Whether to build everything from the table.

    Raises:
        CollectionError: The table can't be read.
        OSError: The cache can't be written.
    """
    place.folder.mkdir(parents=True, exist_ok=True)
    table = VectorTable.open(place.directory, place.manifest.spec, pinned=True)
    before = None if anew else read_published(place.folder)
    if before is not None and not table.has_version(before.version, before.version_digest):
        before = None
    try:
        entries = _entries(place, table, before)
    except CacheDamaged:
        entries = _entries(place, table, None)
    made = CacheManifest(table.version, table.version_digest(), entries, _engine())
    publish(place.folder, made)
    return made


@dataclass(frozen=True, slots=True, eq=False)
class _Stored:
    """Some items of the table, read when they are asked for."""

    table: VectorTable
    rows: Int64[np.ndarray, " rows"]
    all_of: Modality | None = None

    def batches(self) -> Iterator[Items]:
        """See `ItemSource`."""
        return self.table.stream(self.rows, all_of=self.all_of)


@dataclass(frozen=True, slots=True, eq=False)
class _Continued:
    """Items that a segment holds, as the table still has them, and later ones of the table."""

    segment: Segment
    positions: Int64[np.ndarray, " kept"]
    later: _Stored

    @property
    def rows(self) -> Int64[np.ndarray, " rows"]:
        """See `ItemSource`."""
        return np.concatenate([self.segment.rows[self.positions], self.later.rows])

    def batches(self) -> Iterator[Items]:
        """See `ItemSource`."""
        segment = self.segment
        for start in range(0, len(self.positions), _COPIED_ROWS):
            some = self.positions[start : start + _COPIED_ROWS]
            known = segment.table[some]
            yield Items(
                known["row"], known["updated"], segment.raw(some), segment.facts.values(some)
            )
        yield from self.later.batches()


def _entries(place: Place, table: VectorTable, before: CacheManifest | None) -> tuple[Entry, ...]:
    stamps = table.row_stamps()
    if before is None:
        kinds = [kind for kind in MODALITIES if len(stamps.of(kind))]
        return tuple(_build(place, table, stamps, modality) for modality in kinds)
    spec = place.manifest.spec
    old = {
        (entry.modality, entry.base): Segment(entry, place.folder, place.directory, spec.dim)
        for entry in before.entries
    }
    for segment in old.values():
        segment.open()  # what is kept must be sound
    new = np.ones(len(stamps.rows), dtype=bool)
    live = {key: _still_there(segment, stamps, new) for key, segment in old.items()}
    if not new.any() and all(mask.all() for mask in live.values()):
        return before.entries
    entries: list[Entry] = []
    for number, modality in enumerate(MODALITIES):
        base, delta = old.get((modality, True)), old.get((modality, False))
        fresh = stamps.rows[new & (stamps.kinds == number)]
        if base is None and not len(fresh):
            continue
        if base is None or _worn(base, live[modality, True], delta, len(fresh), place):
            entries.append(_build(place, table, stamps, modality))
            continue
        entries.append(_struck(base, live[modality, True], place.folder))
        items = _amended(table, delta, live.get((modality, False)), fresh)
        if len(items.rows):
            recipe = Recipe(place.manifest.mean(modality), place.target, _nobody(spec.dim))
            entries.append(write_segment(place.folder, modality, items, recipe, base=False))
    return tuple(entry for entry in entries if entry.rows > entry.deleted)


def _amended(
    table: VectorTable,
    delta: Segment | None,
    live: Bool[np.ndarray, " rows"] | None,
    fresh: Int64[np.ndarray, " fresh"],
) -> ItemSource:
    """What a delta still holds, and what has come since."""
    if delta is None or live is None:
        return _Stored(table, fresh)
    kept = np.flatnonzero(live)
    if len(kept) and len(fresh) and fresh[0] < delta.rows[kept[-1]]:
        # Earlier items were changed: then all are read, in their order.
        return _Stored(table, np.sort(np.concatenate([delta.rows[kept], fresh])))
    return _Continued(delta, kept, _Stored(table, fresh))


def _still_there(
    segment: Segment,
    stamps: Stamps,
    new: Bool[np.ndarray, " items"],
) -> Bool[np.ndarray, " rows"]:
    """Which rows of a segment are as the table has them; these are struck from `new`."""
    rows, updated = stamps.rows, stamps.updated
    if not len(rows):
        return np.zeros(segment.entry.rows, dtype=bool)
    places = np.minimum(np.searchsorted(rows, segment.rows), len(rows) - 1)
    same = (rows[places] == segment.rows) & (updated[places] == segment.table["updated"])
    if segment.live is not None:
        same &= segment.live
    new[places[same]] = False
    return same


def _worn(
    base: Segment,
    live: Bool[np.ndarray, " rows"],
    delta: Segment | None,
    fresh: int,
    place: Place,
) -> bool:
    """Whether a base is better written anew than amended."""
    rows = base.entry.rows
    later = (delta.entry.rows if delta else 0) + fresh
    gone = rows - int(np.count_nonzero(live))
    mean = place.manifest.mean(base.entry.modality)
    return (
        (rows <= REBUILD_ROWS and later + gone > 0)
        or later + gone > max(REBUILD_ROWS, REBUILD_SHARE * rows)
        or float(np.linalg.norm(mean - base.mean)) > MEAN_DRIFT
    )


def _struck(base: Segment, live: Bool[np.ndarray, " rows"], folder: Path) -> Entry:
    deleted = int(np.count_nonzero(~live))
    if deleted == base.entry.deleted:
        return base.entry
    files = {**base.entry.files, "live": write_live(folder, live)}
    return replace(base.entry, deleted=deleted, files=files)


def _build(place: Place, table: VectorTable, stamps: Stamps, modality: Modality) -> Entry:
    """Write the base of a modality from the table."""
    items = _Stored(table, stamps.of(modality), modality if stamps.in_order else None)
    mean = place.manifest.mean(modality)
    strangers = _nobody(place.manifest.spec.dim)
    if len(items.rows) > CODED_ROWS:
        strangers = _strangers(place, table, modality)
    recipe = Recipe(mean, place.target, strangers)
    return write_segment(place.folder, modality, items, recipe, base=True)


def _strangers(
    place: Place, table: VectorTable, modality: Modality
) -> Float32[np.ndarray, "strangers dim"]:
    """Centred vectors of other modalities, equally many of each: what users will ask with."""
    others = [other for other in table.modalities() if other is not modality]
    found: Sequence[Float32[np.ndarray, "few dim"]] = [
        centre_rows(
            table.some_vectors(other, QUERIES // len(others)).astype(np.float32),
            place.manifest.mean(other),
        )
        for other in others
    ]
    return np.concatenate([_nobody(place.manifest.spec.dim), *found])


def _nobody(dim: int) -> Float32[np.ndarray, "none dim"]:
    return np.zeros((0, dim), np.float32)


def _engine() -> str:
    from importlib.metadata import PackageNotFoundError, version

    for name in ("faiss-cpu", "faiss-gpu"):
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return "faiss"
