from pathlib import Path

import numpy as np
import pytest

from omni_encoder import Modality, OmniError
from retrieval.calibrate import Calibrator, Tail, leading
from retrieval.compose import EncodedPart
from retrieval.reference import Cohort, Reference, find_reference, read_reference, save_reference

DIM = 64


def rows(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def reference(limit: float = 0.5) -> Reference:
    cohorts = {
        Modality.TEXT: Cohort(rows(400, 1), np.arange(400)),
        Modality.IMAGE: Cohort(rows(300, 2), np.arange(300)),
    }
    return Reference("abc", cohorts, {"text->image": limit})


def plain(vector: np.ndarray, modality: Modality) -> np.ndarray:
    return vector


def test_a_tail_gives_the_share_above_and_goes_on_beyond_what_was_seen() -> None:
    values = np.random.default_rng(0).standard_exponential(200_000).astype(np.float32)
    tail = Tail.of(values)

    # The exact share above x of an exponential is exp(-x); 15 is beyond all 200,000 values.
    for x in (0.5, 2.0, 6.0, 15.0):
        assert np.log(tail.above(np.array([x]))[0]) == pytest.approx(-x, rel=0.05)


def test_percentiles_are_the_share_of_unrelated_pairs_below() -> None:
    unrelated = (rows(400, 1) @ rows(300, 2).T).ravel()

    (judged,) = Calibrator(reference(), plain).judge(
        Modality.TEXT, [(0.12, Modality.IMAGE)], items={Modality.IMAGE: 1000}
    )

    assert judged is not None
    assert judged.percentile == pytest.approx(100 * (unrelated < 0.12).mean(), abs=0.01)
    assert judged.expected == pytest.approx(1000 * (unrelated >= 0.12).mean(), rel=1e-3)
    assert judged.best_percentile == pytest.approx(100 * np.exp(-judged.expected))


def test_the_best_of_unrelated_items_has_percentiles_spread_evenly_whatever_the_size() -> None:
    calibrator = Calibrator(reference(), plain)
    for size in (30, 3000):
        best: list[float] = []
        for seed in range(60):
            score = float((rows(size, 1000 + seed) @ rows(1, 100 + seed)[0]).max())
            (judged,) = calibrator.judge(
                Modality.TEXT, [(score, Modality.IMAGE)], items={Modality.IMAGE: size}
            )
            assert judged is not None
            best.append(judged.best_percentile)
        assert 40 < np.mean(best) < 60


def test_a_hit_is_weak_beyond_the_limit_of_its_direction_and_the_size_of_the_collection() -> None:
    judge = Calibrator(reference(0.5), plain).judge
    found = [(score, Modality.IMAGE) for score in (0.6, 0.4, 0.3)] + [(0.6, Modality.AUDIO)]

    sizes = (10, 300, 30_000)
    few, some, many = (judge(Modality.TEXT, found, items={Modality.IMAGE: n}) for n in sizes)

    marks = [[None if hit is None else hit.weak for hit in hits] for hits in (few, some, many)]
    assert marks == [
        [False, False, False, None],
        [False, False, True, None],
        [False, True, True, None],
    ]
    judged = [hit for hits in (few, some, many) for hit in hits if hit is not None]
    assert [hit.weak for hit in judged] == [hit.expected > 0.5 for hit in judged]


def test_related_pairs_have_no_say_in_what_unrelated_ones_score() -> None:
    vectors = rows(50, 3)
    cohorts = {
        Modality.TEXT: Cohort(vectors, np.arange(50)),
        Modality.IMAGE: Cohort(vectors, np.arange(50)),  # each text has an image just like it
    }

    tail = Calibrator(Reference("abc", cohorts), plain).tail(Modality.TEXT, Modality.IMAGE)

    assert len(tail.values) == 50 * 49
    assert tail.values.max() < 0.9


def test_the_part_that_counts_most_says_what_a_query_is() -> None:
    image, text = (EncodedPart(kind, rows(1, 0)[0]) for kind in (Modality.IMAGE, Modality.TEXT))
    heavy = EncodedPart(Modality.AUDIO, rows(1, 0)[0], 2.0)
    unwanted = EncodedPart(Modality.VIDEO, rows(1, 0)[0], -3.0)

    assert leading([image, text]) is Modality.IMAGE
    assert leading([image, unwanted, heavy, text]) is Modality.AUDIO


def test_a_reference_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    made = reference(0.75)
    save_reference(made, tmp_path / "r.npz")

    read = read_reference(tmp_path / "r.npz")

    assert (read.fingerprint, read.limits, read.strange) == ("abc", {"text->image": 0.75}, {})
    assert read.cohorts.keys() == made.cohorts.keys()
    for modality, cohort in made.cohorts.items():
        np.testing.assert_allclose(read.cohorts[modality].vectors, cohort.vectors, atol=1e-3)
        np.testing.assert_array_equal(read.cohorts[modality].groups, cohort.groups)


def test_a_reference_lies_beside_its_checkpoint_and_serves_no_other_encoder(tmp_path: Path) -> None:
    save_reference(reference(), tmp_path / "mine-reference.npz")
    name = f"omni:{tmp_path / 'mine.safetensors'}"

    assert find_reference(name, "abc") is not None
    assert find_reference(name, "another") is None
    assert find_reference(f"omni:{tmp_path / 'other.safetensors'}", "abc") is None
    assert find_reference("open_clip:ViT-B-32/x", "abc") is None


def test_a_damaged_reference_says_how_to_make_it_again(tmp_path: Path) -> None:
    (tmp_path / "r.npz").write_bytes(b"PK nothing")

    with pytest.raises(OmniError) as caught:
        read_reference(tmp_path / "r.npz")
    assert "bench reference" in str(caught.value.hint)


def test_a_query_unlike_all_references_is_strange_and_all_its_hits_weak() -> None:
    # References lie in one half of the space, the strange query in the other.
    cohorts = {Modality.TEXT: Cohort(np.abs(rows(200, 7)), np.arange(200))}
    made = Reference("abc", cohorts, strange={Modality.TEXT: 0.5})
    calibrator = Calibrator(made, plain)
    odd = EncodedPart(Modality.TEXT, -np.abs(rows(1, 8)[0]))
    usual = EncodedPart(Modality.TEXT, np.abs(rows(1, 9)[0]))
    unwanted = EncodedPart(Modality.TEXT, usual.vector, -1.0)
    image = EncodedPart(Modality.IMAGE, rows(1, 3)[0])

    assert calibrator.familiarity(odd) < 0 < calibrator.familiarity(usual)
    assert calibrator.strange([odd])
    assert calibrator.strange([odd, unwanted])
    assert not calibrator.strange([odd, usual])
    assert not calibrator.strange([odd, image])  # of images the reference can't say
    (judged,) = calibrator.judge(
        Modality.TEXT, [(0.99, Modality.TEXT)], items={}, strange=calibrator.strange([odd])
    )
    assert judged is not None
    assert judged.weak
