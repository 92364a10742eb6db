"""Whether one encoder is better than another on the same queries, or only luckier.

`paired_randomisation` is the test of Fisher in the form that Smucker, Allan and Carterette (2007)
recommend for retrieval: if both systems were the same, each query's difference could as well have
had the other sign. `bootstrap_difference` says how large the difference may be.
"""

from dataclasses import dataclass

import numpy as np

from omni_encoder.arrays import Float64

ROUNDS = 10_000
LEVEL = 0.05
_BLOCK_FLIPS = 4_000_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """How `b` compares with `a`, by the means of one metric over the same queries.

    Attributes:
        queries: How many there are.
        a: The mean of the first.
        b: The mean of the second.
        interval: The bootstrap 95% interval of `b - a`, queries resampled in pairs.
        p: How often a difference at least so large arises from signs at random, two-sided. It is
            never 0: with 10,000 rounds the least value is 1 / 10,001.
    """

    queries: int
    a: float
    b: float
    interval: tuple[float, float]
    p: float

    @property
    def difference(self) -> float:
        """By how much `b` is above `a`."""
        return self.b - self.a


def compare(
    a: Float64[np.ndarray, " queries"], b: Float64[np.ndarray, " queries"], *, seed: int = 0
) -> Comparison:
    """Compare two lists of figures, one for each query, in the same order.

    Raises:
        ValueError: The lists differ in length or are empty.
    """
    return Comparison(
        queries=len(a),
        a=float(np.mean(a)) if len(a) else 0.0,
        b=float(np.mean(b)) if len(b) else 0.0,
        interval=bootstrap_difference(a, b, seed=seed),
        p=paired_randomisation(a, b, seed=seed),
    )


def paired_randomisation(
    a: Float64[np.ndarray, " queries"],
    b: Float64[np.ndarray, " queries"],
    *,
    seed: int = 0,
    rounds: int = ROUNDS,
) -> float:
    """The two-sided p-value of the paired randomisation test on the difference of means.

    Raises:
        ValueError: The lists differ in length or are empty, or `rounds` is less than 1.
    """
    differences = _differences(a, b)
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    sizes = np.abs(differences[differences != 0])
    if not len(sizes):
        return 1.0
    observed = abs(differences.sum())
    sums = _random_sums(sizes, np.random.default_rng(seed), rounds=rounds)
    # Sums of the same numbers in another order may differ by rounding, and must count as equal.
    as_large = np.abs(sums) >= observed - 1e-9 * sizes.sum()
    return (int(as_large.sum()) + 1) / (rounds + 1)


def bootstrap_difference(
    a: Float64[np.ndarray, " queries"],
    b: Float64[np.ndarray, " queries"],
    *,
    seed: int = 0,
    resamples: int = 2000,
) -> tuple[float, float]:
    """The 95% percentile interval of the difference of means, `b - a`.

    Raises:
        ValueError: The lists differ in length or are empty.
    """
    differences = _differences(a, b)
    levels, counts = np.unique(differences, return_counts=True)
    generator = np.random.default_rng(seed)
    if len(levels) * 4 < len(a):
        means = generator.multinomial(len(a), counts / len(a), size=resamples) @ levels / len(a)
    else:
        means = np.array(
            [differences[generator.integers(len(a), size=len(a))].mean() for _ in range(resamples)]
        )
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _differences(
    a: Float64[np.ndarray, " queries"], b: Float64[np.ndarray, " queries"]
) -> Float64[np.ndarray, " queries"]:
    if a.shape != b.shape or not len(a):
        raise ValueError(f"two lists of one length are compared, got {a.shape} and {b.shape}")
    return b - a


def _random_sums(
    sizes: Float64[np.ndarray, " n"], generator: np.random.Generator, *, rounds: int
) -> Float64[np.ndarray, " rounds"]:
    """Sums of the sizes with signs at random."""
    levels, counts = np.unique(sizes, return_counts=True)
    if len(levels) * 4 < len(sizes):  # such as Success@k, whose differences are all 1
        positive = generator.binomial(counts, 0.5, size=(rounds, len(levels)))
        return (2 * positive - counts) @ levels
    step = max(1, _BLOCK_FLIPS // len(sizes))
    parts: list[Float64[np.ndarray, " some"]] = []
    for start in range(0, rounds, step):
        shape = (min(step, rounds - start), len(sizes))
        signs = generator.integers(0, 2, size=shape, dtype=np.int8)
        parts.append(2 * (signs @ sizes) - sizes.sum())
    return np.concatenate(parts)
