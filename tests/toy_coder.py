"""A coder without torch: what an item's mean is, in codes, and priors that tests can compute."""

from collections.abc import Sequence

import numpy as np

from omni_encoder import MediaItem, Modality
from omni_encoder.item_codes import ItemCodes
from tests.toy import ToyEncoder


class ToyCoder:
    """Codes images and sounds; `coded` counts the items."""

    modalities = (Modality.IMAGE, Modality.AUDIO)

    def __init__(self, *, name: str = "toy", version: int = 0) -> None:
        self.fingerprint = f"{version:x}" * 32
        self.encoder_fingerprint = ToyEncoder(name=name).spec.fingerprint
        self.coded = 0

    def encode(self, items: Sequence[MediaItem]) -> list[ItemCodes]:
        """See `Coder.encode`."""
        self.coded += len(items)
        return [_codes(item) for item in items]


def _codes(item: MediaItem) -> ItemCodes:
    mean = int(np.abs(np.asarray(item.content, dtype=np.float64)).mean() * 7) % 256
    books = 4 if item.modality is Modality.IMAGE else 2
    return ItemCodes(np.full((64, books), mean, dtype=np.int64), -float(mean), -2.0 * mean)
