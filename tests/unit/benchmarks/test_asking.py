"""`bench composed`, `mixed`, `weak` and `reference` on small manifests whose answers are known."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from omnidex_benchmarks import composed, mixed, weak
from omnidex_benchmarks.composed_queries import tag_tasks
from omnidex_benchmarks.manifest import load_items
from omnidex_benchmarks.nonsense import drawn_texts, noise_images, noise_sounds, typed_texts
from omnidex_benchmarks.reference import ReferenceOptions, make_reference, with_limits
from PIL import Image

from omni_encoder import EncoderSpec, MediaItem, MediaLayout, Modality, OmniError
from retrieval.calibrate import Calibrator
from retrieval.reference import Cohort, Reference

WORDS = ("red", "green", "blue", "dark", "light")
SHADES = {"dark": 90, "light": 220}
DIM = 16


class Oracle:
    """Knows colours and how bright they are; pictures lie apart from texts by a constant."""

    means = None

    def __init__(self) -> None:
        kinds = (Modality.TEXT, Modality.IMAGE)
        self.spec = EncoderSpec("oracle", "0" * 32, DIM, kinds, MediaLayout(image_pixels=16))

    def encode(self, items: Sequence[MediaItem]) -> np.ndarray:
        rows = np.array([self._row(item) for item in items]).reshape(-1, DIM)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def encode_joint(self, sequences: Sequence[Sequence[str | np.ndarray]]) -> np.ndarray:
        """Reads the texts only, as a model that ignores pictures would."""
        texts = [" ".join(p for p in parts if isinstance(p, str)) or "red" for parts in sequences]
        return self.encode([MediaItem(Modality.TEXT, text) for text in texts])

    def _row(self, item: MediaItem) -> np.ndarray:
        row = np.zeros(DIM)
        if isinstance(item.content, str):
            known = [WORDS.index(word) for word in item.content.split() if word in WORDS]
            row[known] = 1
            row[5 if known else 6] = 0.5
            noise = sum(item.content.encode())
        else:
            pixels = item.content.reshape(-1, 3).mean(axis=0)
            row[int(pixels.argmax())] = 1
            row[3 if pixels.max() < 150 else 4] = 1
            row[7] = 2  # the gap between modalities
            noise = int(pixels.sum() * 100)
        return row + np.random.default_rng(noise).normal(0, 0.02, DIM)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Six pictures of each colour and shade, in two styles that share a pair id; half held out."""
    folder = tmp_path_factory.mktemp("pack")
    rows: list[dict[str, object]] = []
    for colour, name in enumerate(WORDS[:3]):
        for shade, value in SHADES.items():
            for number in range(6):
                pixels = np.random.default_rng(number).integers(0, 20, (20, 20, 3), dtype=np.uint8)
                pixels[..., colour] += np.uint8(value - 20 + number)
                id = f"{shade}-{name}-{number}"
                Image.fromarray(pixels).save(folder / f"{id}.png")
                rows.append(
                    {
                        "id": id,
                        "modality": "image",
                        "file": f"{id}.png",
                        "captions": [f"something {shade} and {name} {number // 2}"],
                        "tags": [shade, name],
                        "source": "made",
                        "pair_id": f"{shade}-{name}-{number // 2}",
                    }
                )
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    held = [row["id"] for row in rows if str(row["id"])[-1] in "0123"]
    (folder / "split.json").write_text(json.dumps({"validation": held}))
    return folder / "manifest.jsonl", folder / "split.json"


def test_two_tags_together_are_answered_where_one_alone_cannot(pack: tuple[Path, Path]) -> None:
    result = composed.run(pack[0], encoder=Oracle(), split=pack[1])

    task = result["tasks"]["tag+tag->picture"]
    assert task["folds"] == 3
    assert task["candidates"] == 24
    assert task["rows"]["arithmetic"]["success@1"] == 1.0
    assert task["rows"]["tag alone"]["success@1"] < 0.8
    assert task["against"]["arithmetic - tag alone"]["success@1"]["interval"][0] > 0
    without = result["tasks"]["tag-tag->picture"]["rows"]
    assert without["arithmetic"]["success@1"] > without["tag alone"]["success@1"]
    assert without["arithmetic"]["unwanted@10"] < without["tag alone"]["unwanted@10"]
    # This reader ignores pictures, so with a picture it is worse, and the figures must say so.
    with_picture = result["tasks"]["tag+picture->picture"]["against"]["joint - arithmetic"]
    assert with_picture["ndcg@10"]["difference"] < 0
    assert result["tasks"]["name+picture->picture"]["queries"] == 24


