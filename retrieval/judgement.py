"""What the score of a hit means."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a score compares with those of unrelated pairs of the same two modalities.

    Attributes:
        percentile: How many percent of unrelated pairs score lower.
        expected: How many unrelated items are expected to score as high among as many as were
            searched: all of the collection, or what its filters leave.
        weak: Whether the hit may as well be chance; see `retrieval.calibrate`.
    """

    percentile: float
    expected: float
    weak: bool

    @property
    def best_percentile(self) -> float:
        """How many percent of collections of this size have no unrelated item that scores so high.

        It is the percentile among the best of as many unrelated items.
        """
        return 100 * math.exp(-self.expected)
