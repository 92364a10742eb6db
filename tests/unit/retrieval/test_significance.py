import itertools

import numpy as np
import pytest

from retrieval.significance import bootstrap_difference, compare, paired_randomisation


def exact_p(differences: np.ndarray) -> float:
    """The share of all sign patterns with a sum at least as large as the one observed."""
    signs = np.array(list(itertools.product((-1, 1), repeat=len(differences))))
    sums = np.abs(signs @ np.abs(differences))
    return float(np.mean(sums >= abs(differences.sum()) - 1e-12))


@pytest.mark.parametrize("kind", ["success", "precision"])
def test_the_p_value_is_that_of_all_sign_patterns(kind: str) -> None:
    generator = np.random.default_rng(3)
    for _ in range(5):
        if kind == "success":
            a, b = (generator.integers(0, 2, size=12).astype(float) for _ in range(2))
        else:
            a, b = generator.random(12), generator.random(12) + 0.2

        p = paired_randomisation(a, b, rounds=20_000)

        assert p == pytest.approx(exact_p(b - a), abs=0.015)


def test_equal_systems_show_no_difference_and_p_is_never_zero() -> None:
    same = np.random.default_rng(0).random(50)

    assert paired_randomisation(same, same) == 1.0
    assert paired_randomisation(same, same + 1) == 1 / 10_001
    assert compare(same, same + 1).difference == pytest.approx(1)


def test_under_the_null_hypothesis_p_is_uniform() -> None:
    generator = np.random.default_rng(1)
    values = [
        paired_randomisation(generator.random(40), generator.random(40), seed=i, rounds=500)
        for i in range(400)
    ]

    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(values) <= level) == pytest.approx(level, abs=0.06)


def test_the_interval_of_the_difference_covers_the_truth_and_turns_with_the_order() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for i in range(100):
        a = generator.normal(0, 1, 80)
        low, high = bootstrap_difference(a, a + generator.normal(0.3, 1, 80), seed=i, resamples=400)
        covered += low <= 0.3 <= high
    assert 0.88 <= covered / 100 <= 0.99

    a, b = generator.random(30), generator.random(30)
    forward, back = compare(a, b), compare(b, a)
    assert forward.difference == pytest.approx(-back.difference)
    assert forward.p == pytest.approx(back.p)


def test_lists_that_do_not_pair_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="one length"):
        paired_randomisation(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="one length"):
        bootstrap_difference(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="rounds"):
        paired_randomisation(np.zeros(2), np.ones(2), rounds=0)
