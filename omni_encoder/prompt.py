"""What the model sees of media: codes, laid out as parts of its sequence.

A picture is one part. A video is four frames, each a picture with a frame index, pooled to a
quarter of its positions; a sound is a part for each 2.56 s. Nothing here is random, and codes are
small, so a conversation keeps them instead of media.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from blake3 import blake3
from jaxtyping import Float32, Int64

from .flow_model import Part
from .patches import POSITIONS
from .types import Modality

FRAMES = 4  # of a video
MOST_BLOCKS = 4  # of a sound: what is beyond 10.24 s of a prompt is not heard
MOST_POSITIONS = 1024  # of a sequence, the answer included


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """An item as the model sees it.

    Attributes:
        modality: Of the item.
        codes: Word ids (one book), or codes: 64 positions for each picture, frame or 2.56 s.
        turn: Of a conversation, counted back from the newest message, which is 0.
        vector: Its search vector less the mean of its modality, at unit length; None for what was
            drawn, which has none.
    """

    modality: Modality
    codes: Int64[np.ndarray, "positions books"]
    turn: int = 0
    vector: Float32[np.ndarray, " dim"] | None = None

    def digest(self) -> str:
        """Equal for equal codes, whatever machine they were made on."""
        header = f"{self.modality} {list(self.codes.shape)} ".encode()
        return blake3(header + self.codes.astype("<i8").tobytes()).hexdigest(16)

    def pieces(self) -> list[Int64[np.ndarray, "positions books"]]:
        """The codes of each picture, frame or block of sound; of a text, all of them."""
        if self.modality is Modality.TEXT:
            return [self.codes]
        return [
            self.codes[start : start + POSITIONS] for start in range(0, len(self.codes), POSITIONS)
        ]


def parts_of(coded: Coded, count: int) -> list[Part]:
    """An item as clean parts of a sequence, the same in each of `count` rows."""
    is_video = coded.modality is Modality.VIDEO
    kind = Modality.IMAGE if is_video else coded.modality
    parts: list[Part] = []
    for frame, piece in enumerate(coded.pieces()):
        if not len(piece) and coded.vector is None:
            continue  # an answer of no words
        vectors = None
        if frame == 0 and coded.vector is not None:
            vectors = torch.from_numpy(coded.vector).expand(count, -1)
        tokens = torch.from_numpy(piece).expand(count, *piece.shape)
        real = torch.ones(tokens.shape[:2], dtype=torch.bool)
        part = Part(
            kind, tokens, real, vectors=vectors, frame=frame, turn=coded.turn, pooled=is_video
        )
        parts.append(part)
    return parts


def positions_of(coded: Coded) -> int:
    """How many positions of a sequence an item takes, markers included."""
    pieces = coded.pieces()
    share = 4 if coded.modality is Modality.VIDEO else 1
    return sum(len(piece) // share + 2 for piece in pieces) + (coded.vector is not None)


def positions_of_answer(modality: Modality, *, text_slots: int) -> int:
    """How many positions the answer takes at most; of several pieces, one at a time is drawn."""
    slots = text_slots if modality is Modality.TEXT else POSITIONS
    before = POSITIONS + 2 if modality is Modality.AUDIO else 0  # a sound goes on from the last
    return slots + 2 + before


def is_too_long(prompt: Sequence[Coded], answer: int) -> bool:
    """Whether a prompt leaves no room for an answer of so many positions."""
    return sum(map(positions_of, prompt)) + answer > MOST_POSITIONS
