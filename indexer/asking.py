"""What a segment is asked, and the short list that it answers with."""

from dataclasses import dataclass

import numpy as np

from omni_encoder.arrays import Bool, Float32, Int64


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question to one segment.

    Attributes:
        query: Unit length, without the mean of its own modality.
        mean: What is subtracted from the segment's vectors today.
        k: How many items are wanted.
        exact: Whether nothing may be missed.
        device: Where an exact search runs: `cpu`, or a device of torch's.
    """

    query: Float32[np.ndarray, " dim"]
    mean: Float32[np.ndarray, " dim"]
    k: int
    exact: bool
    device: str = "cpu"


@dataclass(frozen=True, slots=True, eq=False)
class ShortList:
    """Positions of items that may be among the best, estimated scores, and how wrong these are."""

    positions: Int64[np.ndarray, " listed"]
    scores: Float32[np.ndarray, " listed"]
    error: float

    def cut(self, k: int) -> "ShortList":
        """Without those that can't be among the first `k`."""
        if len(self.positions) <= k:
            return self
        kept = (self.scores >= kth(self.scores, k) - 2 * self.error).nonzero()[0]
        return ShortList(self.positions.take(kept), self.scores.take(kept), self.error)


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Which rows may be found.

    Attributes:
        asked: Which pass the filters; None stands for all.
        mask: Which of these are still there; None stands for all.
        count: How many that are.
    """

    asked: Bool[np.ndarray, " rows"] | None
    mask: Bool[np.ndarray, " rows"] | None
    count: int


def kth(scores: Float32[np.ndarray, " scores"], k: int) -> float:
    """The k-th largest score, or minus infinity if there are fewer."""
    if len(scores) < k:
        return -np.inf
    ordered = scores.copy()
    ordered.partition(len(scores) - k)
    return float(ordered[len(scores) - k])
