"""Simulated users, on made pictures whose captions the toy encoder can tell apart."""

import json
from pathlib import Path

import numpy as np
import pytest
from omnidex_benchmarks import turns
from omnidex_benchmarks.manifest import ManifestItem
from omnidex_benchmarks.protocol import Request
from omnidex_benchmarks.turn_users import Seen, Target, Words, load_targets, next_turn, words_about
from PIL import Image

from omni_encoder import Modality, OmniError
from retrieval.feedback import Feedback, Method
from retrieval.turns import Turn
from tests.toy import ToyEncoder

COLOURS = {"red": (220, 20, 20), "green": (20, 200, 30), "blue": (20, 30, 220)}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    rows: list[str] = []
    for name, colour in COLOURS.items():
        for number in range(6):
            pixels = np.full((16, 16, 3), colour, np.uint8)
            pixels[: number + 1, :5] = 255
            Image.fromarray(pixels).save(tmp_path / f"{name}{number}.png")
            row = {"id": f"{name}{number}", "modality": "image", "file": f"{name}{number}.png"}
            row |= {"captions": [f"a photo of a {name} wall number {number}"], "tags": [name]}
            rows.append(json.dumps(row | {"label": name, "pair_id": f"{name}{number}"}))
    (tmp_path / "manifest.jsonl").write_text("\n".join(rows))
    return tmp_path / "manifest.jsonl"


def target(id: str, *, label: str | None = None, tags: str = "", kind: str | None = None) -> Target:
    item = ManifestItem(id, Modality.IMAGE, Path(id), ("a photo of a cat",), "s", label, None, "")
    return Target(item, id, frozenset(tags.split()), kind)


def test_a_user_likes_the_best_wrong_hit_and_else_dislikes_the_first() -> None:
    targets = [
        target("mine", label="cat", tags="pet fur", kind="animals"),
        target("tag", tags="fur"),
        target("kind", kind="animals"),
        target("label", label="cat"),
        target("nothing", label="car"),
    ]
    words = Words("pet", "fur", "cat")

    def said(*shown: int) -> Turn:
        return next_turn("hits", 2, words, Seen(0, shown), targets)

    assert said(4, 1, 2, 3) == Turn(more=(4,))
    assert said(4, 1, 2) == Turn(more=(3,))
    assert said(4, 1) == Turn(more=(2,))
    assert said(4) == Turn(less=(1,))
    assert next_turn("words", 2, words, Seen(0, (4,)), targets) == Turn(text="fur")
    assert next_turn("mixed", 3, words, Seen(0, (4,)), targets) == Turn(text="cat")


def test_words_begin_vague_and_end_with_the_caption() -> None:
    generator = np.random.default_rng(0)

    assert words_about(target("a", tags="pet", kind="animals"), generator).caption == "cat"
    known = words_about(target("a", tags="pet", kind="animals"), generator)
    assert {known.vague, known.more} == {"pet", "animals"}
    assert words_about(target("a"), generator) == Words("cat", "cat", "cat")


def test_figures_are_shares_and_the_first_turn_is_the_encoder_alone(manifest: Path) -> None:
    result = turns.run(Request(encoder=ToyEncoder, data=manifest, limit=6))

    assert set(result["by_user"]) == {"words", "hits", "mixed"}
    for figures in result["by_user"].values():
        assert len(figures) == turns.TURNS
        for method in Method:
            assert figures[0][method]["success@10"] == figures[0]["first"]["success@10"]
            assert figures[0][method]["above_first"]["success@1"] == 0
            found = [turn[method]["found@10"] for turn in figures]
            assert found == sorted(found)
        assert figures[-1]["paging"]["found@10"] == 1  # there are 18 items
    json.dumps(result)


def test_users_who_like_hits_find_more_of_what_they_like(manifest: Path) -> None:
    request = Request(encoder=ToyEncoder, data=manifest, limit=9)
    targets = load_targets(manifest, None)
    talks = turns._talks(targets, range(len(targets)), 0)
    world = turns._world(targets, talks, request)

    ranks = turns.simulate(world, talks, "hits", Feedback(beta=2.0))

    # Five others are of the same colour, and those that were named are left out.
    assert np.median(ranks[2]) <= 6 < np.median(ranks[0])


def test_without_a_manifest_it_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(OmniError, match="need a manifest"):
        turns.run(Request(encoder=ToyEncoder))
