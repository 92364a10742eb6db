"""An item's codes, as a collection keeps them for re-ranking; without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from .arrays import Int64
from .shipped import shipped_checkpoint, shipped_flow, shipped_tokens
from .types import MediaItem, Modality

Score = Literal["s1", "s2", "s3"]
"""By what a flow re-ranks; see `flow_score`. S2 and S3 read the candidates' codes."""

CODED = (Modality.IMAGE, Modality.AUDIO, Modality.VIDEO)
"""What may have codes. Texts have words, which need not be kept."""

PRIOR_DRAWS = 2
"""Noise draws that stored priors were estimated with; a score that uses them draws the same."""


@dataclass(frozen=True, slots=True, eq=False)
class ItemCodes:
    """What the flow reads of an item in place of its file.

    Attributes:
        codes: Of an image, or of the first 2.56 s of a sound: 64 positions. Of a video, those of
            four frames; of a text, its words.
        prior: Nats of these codes beside nothing, by cross-entropy: what S2 takes off. Of a video,
            the mean over its frames.
        bound: The same by the bound of the kinetic-optimal path: what S3 takes off.
    """

    codes: Int64[np.ndarray, "positions books"]
    prior: float
    bound: float


@runtime_checkable
class Coder(Protocol):
    """Makes the codes of items."""

    @property
    def fingerprint(self) -> str:
        """Hex digest over all that codes and priors depend on."""
        ...

    @property
    def encoder_fingerprint(self) -> str:
        """Of the encoder that it belongs to."""
        ...

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What has codes."""
        ...

    def encode(self, items: Sequence[MediaItem]) -> list[ItemCodes]:
        """The codes of items, in the order given; none depends on what else is in the batch."""
        ...


def shipped_model() -> str:
    """A digest of the files that the shipped model's codes depend on; empty if one is missing."""
    from blake3 import blake3  # a search needs it not

    digest = blake3(f"draws {PRIOR_DRAWS}".encode())
    for path in (shipped_checkpoint(), shipped_tokens(), shipped_flow()):
        if not path.is_file():
            return ""
        digest.update_mmap(path)
    return digest.hexdigest(16)
