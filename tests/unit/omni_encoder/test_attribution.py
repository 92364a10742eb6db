from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omni_encoder import MediaItem, Modality
from omni_encoder.attribution import (
    GRID,
    Region,
    best_region,
    frame_scores,
    outlined,
    picture_influence,
    sound_influence,
)
from tests.toy import DIM, ToyEncoder


class Redness(ToyEncoder):
    """Its vectors know how red media are, or how loud, and nothing else."""

    def encode(self, items: Sequence[MediaItem]) -> np.ndarray:
        rows = np.zeros((len(items), DIM), np.float32)
        for row, item in zip(rows, items, strict=True):
            content = np.asarray(item.content).astype(np.float64)
            if item.modality is Modality.AUDIO:
                row[0] = np.abs(content).sum() / 16_000
            else:
                row[0] = (content[..., 0] - content[..., 1]).mean() / 255
        return rows


def redness(vectors: np.ndarray) -> np.ndarray:
    return vectors[:, 0]


def picture(top: int, left: int, size: int = 30) -> np.ndarray:
    pixels = np.full((70, 140, 3), 90, np.uint8)
    pixels[top : top + size, left : left + size] = (250, 10, 10)
    return pixels


def test_the_region_holds_what_the_score_comes_from() -> None:
    item = MediaItem(Modality.IMAGE, picture(40, 100))

    region = best_region(picture_influence(Redness(), item, redness))

    assert region is not None
    assert region.left * 140 <= 100
    assert region.right * 140 >= 130
    assert region.top * 70 <= 40
    assert region.bottom == 1
    assert (region.right - region.left) * (region.bottom - region.top) < 0.6


def test_nothing_stands_out_of_an_even_picture() -> None:
    even = MediaItem(Modality.IMAGE, np.full((70, 70, 3), 90, np.uint8))

    assert best_region(picture_influence(Redness(), even, redness)) is None


def test_the_best_region_has_the_largest_excess_over_the_mean() -> None:
    generator = np.random.default_rng(0)
    for _ in range(5):
        influence = generator.standard_normal((GRID, GRID)).astype(np.float32)
        region = best_region(influence)
        assert region is not None
        top, bottom = round(region.top * GRID), round(region.bottom * GRID)
        left, right = round(region.left * GRID), round(region.right * GRID)
        excess = influence - influence.mean()
        totals = [
            excess[a:b, c:d].sum()
            for a in range(GRID)
            for b in range(a + 1, GRID + 1)
            for c in range(GRID)
            for d in range(c + 1, GRID + 1)
        ]
        assert excess[top:bottom, left:right].sum() == pytest.approx(max(totals), abs=1e-4)


def test_the_loud_second_and_the_red_frame_count_most() -> None:
    samples = np.full(5 * 16_000 + 8000, 0.01, np.float32)
    samples[3 * 16_000 : 4 * 16_000] = 0.5
    falls, step = sound_influence(Redness(), MediaItem(Modality.AUDIO, samples), redness)
    frames = np.stack([picture(0, 0, size) for size in (5, 50, 20)])

    assert step == 1.0
    assert len(falls) == 6
    assert int(np.argmax(falls)) == 3
    scores = frame_scores(Redness(), MediaItem(Modality.VIDEO, frames), redness)
    assert int(np.argmax(scores)) == 1


def test_a_picture_is_written_with_its_region_outlined(tmp_path: Path) -> None:
    item = MediaItem(Modality.IMAGE, np.full((70, 140, 3), 90, np.uint8))
    outlined(item, Region(0.5, 0.0, 1.0, 0.5), tmp_path / "a.png")
    outlined(item, None, tmp_path / "b.png")

    written = np.asarray(Image.open(tmp_path / "a.png"))
    assert written.shape == (70, 140, 3)
    assert (written[:30, 75:135] != 90).any()
    assert (written[40:] == 90).all()
    assert (written[:, :60] == 90).all()
    assert (np.asarray(Image.open(tmp_path / "b.png")) == 90).all()


@pytest.mark.parametrize("wrong", [(0.5, 0, 0.5, 1), (-0.1, 0, 1, 1), (0, 0, 1, 1.1)])
def test_a_region_lies_within_its_picture(wrong: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="must lie within"):
        Region(*wrong)
