import numpy as np
import pytest

from retrieval.evaluate import (
    DIRECTIONS,
    bootstrap_interval,
    carries,
    centre,
    distinct,
    evaluate,
    rank_vectors,
    shares,
    summarise,
)
from retrieval.metrics import rank, success_at_k


def unit_rows(seed: int, rows: int, dim: int = 16) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_figures_have_the_names_of_the_protocol() -> None:
    scores = np.array([[0.9, 0.1, 0.5], [0.2, 0.8, 0.1]])
    relevant = np.array([[True, False, False], [False, False, True]])

    figures = evaluate(scores, relevant).as_json()

    assert figures["success@1"] == 0.5
    assert figures["success@5"] == figures["success@10"] == 1.0
    assert figures["mrr"] == figures["map"] == pytest.approx((1 + 1 / 3) / 2)
    assert figures["median_rank"] == 2.0
    assert figures["chance_success@1"] == pytest.approx(1 / 3)
    assert (figures["queries"], figures["candidates"]) == (2, 3)


def test_blocks_of_queries_rank_as_the_whole_matrix_does() -> None:
    queries, candidates = unit_rows(0, 50), unit_rows(1, 70)
    relevant = np.random.default_rng(2).random((50, 70)) < 0.1
    relevant[:, 3] = True

    whole = rank(queries.astype(float) @ candidates.astype(float).T, relevant)

    blocks = rank_vectors(queries, candidates, relevant, block=7)
    assert summarise(blocks) == summarise(whole)


def test_equal_vectors_tie_whatever_rounding_their_products_get() -> None:
    candidates = np.repeat(unit_rows(0, 1, dim=384), 1001, axis=0)
    relevant = np.zeros((1, 1001), dtype=bool)
    relevant[0, [0, 500, 1000]] = True

    ranking = rank_vectors(candidates[:1], candidates, relevant)

    np.testing.assert_array_equal(ranking.tied, [1001])
    assert success_at_k(ranking, k=10)[0] == 0.0


def test_captions_are_distinct_strings_and_mark_the_items_that_carry_them() -> None:
    captions = [["a dog", "a hound"], ["a cat"], ["a dog"], []]

    queries = distinct(captions)

    assert queries == ["a dog", "a hound", "a cat"]
    np.testing.assert_array_equal(
        carries(queries, captions), np.array([[1, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
    )


def test_items_without_a_key_share_with_none() -> None:
    relevant = shares(["dog", None, "cat"], [None, "cat", "dog", "dog"])

    np.testing.assert_array_equal(
        relevant, np.array([[0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
    )


def test_the_interval_holds_the_mean_narrows_with_more_queries_and_keeps_its_seed() -> None:
    few = (np.arange(100) < 30).astype(float)
    many = (np.arange(10_000) < 3_000).astype(float)

    low, high = bootstrap_interval(few, seed=0)
    narrow_low, narrow_high = bootstrap_interval(many, seed=0)

    assert bootstrap_interval(few, seed=0) == (low, high)
    # The normal approximation: 1.96 * sqrt(0.3 * 0.7 / n).
    assert (low, high) == pytest.approx((0.3 - 0.0898, 0.3 + 0.0898), abs=0.02)
    assert (narrow_low, narrow_high) == pytest.approx((0.3 - 0.009, 0.3 + 0.009), abs=0.002)


def test_centring_removes_the_mean_and_keeps_unit_rows() -> None:
    shifted = unit_rows(0, 40) + 3.0
    shifted /= np.linalg.norm(shifted, axis=1, keepdims=True)

    centred = centre(shifted.astype(np.float32))

    np.testing.assert_allclose(np.linalg.norm(centred, axis=1), 1.0, atol=1e-6)
    assert np.linalg.norm(centred.mean(axis=0)) < 0.3 < np.linalg.norm(shifted.mean(axis=0))
    assert not centre(np.ones((1, 4), dtype=np.float32) / 2).any()


def test_directions_are_named_once_each() -> None:
    names = [direction.name for direction in DIRECTIONS]

    assert len(set(names)) == len(names)
    assert "text->image" in names


def test_nothing_to_judge_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="no query"):
        evaluate(np.zeros((0, 3)), np.zeros((0, 3), bool))
    with pytest.raises(ValueError, match="at least one value"):
        bootstrap_interval(np.zeros(0), seed=0)
