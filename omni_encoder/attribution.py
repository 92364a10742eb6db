"""What in media makes them score as they do: parts are hidden, and the score is read again.

This asks nothing of an encoder but vectors, so it works for all of them. docs/adr/0052 compares it
with gradients.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from .types import SAMPLE_RATE_HZ, Encoder, MediaItem, Modality

GRID = 7
"""An image is looked at in so many rows and columns."""

WINDOW = 2
"""So many rows and columns are hidden at once."""

_STEP_S = 1.0

Score = Callable[[Float32[np.ndarray, "items dim"]], Float32[np.ndarray, " items"]]
"""Scores of unit vectors, as they come from an encoder."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a picture, in shares of its width and height, from the upper left corner."""

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise ValueError(f"a region must lie within 0..1, got {self}")


def picture_influence(
    encoder: Encoder, item: MediaItem, score: Score
) -> Float32[np.ndarray, "rows columns"]:
    """How much the score sinks when a part of a picture is hidden, for each cell of a grid.

    Args:
        encoder: What encodes.
        item: An image, or a video, of which the same part of every frame is hidden.
        score: What the vectors are worth.

    Returns:
        The mean fall over all windows that cover a cell; below 0 where hiding it helps.
    """
    hidden = [_hidden(item, row, column) for row, column in _windows()]
    scores = score(encoder.encode([item, *hidden]))
    falls, counts = np.zeros((GRID, GRID)), np.zeros((GRID, GRID))
    for (row, column), fall in zip(_windows(), scores[0] - scores[1:], strict=True):
        falls[row : row + WINDOW, column : column + WINDOW] += fall
        counts[row : row + WINDOW, column : column + WINDOW] += 1
    return (falls / counts).astype(np.float32)


def best_region(influence: Float32[np.ndarray, "rows columns"]) -> Region | None:
    """The rectangle of cells that stands out most; None if no cell has any influence.

    It is the one with the largest sum of what each cell has more than the mean of all.
    """
    if not influence.max() > 0:
        return None
    rows, columns = influence.shape
    excess = np.pad(np.cumsum(np.cumsum(influence - influence.mean(), 0), 1), ((1, 0), (1, 0)))
    best, found = 0.0, None
    for top in range(rows):
        for bottom in range(top + 1, rows + 1):
            for left in range(columns):
                for right in range(left + 1, columns + 1):
                    total = float(
                        excess[bottom, right]
                        - excess[top, right]
                        - excess[bottom, left]
                        + excess[top, left]
                    )
                    if total > best + 1e-9:
                        best = total
                        found = Region(left / columns, top / rows, right / columns, bottom / rows)
    return found


def sound_influence(
    encoder: Encoder, item: MediaItem, score: Score
) -> tuple[Float32[np.ndarray, " steps"], float]:
    """How much the score sinks when a stretch of a sound is silenced, for each in turn.

    Returns:
        The falls, and how many seconds a stretch is long.
    """
    samples = np.asarray(item.content)
    step = int(_STEP_S * SAMPLE_RATE_HZ)
    silenced: list[MediaItem] = []
    for start in range(0, len(samples), step):
        changed = samples.copy()
        changed[start : start + step] = 0
        silenced.append(MediaItem(Modality.AUDIO, changed))
    scores = score(encoder.encode([MediaItem(Modality.AUDIO, samples), *silenced]))
    return scores[0] - scores[1:], _STEP_S


def frame_scores(encoder: Encoder, item: MediaItem, score: Score) -> Float32[np.ndarray, " frames"]:
    """The score of each frame of a video as a video of its own."""
    frames = np.asarray(item.content)
    return score(encoder.encode([MediaItem(Modality.VIDEO, frame[None]) for frame in frames]))


def outlined(picture: MediaItem, region: Region | None, path: Path) -> None:
    """Write a picture with a region outlined; the file's suffix says in what format.

    Raises:
        OSError: It can't be written.
        ValueError: The suffix stands for no format.
    """
    from PIL import Image, ImageDraw

    image = Image.fromarray(np.asarray(picture.content))
    if region is not None:
        wide, high = image.size
        thick = max(2, round(min(wide, high) / 120))
        box = (
            round(region.left * wide),
            round(region.top * high),
            round(region.right * wide) - 1,
            round(region.bottom * high) - 1,
        )
        draw = ImageDraw.Draw(image)
        # Black beside white shows on any picture.
        draw.rectangle(box, outline="black", width=2 * thick)
        draw.rectangle(box, outline="white", width=thick)
    image.save(path)


def _windows() -> Iterator[tuple[int, int]]:
    places = range(GRID - WINDOW + 1)
    return ((row, column) for row in places for column in places)


def _hidden(item: MediaItem, row: int, column: int) -> MediaItem:
    """The picture with a window painted in its mean colour."""
    pixels = np.array(item.content)
    high, wide = pixels.shape[-3:-1]
    top, bottom = round(row * high / GRID), round((row + WINDOW) * high / GRID)
    left, right = round(column * wide / GRID), round((column + WINDOW) * wide / GRID)
    mean = pixels.reshape(-1, 3).mean(axis=0).round()
    pixels[..., top:bottom, left:right, :] = mean.astype(np.uint8)
    return MediaItem(item.modality, pixels)
