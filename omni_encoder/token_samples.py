"""Reconstructions to look at and listen to, written at the end of a tokenizer's training."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .media_writing import write_item
from .patches import sound_of
from .types import MediaItem, Modality

_COLUMNS = 12
_SOUNDS = 8


def write_contact_sheet(true: Tensor, made: Tensor, path: Path) -> None:
    """Pairs of rows of pictures: originals above, what their codes give below, double size.

    Args:
        true: Pixels in [-1, 1], [pictures, 3, side, side].
        made: Likewise.
        path: A PNG.
    """
    rows: list[np.ndarray] = []
    columns = min(_COLUMNS, len(true))
    for start in range(0, len(true) - len(true) % columns, columns):
        for pictures in (true, made):
            part = ((pictures[start : start + columns] + 1) * 127.5).round().clamp(0, 255)
            rows.append(part.to(torch.uint8).permute(2, 0, 3, 1).flatten(1, 2).numpy())
    sheet = np.concatenate(rows).repeat(2, axis=0).repeat(2, axis=1)
    write_item(MediaItem(Modality.IMAGE, sheet), path)


def write_sounds(true: Tensor, made: Tensor, folder: Path) -> None:
    """`NN-original.wav` and `NN-codes.wav`, both voiced from spectrograms, so codes alone differ.

    Args:
        true: Spectrograms, [clips, 64, frames].
        made: Likewise.
        folder: Where to; it is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, mels in (("original", true), ("codes", made)):
        for number, samples in enumerate(sound_of(mels[:_SOUNDS])):
            item = MediaItem(Modality.AUDIO, samples.numpy())
            write_item(item, folder / f"{number:02d}-{name}.wav")
