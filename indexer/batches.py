"""Encoding in batches that are halved when they take more memory than there is."""

from collections.abc import Sequence

import numpy as np

from omni_encoder import Encoder, EncoderError, MediaItem, Modality
from omni_encoder.arrays import Float32

_SAID_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")


class Batches:
    """How many items of each modality are encoded at once; what was too many is remembered."""

    def __init__(self, items: int) -> None:
        self._items = items
        self._sizes: dict[Modality, int] = {}

    def size(self, modality: Modality) -> int:
        """How many items of a modality are encoded at once at present."""
        return self._sizes.get(modality, self._items)

    def encode(
        self, encoder: Encoder, items: Sequence[MediaItem]
    ) -> Float32[np.ndarray, "items dim"]:
        """Encode items of one modality, in as many batches as it takes.

        Raises:
            EncoderError: Even one item takes more memory than there is.
        """
        modality, done = items[0].modality, list[np.ndarray]()
        at = 0
        while at < len(items):
            batch = items[at : at + self.size(modality)]
            try:
                done.append(encoder.encode(batch))
            except (MemoryError, RuntimeError) as error:
                if not _is_about_memory(error):
                    raise
                if len(batch) == 1:
                    raise EncoderError(
                        f"encoding one {modality} takes more memory than there is",
                        hint="close other programs, or index with a smaller encoder",
                    ) from error
                self._sizes[modality] = len(batch) // 2
                continue
            at += len(batch)
        return done[0] if len(done) == 1 else np.concatenate(done)


def _is_about_memory(error: Exception) -> bool:
    # Torch has an error of its own for a GPU, and a plain RuntimeError for a CPU.
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(words in said for words in _SAID_OF_MEMORY)
