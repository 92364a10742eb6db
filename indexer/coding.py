"""Learning codes for the rows of a segment, and choosing among kinds of codes by measurement."""

from dataclasses import dataclass

import numpy as np

from omni_encoder.arrays import Float16, Float32, Float64

from .cache_files import Tuning
from .exact import centre_rows
from .scanner import BLOCK_ROWS, Codes, leading_axes, training_rows, turned
from .tuning import QUERIES, Truth, tune


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """How to build the segments of one modality.

    Attributes:
        mean: The mean to subtract from its vectors.
        target: The recall that its codes are tuned to.
        strangers: Centred vectors of other modalities, to tune the codes by as well.
    """

    mean: Float32[np.ndarray, " dim"]
    target: float
    strangers: Float32[np.ndarray, "strangers dim"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of codes.

    Attributes:
        energy: Which share of the rows' squares must lie on the axes that are coded.
        axes_per_number: How many of these axes one 4-bit number stands for.
    """

    energy: float
    axes_per_number: int


KINDS = (Kind(0.9, 2), Kind(0.98, 2), Kind(1.0, 2))
"""From the fastest to the one that misses least."""

NUMBERS_PER_CANDIDATE = 16_000
"""So many numbers are scanned in the time that one candidate's own vector takes (measured)."""


class Coder:
    """Codes for centred rows, which it is shown one block after the other."""

    def __init__(self, vectors: Float16[np.ndarray, "rows dim"], recipe: Recipe) -> None:
        """Learn the first kind of codes from some of the rows.

        Args:
            vectors: All rows, not centred.
            recipe: What to subtract from them, and what the codes must reach.
        """
        self._vectors = vectors
        self._recipe = recipe
        rows = len(vectors)
        drawn = np.random.default_rng(rows).permutation(rows)
        sample = vectors[np.sort(drawn[: training_rows(rows)])].astype(np.float32)
        self._sample = centre_rows(sample, recipe.mean)
        self._axes, self._shares = leading_axes(self._sample)
        own = np.sort(drawn[:QUERIES])
        within = centre_rows(vectors[own].astype(np.float32), recipe.mean)
        self._truth = Truth(within, recipe.strangers, own=own)
        self._codes = self._learn(KINDS[0])

    def add(self, block: Float32[np.ndarray, "block dim"], *, start: int) -> None:
        """See the next rows, which are centred."""
        self._codes.add(block)
        self._truth.add(block, start=start)

    def tuned(self) -> tuple[Codes, Tuning]:
        """The fastest kind of codes that is good enough, else the last, and how to use them."""
        codes, tuning = self._codes, self._tune(self._codes)
        for kind in KINDS[1:]:
            refining = tuning.candidates_10 * NUMBERS_PER_CANDIDATE
            if tuning.reached and refining <= self._scanned(codes):
                break
            others = self._learn(kind)
            for start in range(0, len(self._vectors), BLOCK_ROWS):
                raw = self._vectors[start : start + BLOCK_ROWS].astype(np.float32)
                others.add(centre_rows(raw, self._recipe.mean))
            its_tuning = self._tune(others)
            if tuning.reached and self._cost(others, its_tuning) >= self._cost(codes, tuning):
                break
            codes, tuning = others, its_tuning
        return codes, tuning

    def _scanned(self, codes: Codes) -> int:
        """How many numbers a query looks at."""
        return len(self._vectors) * codes.numbers

    def _cost(self, codes: Codes, tuning: Tuning) -> int:
        return self._scanned(codes) + tuning.candidates_10 * NUMBERS_PER_CANDIDATE

    def _learn(self, kind: Kind) -> Codes:
        dim = self._vectors.shape[1]
        held: Float64[np.ndarray, " dim"] = np.minimum(np.cumsum(self._shares), 1)
        kept = int(np.searchsorted(held, min(kind.energy, held[-1]))) + 1
        numbers = max(1, -(-min(kept, dim) // kind.axes_per_number))
        kept = numbers * kind.axes_per_number
        if kept > dim:
            numbers = max(1, dim // kind.axes_per_number)
            kept = min(dim, numbers * kind.axes_per_number)
        axes = turned(self._axes[:kept], seed=kept)
        return Codes.train(self._sample, axes, rows=len(self._vectors), numbers=numbers)

    def _tune(self, codes: Codes) -> Tuning:
        return tune(codes, self._truth, rows=len(self._vectors), target=self._recipe.target)
