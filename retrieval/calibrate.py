"""What a score means, beside the scores of things that have nothing to do with each other.

F(s) is the share of unrelated reference pairs of a hit's two modalities that score below s; beyond
the largest 0.1% it goes on as an exponential tail (peaks over threshold, shape 0), so that it can
be asked about collections larger than the reference. In a collection of n items n (1 - F(s))
unrelated ones are expected to score at least s: the best of 10,000 unrelated items scores higher
than that of 100, and this number (the E-value of sequence search) says by how much.

A hit is weak when it is above a limit of the two modalities: meaningless queries, which are near
nothing, get hits of which far more unrelated ones were to be expected. The limit is the same for
collections of any size, and tells about as well in one of ten items as in one of 200. All hits are
weak when every wanted part of the query is strange: its mean cosine to the ten nearest reference
items of its own modality is below a limit of that modality. The limits come with the reference.

Putting each query's scores into standard deviations first (Z-norm) was tried and is worse: that
meaningless queries are near nothing is what tells them apart (docs/adr/0050).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from omni_encoder import Modality
from omni_encoder.arrays import Float32, Float64

from .compose import EncodedPart
from .judgement import Judgement
from .reference import Reference, direction

CentreAll = Callable[[Float32[np.ndarray, "rows dim"], Modality], Float32[np.ndarray, "rows dim"]]
"""Takes the mean of a modality off vectors and gives unit vectors."""

_TAIL = 0.001
_NEAREST = 10  # the single nearest separates less well: one odd reference item is enough
_LEAST = 1e-6  # a scale below this would be that of equal scores


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """How the scores of unrelated pairs are distributed.

    Attributes:
        values: Sorted, ascending.
        start: Above it the tail is exponential.
        scale: Of the tail: by how much values above `start` exceed it in the mean.
    """

    values: Float32[np.ndarray, " pairs"]
    start: float
    scale: float

    @classmethod
    def of(cls, values: Float32[np.ndarray, " pairs"]) -> "Tail":
        """The distribution of some values; at least one."""
        ordered = np.sort(values)
        start = float(ordered[int(len(ordered) * (1 - _TAIL))])
        excess = ordered[ordered > start] - start
        return cls(ordered, start, max(float(excess.mean()) if len(excess) else 0.0, _LEAST))

    def above(self, values: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """The share of unrelated pairs at or above each value; beyond all of them nearly 0."""
        below = np.searchsorted(self.values, values, side="left") / len(self.values)
        beyond = _TAIL * np.exp(-np.maximum(values - self.start, 0) / self.scale)
        return np.where(values > self.start, beyond, 1 - below)


class Calibrator:
    """Judges the scores of one collection by an encoder's reference."""

    def __init__(self, reference: Reference, centre_all: CentreAll) -> None:
        """Judge by `reference`.

        Args:
            reference: Of the encoder that made the collection.
            centre_all: Takes off the means that search takes off.
        """
        self._reference = reference
        self._centre_all = centre_all
        self._rows: dict[Modality, Float32[np.ndarray, "items dim"]] = {}
        self._tails: dict[tuple[Modality, Modality], Tail] = {}

    def knows(self, modality: Modality) -> bool:
        """Whether scores of a modality can be judged."""
        return modality in self._reference.cohorts

    def judge(
        self,
        asked: Modality,
        found: Sequence[tuple[float, Modality]],
        *,
        items: Mapping[Modality, int],
        strange: bool = False,
    ) -> list[Judgement | None]:
        """What each of a query's scores means.

        Args:
            asked: The query's modality; see `leading` for one of several parts.
            found: Scores and modalities of hits.
            items: How many items of each modality were searched.
            strange: Whether the query is; see `strange`.

        Returns:
            A judgement for each of `found`; None where the reference knows nothing of a modality.
        """
        judged: list[Judgement | None] = [None] * len(found)
        for modality in dict.fromkeys(kind for _, kind in found):
            if not (self.knows(asked) and self.knows(modality)):
                continue
            places = [i for i, (_, kind) in enumerate(found) if kind is modality]
            above = self.tail(asked, modality).above(np.array([found[i][0] for i in places]))
            limit = self._reference.limits.get(direction(asked, modality), np.inf)
            for i, share in zip(places, above.tolist(), strict=True):
                expected = share * items.get(modality, 1)
                judged[i] = Judgement(100 * (1 - share), expected, weak=strange or expected > limit)
        return judged

    def strange(self, parts: Sequence[EncodedPart]) -> bool:
        """Whether no wanted part is like anything in the reference, as far as it can say."""
        limits = self._reference.strange
        return all(
            part.modality in limits and self.familiarity(part) < limits[part.modality]
            for part in parts
            if part.weight > 0
        )

    def familiarity(self, part: EncodedPart) -> float:
        """The mean cosine of a part to the ten nearest reference items of its modality."""
        query = self._centre_all(part.vector[None], part.modality)
        return float(mean_of_nearest(query @ self.rows(part.modality).T)[0])

    def rows(self, modality: Modality) -> Float32[np.ndarray, "items dim"]:
        """The reference items of a modality, centred."""
        if modality not in self._rows:
            vectors = self._reference.cohorts[modality].vectors
            self._rows[modality] = self._centre_all(vectors, modality)
        return self._rows[modality]

    def tail(self, asked: Modality, found: Modality) -> Tail:
        """The scores of unrelated reference pairs."""
        if (asked, found) not in self._tails:
            cohorts = self._reference.cohorts
            unrelated = cohorts[asked].groups[:, None] != cohorts[found].groups[None]
            scores = self.rows(asked) @ self.rows(found).T
            self._tails[asked, found] = Tail.of(scores[unrelated])
        return self._tails[asked, found]


def leading(parts: Sequence[EncodedPart]) -> Modality:
    """The modality of the part that counts most, the first of equals."""
    return max(parts, key=lambda part: part.weight).modality


def mean_of_nearest(
    scores: Float32[np.ndarray, "queries items"],
) -> Float64[np.ndarray, " queries"]:
    """The mean of each row's ten largest scores."""
    count = min(_NEAREST, scores.shape[1])
    return np.partition(scores, -count, axis=1)[:, -count:].mean(axis=1, dtype=np.float64)
