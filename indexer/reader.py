"""Reading a collection: through the cache, which is brought up to the table when that has changed.

While nothing has changed, neither the table nor anything that knows Lance is opened.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from omni_encoder import CollectionError, Modality
from omni_encoder.arrays import Bool, Float32, Int64

from .cache_files import CacheDamaged, CacheManifest, published_stamp, read_published
from .cache_report import CACHE_NAME, cache_folder, published_target
from .catalogue import Catalogue
from .manifest import Manifest, Means, newest_version
from .planner import Found, Masks, Search, final_scores, nearest
from .rows import Facts
from .segment import Segment
from .where import Condition

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

    from .matches import Matches, Wanted
    from .names import NamesFile

_Answer = TypeVar("_Answer")

_ATTEMPTS = 3
_FILTERS_KEPT = 16


@dataclass(frozen=True, slots=True)
class State:
    """The segments of one published cache."""

    manifest: CacheManifest
    segments: tuple[Segment, ...]
    folder: Path
    stamp: tuple[int, int, int]

    def counts(self) -> dict[Modality, int]:
        """How many items of each modality there are."""
        counts: dict[Modality, int] = {}
        for entry in self.manifest.entries:
            counts[entry.modality] = counts.get(entry.modality, 0) + entry.rows - entry.deleted
        return counts


class Reader:
    """What a collection's readers share: the newest state, and what filters chose in it."""

    def __init__(self, directory: Path) -> None:
        """Open nothing yet."""
        self._directory = directory
        self._state: State | None = None
        self._kept: dict[object, tuple[object, Masks]] = {}
        self._private: TemporaryDirectory[str] | None = None

    @property
    def opened(self) -> bool:
        """Whether a state was opened before."""
        return self._state is not None

    @cached_property
    def _names(self) -> "NamesFile":
        from .names import NamesFile

        return NamesFile(self._directory, self._directory / CACHE_NAME)

    def state(self, manifest: Manifest) -> State | None:
        """The newest state; None as long as nothing has been written.

        Raises:
            CollectionError: The table must be read and can't.
        """
        version = newest_version(self._directory, manifest.spec)
        if version is None:
            return None
        state = self._state
        if state is None or state.manifest.version != version:
            state = self._open(manifest, version=version) or self.refresh(manifest)
        try:
            for segment in state.segments:
                segment.check()
        except CacheDamaged:
            reopened = self._open(manifest)  # another process may have published and cleaned up
            fresh = reopened is not None and reopened.stamp != state.stamp
            state = reopened if fresh and reopened else self.refresh(manifest, anew=True)
        self._keep(state)
        return state

    def refresh(
        self, manifest: Manifest, *, anew: bool = False, target: float | None = None
    ) -> State:
        """Bring the cache up to the table.

        Args:
            manifest: The collection's manifest.
            anew: Whether to build everything from the table.
            target: The recall to tune codes to, which are built anew; None stands for the default.

        Raises:
            CollectionError: The table can't be read.
        """
        from .sync import RECALL, Place, synchronize

        self._state = None
        folder = cache_folder(self._directory, manifest)
        wanted = target or published_target(folder) or RECALL
        try:
            synchronize(Place(folder, self._directory, manifest, wanted), anew=anew)
        except OSError:  # a full disk, or a folder that can only be read
            from tempfile import TemporaryDirectory

            if self._private is None:
                self._private = TemporaryDirectory(prefix="omnidex-")
            folder = Path(self._private.name)
            synchronize(Place(folder, self._directory, manifest, wanted), anew=anew)
        state = self._open(manifest, folder)
        if state is None:
            raise CollectionError(f"the cache in {folder} vanished while it was made")
        self._keep(state)
        return state

    def verify(self, manifest: Manifest) -> None:
        """Hash every file of the newest state, and make it anew if one has changed.

        Raises:
            CollectionError: The table must be read and can't.
        """
        state = self.state(manifest)
        try:
            for segment in state.segments if state else ():
                segment.check(thorough=True)
        except CacheDamaged:
            self.refresh(manifest, anew=True)

    def nearest(
        self,
        manifest: Manifest,
        search: Search,
        catalogue: Catalogue | None,
        *,
        modalities: Sequence[Modality] | None,
        where: str | None,
    ) -> Found:
        """Find the items nearest to a query.

        Args:
            manifest: The collection's manifest.
            search: What to look for.
            catalogue: What knows the paths of the items; only a filter needs it.
            modalities: Return only such items; None stands for all.
            where: Return only items for which this holds.

        Raises:
            QueryError: The filter isn't valid.
            CollectionError: The table must be read and can't.
        """
        condition = None if where is None else Condition(where)
        kinds = tuple(Modality) if modalities is None else tuple(modalities)
        means: Means = {kind: manifest.mean(kind) for kind in kinds}

        def look() -> Found:
            segments = self._segments(manifest, kinds)
            masks = self._masks(segments, condition, catalogue)
            return nearest(segments, search, means, masks)

        return self._trusted(manifest, look)

    def matches(
        self,
        manifest: Manifest,
        wanted: "Wanted",
        catalogue: Catalogue,
        *,
        modalities: Sequence[Modality] | None,
        where: str | None,
    ) -> "Matches":
        """Find the items that hold words; the arguments are like those of `nearest`.

        Raises:
            QueryError: The filter isn't valid.
            CollectionError: The table must be read and can't.
        """
        from .matches import matches

        condition = None if where is None else Condition(where)

        def look() -> "Matches":
            state = self.state(manifest)
            segments = state.segments if state else ()
            masks = self._masks(segments, condition, catalogue)
            if modalities is not None:
                masks = {
                    number: np.ones(one.entry.rows, bool) if masks is None else masks[number]
                    for number, one in enumerate(segments)
                    if one.entry.modality in modalities
                }
            return matches(segments, masks, self._names, wanted)

        return self._trusted(manifest, look)

    def counts(
        self,
        manifest: Manifest,
        catalogue: Catalogue,
        *,
        modalities: Sequence[Modality] | None,
        where: str,
    ) -> dict[Modality, int]:
        """How many items of each modality `nearest` looks at; see there."""
        condition = Condition(where)
        kinds = tuple(Modality) if modalities is None else tuple(modalities)

        def look() -> dict[Modality, int]:
            segments = self._segments(manifest, kinds)
            counts: dict[Modality, int] = {}
            for number, mask in (self._masks(segments, condition, catalogue) or {}).items():
                live, kind = segments[number].live, segments[number].entry.modality
                chosen = int(np.count_nonzero(mask if live is None else mask & live))
                counts[kind] = counts.get(kind, 0) + chosen
            return counts

        return self._trusted(manifest, look)

    def scores(
        self,
        manifest: Manifest,
        query: Float32[np.ndarray, " dim"],
        rows: Int64[np.ndarray, " rows"],
    ) -> Float32[np.ndarray, " rows"]:
        """The scores that some rows of the newest state have in `nearest`.

        Args:
            manifest: The collection's manifest.
            query: Unit length, without the mean of its own modality.
            rows: Row numbers.

        Raises:
            CollectionError: The table must be read and can't.
            ValueError: There is no such row.
        """
        means: Means = {kind: manifest.mean(kind) for kind in Modality}

        def look() -> Float32[np.ndarray, " rows"]:
            places = [self._place_of(row) for row in cast("list[int]", rows.tolist())]
            found = [place for place in places if place is not None]
            if len(found) < len(places):
                raise ValueError("there is no such row")
            scores = [
                final_scores(segment, np.array([position]), query, means)
                for segment, position in found
            ]
            return np.concatenate([np.zeros(0, np.float32), *scores])

        return self._trusted(manifest, look)

    def vector(self, manifest: Manifest, row: int) -> Float32[np.ndarray, " dim"]:
        """The vector of a row, as it was stored.

        Raises:
            CollectionError: The table must be read and can't.
            ValueError: There is no such row.
        """

        def read() -> Float32[np.ndarray, " dim"]:
            place = self._place_of(row)
            if place is None:
                raise ValueError(f"there is no row {row}")
            segment, position = place
            return segment.raw(np.array([position]))[0].astype(np.float32)

        return self._trusted(manifest, read)

    def facts(
        self, manifest: Manifest, rows: Int64[np.ndarray, " rows"], where: str | None
    ) -> list[tuple[Facts, set[bytes] | None]]:
        """What is known of some rows, and for which paths a filter chose each.

        Raises:
            ValueError: There is no such row.
            CollectionError: The table must be read and can't.
        """
        return self._trusted(manifest, lambda: self._facts(rows, where))

    def find(self, manifest: Manifest, content_prefix: str) -> list[Facts]:
        """What is known of the items whose content begins with some hexadecimal digits.

        Raises:
            CollectionError: The table must be read and can't.
        """
        return self._trusted(manifest, lambda: self._find(content_prefix))

    def _trusted(self, manifest: Manifest, read: Callable[[], _Answer]) -> _Answer:
        """What is read from the cache, which is made anew if it isn't what was published."""
        for _ in range(_ATTEMPTS):
            try:
                return read()
            except CacheDamaged:
                self.refresh(manifest, anew=True)
        raise CollectionError(
            f"the cache of {self._directory} changes as soon as it is written",
            hint="look after the drive, or whether a program writes to that folder",
        )

    def _segments(self, manifest: Manifest, kinds: Sequence[Modality]) -> list[Segment]:
        state = self.state(manifest)
        return [one for one in state.segments if one.entry.modality in kinds] if state else []

    def _place_of(self, row: int) -> tuple[Segment, int] | None:
        """Where a row of the newest state lies; None if it isn't there."""
        for segment in self._state.segments if self._state else ():
            place = int(np.searchsorted(segment.rows, row))
            there = place < len(segment.rows) and segment.rows[place] == row
            if there and (segment.live is None or segment.live[place]):
                return segment, place
        return None

    def _facts(
        self, rows: Int64[np.ndarray, " rows"], where: str | None
    ) -> list[tuple[Facts, set[bytes] | None]]:
        condition = None if where is None else Condition(where)
        found: dict[int, tuple[Facts, set[bytes] | None]] = {}
        # Not `np.unique`: its first call imports `numpy.ma`, a tenth of a whole cached search.
        left: Int64[np.ndarray, " left"] = np.array(sorted(set(rows.tolist())), np.int64)
        for segment in self._state.segments if self._state else ():
            if not len(left) or not segment.entry.rows:
                continue
            places = np.minimum(np.searchsorted(segment.rows, left), len(segment.rows) - 1)
            here = segment.rows[places] == left
            if segment.live is not None:
                here &= segment.live[places]
            known = segment.facts.at(places[here], left[here])
            about = None
            if condition is not None and condition.about_paths:
                segment.check_facts()
                about = segment.facts.paths(condition, places[here])
            for facts, place in zip(known, places[here].tolist(), strict=True):
                found[facts.row] = (facts, (about or {}).get(place))
            left = left[~here]
        if len(left):
            raise ValueError(f"there is no row {left[0]}")
        return [found[row] for row in rows.tolist()]

    def _find(self, content_prefix: str) -> list[Facts]:
        found: list[Facts] = []
        segments = self._state.segments if self._state else ()
        for segment in segments:
            places = segment.facts.find(content_prefix)
            if segment.live is not None:
                places = places[segment.live[places]]
            found += segment.facts.at(places, segment.rows[places])
        if not found:  # or is it the file's index that has changed?
            for segment in segments:
                segment.check_facts()
        return found

    def _open(
        self, manifest: Manifest, folder: Path | None = None, *, version: int | None = None
    ) -> State | None:
        """What is published now; None if it can't be used, or is not of the version wanted."""
        if folder is None:
            folder = cache_folder(self._directory, manifest)
        for _ in range(_ATTEMPTS):
            stamp = published_stamp(folder)
            published = read_published(folder)
            if published is None or version not in (None, published.version):
                return None
            segments = tuple(
                Segment(entry, folder, self._directory, manifest.spec.dim)
                for entry in published.entries
            )
            with suppress(CacheDamaged):
                for segment in segments:
                    segment.open()
                return State(published, segments, folder, stamp)
        return None

    def _keep(self, state: State) -> None:
        if state is not self._state:
            self._state = state
            self._kept.clear()

    def _masks(
        self, segments: Sequence[Segment], condition: Condition | None, catalogue: Catalogue | None
    ) -> Masks | None:
        """Which rows of each segment may be found; None if all may."""
        if condition is None:
            return None
        assert catalogue is not None  # a filter never comes without one
        changes = catalogue.changes() if condition.about_paths else None
        key = (tuple(segment.entry.files["facts"].name for segment in segments), condition.where)
        if key not in self._kept or self._kept[key][0] != changes:
            masks: dict[int, Bool[np.ndarray, " rows"]] = {}
            for number, segment in enumerate(segments):
                masks[number] = segment.select(condition)
            self._kept.pop(key, None)
            while len(self._kept) >= _FILTERS_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = (changes, masks)
        return self._kept[key][1]
