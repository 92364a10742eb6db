"""`bench rerank` where the truth is known: what helps is found, what doesn't help is not used."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from omnidex_benchmarks.rerank import ByCodes, RerankOptions, run
from PIL import Image

from omni_encoder import MediaItem, Modality
from omni_encoder.item_codes import ItemCodes
from retrieval.embed import embed_files
from tests.toy import ToyEncoder
from tests.toy_coder import ToyCoder

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


def test_a_judge_that_knows_is_used_and_one_that_does_not_is_not(manifest: Path) -> None:
    encoder = ToyEncoder()
    files = [manifest.parent / f"{number}.png" for number in range(len(_NAMES))]
    truth = dict(zip(_NAMES, embed_files(files, encoder).vectors, strict=True))

    def knows(query: MediaItem, candidates: np.ndarray, kinds: Sequence[Modality]) -> np.ndarray:
        assert set(kinds) == {Modality.IMAGE}
        return candidates.astype(np.float64) @ truth[str(query.content)]

    def guesses(query: MediaItem, candidates: np.ndarray, kinds: Sequence[Modality]) -> np.ndarray:
        return np.zeros(len(candidates))

    options = RerankOptions(top=len(_NAMES))
    helped, kept = (
        run(manifest, encoder=encoder, judge=lambda _seed, j=judge: j, options=options)
        for judge in (knows, guesses)
    )

    good, same = (result["directions"]["text->image"] for result in (helped, kept))
    assert good["flow"] == good["reachable"] == 1.0
    assert good["difference"] == pytest.approx(good["blend"] - good["cosine"])
    assert good["difference"] > 0.3
    assert min(good["weights"]) > 0
    assert same["difference"] == 0
    assert set(same["weights"]) == {0.0}
    json.dumps(helped)


def test_codes_are_judged_where_there_are_any(manifest: Path) -> None:
    seeds: list[int] = []

    def first_is_right(
        query: MediaItem, found: Sequence[ItemCodes], kinds: Sequence[Modality]
    ) -> np.ndarray:
        assert len(found) == len(kinds) == len(_NAMES)
        return np.array([codes.prior for codes in found])

    def by_codes(seed: int) -> ByCodes:
        seeds.append(seed)
        return ByCodes(ToyCoder(), first_is_right)

    options = RerankOptions(top=len(_NAMES), seeds=2)
    result = run(manifest, encoder=ToyEncoder(), judge=by_codes, options=options)

    # Whatever is asked, the same picture has the highest prior.
    assert result["directions"]["text->image"]["flow"] == pytest.approx(1 / len(_NAMES))
    assert set(seeds) == {0, 1}

    class NoImages(ToyCoder):
        modalities = (Modality.AUDIO,)

    nothing = run(
        manifest,
        encoder=ToyEncoder(),
        judge=lambda _seed: ByCodes(NoImages(), first_is_right),
        options=options,
    )
    assert nothing["directions"] == {}


def test_too_short_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="top"):
        RerankOptions(top=1)