def test_tag_queries_leave_out_their_own_picture_and_answers_carry_both_tags(
    pack: tuple[Path, Path],
) -> None:
    items = load_items(pack[0])
    tags = {item.id: frozenset(item.id.split("-")[:2]) for item in items}

    seen, words, without = tag_tasks(items, tags, seed=0)

    assert seen.queries
    for query in seen.queries:
        wanted = str(query.parts[0][0].content)
        own = tags[items[query.own].id]
        assert wanted not in own
        assert query.own not in query.answers
        shared = [tags[items[answer].id] for answer in query.answers]
        assert all(wanted in found and found & own for found in shared)
    assert words.queries[0].own == -1
    for query in without.queries:
        (kept, _), (left_out, sign) = query.parts
        assert sign == -1
        assert all(str(kept.content) in tags[items[a].id] for a in query.answers)
        assert not any(str(left_out.content) in tags[items[a].id] for a in query.answers)
    again = tag_tasks(items, tags, seed=0)[0]
    assert again == seen


def test_a_manifest_without_pairs_and_tags_has_no_composed_queries(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), (200, 0, 0)).save(tmp_path / "a.png")
    row = {"id": "a", "modality": "image", "file": "a.png", "captions": ["red"]}
    (tmp_path / "m.jsonl").write_text(json.dumps(row))

    with pytest.raises(OmniError, match="no composed queries"):
        composed.run(tmp_path / "m.jsonl", encoder=Oracle())


def test_the_means_bring_texts_and_pictures_together(pack: tuple[Path, Path]) -> None:
    result = mixed.run(pack[0], encoder=Oracle(), split=pack[1])

    assert result["items"] == {"text": 12, "image": 24}
    texts = result["queries"]["text"]
    assert texts["queries"] == 12
    assert texts["centred"]["same_kind@10"] < texts["raw"]["same_kind@10"]
    assert result["queries"]["all"]["difference"] > 0


def test_nonsense_is_weak_and_true_hits_are_not(pack: tuple[Path, Path]) -> None:
    encoder = Oracle()
    reference = make_reference(
        pack[0], encoder=encoder, split=pack[1], options=ReferenceOptions(items=6)
    )
    result = weak.run(pack[0], encoder=encoder, reference=reference, split=pack[1])

    assert set(reference.cohorts) == {Modality.TEXT, Modality.IMAGE}
    # One item of each of the six training groups, none of which is held out.
    assert sorted(reference.cohorts[Modality.IMAGE].groups.tolist()) == list(range(6))
    assert set(reference.limits) == {
        f"{asked}->{found}" for asked in ("text", "image") for found in ("text", "image")
    }
    figures = result["directions"]["text->image"]
    assert figures["nonsense_results"] == 10 * len(typed_texts())
    assert figures["nonsense_weak"] >= 0.95
    assert figures["true_kept"] >= 0.9
    assert "all" in result["directions"]


def test_nonsense_is_seeded_and_the_two_sets_share_nothing() -> None:
    typed = typed_texts()

    assert len(typed) >= 100
    assert all(text == text.strip() and text for text in typed)
    drawn = drawn_texts(count=300, seed=0)
    assert drawn == drawn_texts(count=300, seed=0) != drawn_texts(count=300, seed=1)
    assert not set(typed) & set(drawn)
    first, again, other = (noise_images(count=8, seed=seed, side=30) for seed in (0, 0, 1))
    assert all(np.array_equal(a.content, b.content) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].content, other[0].content)
    assert {item.content.shape for item in first} == {(30, 30, 3)}
    sounds = noise_sounds(count=9, seed=0, seconds=0.5)
    assert {len(item.content) for item in sounds} == {8000}
    assert all(np.abs(item.content).max() <= 0.9001 for item in sounds)


def test_the_line_leaves_room_for_nonsense_of_kinds_that_nobody_saw() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(200, DIM)).astype(np.float32)
    rows[:, 0] += 2
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = draw.normal(size=(24, DIM)).astype(np.float32)
    queries[::4, 0] += 1  # one kind of four is nearer to the cohort than the others
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    cohort = Cohort(rows, np.arange(200))
    reference = Reference("0" * 32, {Modality.IMAGE: cohort})

    def centre(vectors: np.ndarray, _kind: Modality) -> np.ndarray:
        return vectors

    made = with_limits(reference, centre, {Modality.IMAGE: queries})

    tail = Calibrator(reference, centre).tail(Modality.IMAGE, Modality.IMAGE)
    best = np.sort(queries @ rows.T, axis=1)[:, :-11:-1]
    expected = [[200 * float(tail.above(np.array([score]))[0]) for score in row] for row in best]

    def weak(share: float) -> float:
        found: list[bool] = []
        for kind in range(4):
            others = sorted(e for i, row in enumerate(expected) if i % 4 != kind for e in row)
            limit = max(others[int((1 - share) * (len(others) - 1))], 0.5)
            found += [e > limit for row in expected[kind::4] for e in row]
        return float(np.mean(found))

    share = next(s for s in (number / 1000 for number in range(950, 1000)) if weak(s) >= 0.95)
    everything = sorted(e for row in expected for e in row)
    limit = everything[int((1 - share) * (len(everything) - 1))]
    assert share > 0.95
    assert made.limits == {"image->image": pytest.approx(max(limit, 0.5))}
    assert not made.strange  # what is drawn like the cohort is as familiar
