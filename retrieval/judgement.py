"""What the score of a hit means."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a score compares with those of unrelated pairs of the same two modalities.

    Attributes:
        percentile: How many percent of unrelated pairs score lower.
        best_percentile: How many percent of collections of this size would have no unrelated item
            that scores so high: the percentile among the best of as many unrelated items.
        weak: Whether the hit may as well be chance; see `retrieval.calibrate`.
    """

    percentile: float
    best_percentile: float
    weak: bool
