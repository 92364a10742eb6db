"""One version of a collection in memory, ready to be searched."""

import os
from collections.abc import Sequence, Set
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from omni_encoder import Modality

from .catalogue import Catalogue, Location
from .exact import centre_rows
from .manifest import Manifest
from .rows import Facts
from .table import MODALITIES, Loaded
from .types import Record
from .where import FACTS, Filter


class View:
    """A version of the table, together with the means that are subtracted."""

    def __init__(self, loaded: Loaded, manifest: Manifest) -> None:
        self.loaded = loaded
        self._manifest = manifest
        self._filter: tuple[tuple[int, int], Filter] | None = None

    def with_means_of(self, manifest: Manifest) -> "View":
        """The same version of the table with other means."""
        return View(self.loaded, manifest)

    @cached_property
    def centred(self) -> Float32[np.ndarray, "items dim"]:
        """The vectors, each without its modality's mean."""
        vectors = np.empty(self.loaded.vectors.shape, dtype=np.float32)
        for number, modality in enumerate(MODALITIES):
            chosen = self.loaded.modalities == number
            raw = self.loaded.vectors[chosen].astype(np.float32)
            vectors[chosen] = centre_rows(raw, self._manifest.mean(modality))
        return vectors

    def choose(
        self, modalities: Sequence[Modality] | None, where: str | None, catalogue: Catalogue
    ) -> Int64[np.ndarray, " chosen"] | None:
        """Which items may be found, ascending; None if there is no filter.

        Raises:
            QueryError: `where` is not a valid expression.
        """
        chosen: Int64[np.ndarray, " chosen"] | None = None
        if where is not None:
            chosen = self._filter_now(catalogue).positions(where)
        if modalities is not None:
            numbers = [MODALITIES.index(modality) for modality in modalities]
            wanted = np.flatnonzero(np.isin(self.loaded.modalities, numbers))
            chosen = wanted if chosen is None else np.intersect1d(chosen, wanted)
        return chosen

    def paths(
        self, positions: Int64[np.ndarray, " chosen"], where: str | None, catalogue: Catalogue
    ) -> list[set[bytes] | None]:
        """For each item the paths for which a filter chose it; None if it isn't about paths.

        Raises:
            QueryError: `where` is not a valid expression.
        """
        found = None if where is None else self._filter_now(catalogue).paths(where, positions)
        return [(found or {}).get(position) for position in positions.tolist()]

    def _filter_now(self, catalogue: Catalogue) -> Filter:
        state = catalogue.changes()
        if self._filter is None or self._filter[0] != state:
            made = Filter(self.loaded.columns(*FACTS), catalogue.all_locations())
            self._filter = (state, made)
        return self._filter[1]


def to_record(
    facts: Facts, locations: Sequence[Location], chosen: Set[bytes] | None = None
) -> Record:
    """What is known of an item, from the table and the catalogue together.

    If some paths are `chosen`, the others are left out.
    """
    fitting = [location for location in locations if chosen and location.path in chosen]
    locations = fitting or locations
    first = locations[0] if locations else None
    return Record(
        id=facts.id,
        content=facts.key.content,
        modality=facts.key.modality,
        part=facts.part,
        span=facts.span,
        mime=facts.mime,
        paths=tuple(Path(os.fsdecode(location.path)) for location in locations),
        title=facts.title,
        caption=facts.caption,
        text=facts.text,
        width=facts.width,
        height=facts.height,
        duration=facts.duration,
        bytes=first.size if first else 0,
        mtime=first.mtime_ns / 1e9 if first else 0.0,
    )
