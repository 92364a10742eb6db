import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.exact import centre_rows, nearest_rows


def brute_force(
    query: np.ndarray, vectors: np.ndarray, k: int, chosen: np.ndarray | None
) -> list[int]:
    numbers = range(len(vectors)) if chosen is None else chosen.tolist()
    scores = {
        i: np.float32(sum(float(a) * float(b) for a, b in zip(vectors[i], query, strict=True)))
        for i in numbers
    }
    return sorted(scores, key=lambda i: (-scores[i], i))[:k]


@given(
    seed=st.integers(0, 2**32 - 1),
    items=st.integers(1, 60),
    distinct=st.integers(1, 10),
    k=st.integers(1, 70),
    filtered=st.booleans(),
)
def test_nearest_equals_brute_force_with_ties_and_filters(
    seed: int, items: int, distinct: int, k: int, filtered: bool
) -> None:
    generator = np.random.default_rng(seed)
    # Few different vectors for many items: most scores are tied.
    pool = centre_rows(
        generator.standard_normal((distinct, 7)).astype(np.float32), np.zeros(7, np.float32)
    )
    vectors = pool[generator.integers(0, distinct, items)]
    query = centre_rows(
        generator.standard_normal((1, 7)).astype(np.float32), np.zeros(7, np.float32)
    )[0]
    chosen = np.flatnonzero(generator.random(items) < generator.random()) if filtered else None

    numbers, scores = nearest_rows(query, vectors, k=k, chosen=chosen)

    assert numbers.tolist() == brute_force(query, vectors, k, chosen)
    assert len(numbers) == min(k, items if chosen is None else len(chosen))
    np.testing.assert_allclose(scores, vectors[numbers] @ query, atol=1e-6)


@given(k=st.integers(1, 1001), dim=st.sampled_from([7, 32, 384, 512]))
def test_equal_vectors_have_equal_scores_wherever_they_stand(k: int, dim: int) -> None:
    # A plain matrix product fails this: BLAS sums the last rows in another order.
    generator = np.random.default_rng(dim)
    one, query = centre_rows(
        generator.standard_normal((2, dim)).astype(np.float32), np.zeros(dim, np.float32)
    )
    numbers, scores = nearest_rows(query, np.tile(one, (1001, 1)), k=k)

    assert numbers.tolist() == list(range(k))
    assert len(set(scores.tolist())) == 1


def test_a_score_does_not_depend_on_the_filter() -> None:
    generator = np.random.default_rng(0)
    vectors = centre_rows(
        generator.standard_normal((500, 64)).astype(np.float32), np.zeros(64, np.float32)
    )
    every, scores = nearest_rows(vectors[0], vectors, k=500)
    alone = [
        nearest_rows(vectors[0], vectors, k=1, chosen=np.array([number]))[1][0] for number in every
    ]
    np.testing.assert_array_equal(alone, scores)


def test_centred_rows_are_unit_length_and_the_mean_itself_is_zero() -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    mean = vectors[7].copy()
    centred = centre_rows(vectors, mean)
    lengths = np.linalg.norm(centred, axis=1)
    assert lengths[7] == 0
    np.testing.assert_allclose(np.delete(lengths, 7), 1, atol=1e-6)


def test_k_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        nearest_rows(np.ones(2, np.float32), np.ones((3, 2), np.float32), k=0)
