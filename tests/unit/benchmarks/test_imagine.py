"""`bench imagine` where the truth is known: a drawer that knows is used, another is not."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from omnidex_benchmarks import registry, results
from omnidex_benchmarks.imagine import ImagineOptions, run
from omnidex_benchmarks.measured import newest
from omnidex_benchmarks.protocol import Request
from PIL import Image

from omni_encoder import MediaItem, MediaLayout, Modality, OmniError
from retrieval.decoded import first_item
from tests.toy import ToyEncoder

_NAMES = [f"{a} {b}" for a in ("red", "green", "blue") for b in ("fish", "bird", "tree", "boat")]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manifest")
    generator = np.random.default_rng(0)
    rows: list[str] = []
    for number, name in enumerate(_NAMES):
        pixels = generator.integers(0, 255, size=(16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((32, 32)).save(folder / f"{number}.png")
        row = {"id": str(number), "modality": "image", "file": f"{number}.png"}
        row |= {"captions": [name], "source": "test", "license": "CC0-1.0"}
        rows.append(json.dumps(row))
    (folder / "manifest.jsonl").write_text("\n".join(rows))
    return folder / "manifest.jsonl"


class Knows:
    """Draws the answer itself."""

    fingerprint = "knows"
    layout = MediaLayout(image_pixels=32)

    def __init__(self, folder: Path) -> None:
        self.drawn = 0
        self._pictures = {
            name: first_item(folder / f"{number}.png", self.layout)
            for number, name in enumerate(_NAMES)
        }

    def draw(
        self, prompt: Sequence[MediaItem], modality: Modality, *, count: int, seed: int
    ) -> list[MediaItem]:
        self.drawn += count
        assert seed in range(3)
        if modality is Modality.IMAGE:
            return [self._pictures[str(prompt[0].content)]]
        same = (
            name
            for name, picture in self._pictures.items()
            if np.array_equal(picture.content, prompt[0].content)
        )
        return [MediaItem(Modality.TEXT, next(same))]


class Guesses(Knows):
    """Draws the same, whatever it is asked."""

    fingerprint = "guesses"

    def draw(
        self, prompt: Sequence[MediaItem], modality: Modality, *, count: int, seed: int
    ) -> list[MediaItem]:
        super().draw(prompt, modality, count=count, seed=seed)
        if modality is Modality.TEXT:
            return [MediaItem(modality, "nothing")]
        return [MediaItem(modality, np.zeros((32, 32, 3), np.uint8))]


def test_a_drawer_that_knows_is_used_and_one_that_does_not_is_not(
    manifest: Path, tmp_path: Path
) -> None:
    knows = Knows(manifest.parent)
    drawers = (knows, Guesses(manifest.parent), knows)
    helped, left, again = (
        run(manifest, encoder=ToyEncoder(), drawer=drawer, cache=tmp_path) for drawer in drawers
    )

    assert list(helped["cases"]) == ["text->image", "image->text"]  # there is no sound
    assert knows.drawn == 2 * 3 * len(_NAMES)  # what was drawn is kept
    assert {n: c | {"seconds_a_query": 0} for n, c in helped["cases"].items()} == {
        n: c | {"seconds_a_query": 0} for n, c in again["cases"].items()
    }
    for name, case in helped["cases"].items():
        assert case["drawn"]["success@1"] == 1.0
        assert case["drawn"]["mrr"] > case["another"]["mrr"]
        gain = case["differences"]["mrr"]
        assert gain["difference"] == pytest.approx(case["fused"]["mrr"] - case["query"]["mrr"])
        assert gain["interval"][0] > 0
        assert min(case["weights"]) > 0
        # What tells nothing is rarely used, and never helps for sure.
        assert left["cases"][name]["differences"]["mrr"]["interval"][0] <= 0
    json.dumps(helped)


def test_it_is_run_by_name_and_goes_on_from_what_was_drawn(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knows = Knows(manifest.parent)
    monkeypatch.setattr("retrieval.imagine.ModelDrawer", lambda: knows)
    request = Request(encoder=ToyEncoder, data=manifest, limit=4, cache=tmp_path / "vectors")

    first, again = (
        results.run(registry.find("imagine"), request, folder=tmp_path).document for _ in range(2)
    )

    assert knows.drawn == 2 * 3 * 4  # both cases, three seeds; the second run drew nothing
    assert first["cases"]["text->image"]["queries"] == 4
    assert again["cases"]["text->image"]["fused"] == first["cases"]["text->image"]["fused"]
    assert newest(tmp_path, "imagine", data=first["data"]["digest"]) == json.loads(
        json.dumps(again)
    )
    assert newest(tmp_path, "imagine", data="of other data") is None
    with pytest.raises(OmniError, match="imagine has no data"):
        registry.find("imagine").measure(Request(encoder=ToyEncoder))


def test_too_few_queries_are_refused() -> None:
    with pytest.raises(ValueError, match="queries"):
        ImagineOptions(queries=1)
