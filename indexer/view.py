"""The newest state of a collection, looked at in more ways than by `nearest`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from omni_encoder import Modality
from omni_encoder.arrays import Float32, Int64

from .matches import Matches, Wanted
from .records import to_record
from .types import Record

if TYPE_CHECKING:
    from .catalogue import Catalogue
    from .manifest import Manifest
    from .reader import Reader


class View:
    """What `Collection.view` gives. It is for one thread, and not to be kept."""

    def __init__(self, reader: "Reader", manifest: "Manifest", catalogue: "Catalogue") -> None:
        """Look through a reader whose state is the newest."""
        self._reader = reader
        self._manifest = manifest
        self._catalogue = catalogue

    def matches(
        self,
        wanted: Wanted,
        *,
        modalities: Sequence[Modality] | None = None,
        where: str | None = None,
    ) -> Matches:
        """Find the items whose captions, titles, texts and file names hold words.

        Args:
            wanted: What to look for.
            modalities: Return only such items; None stands for all.
            where: Return only items for which this holds.

        Raises:
            QueryError: The filter isn't valid.
            CollectionError: The table must be read and can't.
        """
        return self._reader.matches(
            self._manifest, wanted, self._catalogue, modalities=modalities, where=where
        )

    def counts(
        self, where: str, *, modalities: Sequence[Modality] | None = None
    ) -> dict[Modality, int]:
        """How many items of each modality a filter leaves to search.

        Raises:
            QueryError: The filter isn't valid.
            CollectionError: The table must be read and can't.
        """
        return self._reader.counts(
            self._manifest, self._catalogue, modalities=modalities, where=where
        )

    def scores(
        self, query: Float32[np.ndarray, " dim"], rows: Int64[np.ndarray, " rows"]
    ) -> Float32[np.ndarray, " rows"]:
        """The scores of certain items, as `Collection.nearest` would give them.

        Args:
            query: Centred; its length doesn't matter.
            rows: Their row numbers.

        Raises:
            CollectionError: The table must be read and can't.
            ValueError: There is no such row.
        """
        unit = (query / np.linalg.norm(query)).astype(np.float32)
        return self._reader.scores(self._manifest, unit, rows)

    def parts(self, content: str) -> tuple[Int64[np.ndarray, " parts"], list[Record]]:
        """The items of a content, by modality and part: their row numbers and records."""
        found = sorted(
            self._reader.find(self._manifest, content), key=lambda one: (one.key, one.part)
        )
        rows: Int64[np.ndarray, " parts"] = np.array([one.row for one in found], np.int64)
        return rows, [to_record(one, self._catalogue.locations(one.key)) for one in found]
