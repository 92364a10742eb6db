"""The vectors of a manifest, centred as a collection of its items would centre them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from indexer.exact import centre_rows
from indexer.manifest import Manifest, reference_means
from omni_encoder import Encoder, Modality

from .manifest import ManifestItem
from .vectors import VectorCache

Progress = Callable[[str, int, int], None]
_CHUNK = 256


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Items with vectors, and the means that search in a collection of them would subtract.

    Attributes:
        items: By modality, without those that can't be decoded.
        vectors: Unit rows of the items, not centred.
        means: Of the collection that these items would make.
    """

    items: Mapping[Modality, Sequence[ManifestItem]]
    vectors: Mapping[Modality, Float32[np.ndarray, "items dim"]]
    means: Manifest

    def centred(self, modality: Modality) -> Float32[np.ndarray, "items dim"]:
        """The items' unit vectors, less the mean of their modality."""
        return self.centre_all(self.vectors[modality], modality)

    def centre_all(
        self, vectors: Float32[np.ndarray, "rows dim"], modality: Modality
    ) -> Float32[np.ndarray, "rows dim"]:
        """Vectors of one modality less its mean, at unit length."""
        return centre_rows(vectors, self.means.mean(modality))

    def centre(
        self, vector: Float32[np.ndarray, " dim"], modality: Modality
    ) -> Float32[np.ndarray, " dim"]:
        """As `Collection.centre`."""
        return self.centre_all(vector[None], modality)[0]


def make_space(
    items: Sequence[ManifestItem],
    encoder: Encoder,
    cache: VectorCache,
    *,
    progress: Progress | None = None,
) -> Space:
    """Encode the items that an encoder knows, or take them from the cache, which is saved."""
    kept: dict[Modality, list[ManifestItem]] = {}
    vectors: dict[Modality, np.ndarray] = {}
    for modality in encoder.spec.modalities:
        own = [item for item in items if item.modality is modality]
        if modality is Modality.TEXT or not own:
            continue
        kept[modality] = []
        rows: list[np.ndarray] = []
        for start in range(0, len(own), _CHUNK):
            chunk = own[start : start + _CHUNK]
            embedded = cache.files([item.path for item in chunk])
            failed = {failure.number for failure in embedded.failures}
            good = [number for number in range(len(chunk)) if number not in failed]
            kept[modality] += [chunk[number] for number in good]
            rows.append(embedded.vectors[good])
            cache.save()
            if progress is not None:
                progress(f"Encoding {modality}", start + len(chunk), len(own))
        vectors[modality] = np.concatenate(rows)
    means = Manifest(encoder.spec, reference_means(encoder.spec, encoder.means)).with_means(
        {m: (len(rows), rows.sum(axis=0, dtype=np.float64)) for m, rows in vectors.items()}
    )
    return Space(kept, vectors, means)
