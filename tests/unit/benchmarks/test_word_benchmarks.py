"""The benchmarks of words beside vectors and of explanations, on little data."""

from pathlib import Path

import numpy as np
import pytest
from omnidex_benchmarks.deletion import PAINTS, deletion
from omnidex_benchmarks.hybrid import measure, questions, summarise
from omnidex_benchmarks.manifest import ManifestItem

from omni_encoder import MediaItem, Modality
from tests.toy import ToyEncoder


def item(number: int, *captions: str, label: str | None = None) -> ManifestItem:
    return ManifestItem(
        id=str(number),
        modality=Modality.IMAGE,
        path=Path(f"/media/{number}.jpg"),
        captions=captions,
        source="test",
        label=label,
        pair_id=None,
        caption_kind="class-template" if label else "human-sentence",
    )


def test_words_lift_what_holds_them_and_nothing_changes_without_any() -> None:
    items = [
        item(0, "a grey heron", "a heron by a lake"),
        item(1, "a yellow boat", "the boat of a fisher"),
        *(item(n, "a photo of a wall", label="wall") for n in range(2, 12)),
    ]
    asked = questions(items, most=10, seed=0)
    # Everything that is asked for is last by vector.
    orders = np.array(
        [[i for i in range(12) if i not in one.right] + sorted(one.right) for one in asked]
    )

    with_words = summarise([measure(items, asked, orders, visible=1.0, seed=0)])
    without = summarise([measure(items, asked, orders, visible=0.0, seed=0)])

    assert sorted(len(one.right) for one in asked) == [1, 1, 10]
    assert with_words["vectors"]["sentence/words@1"] == 0
    assert with_words["w=2 c=2 share=0.5"]["sentence/words@10"] == 100
    assert all(setting == without["vectors"] for setting in without.values())


@pytest.mark.parametrize("paint", sorted(PAINTS))
def test_the_named_region_matters_more_than_random_ones(paint: str) -> None:
    pixels = np.full((70, 70, 3), 90, np.uint8)
    pixels[10:30, 40:60] = (250, 10, 10)
    encoder = ToyEncoder()
    photo = MediaItem(Modality.IMAGE, pixels)
    own = encoder.encode([photo])[0]

    found = deletion(
        encoder, photo, lambda vectors: vectors @ own, PAINTS[paint], np.random.default_rng(0)
    )

    assert found is not None
    assert found.beaten > 0.5
    assert found.named > found.random
    assert 0 < found.area < 1
