"""What a score means, beside the scores of things that have nothing to do with each other.

A score s of query q is first put in standard deviations of q's own scores over the reference items
of the hit's modality, z = (s - mean) / deviation: some queries are near everything (in the
verification of speakers this is Z-norm). The z of unrelated reference pairs of the same two
modalities say how rare z is: F(z) is the share of them below it. Beyond the largest 1% F goes on as
an exponential tail (peaks over threshold, shape 0), so that it can be asked about collections
larger than the reference. The best of n unrelated items stays below z with probability F(z)^n.

A hit is weak when F(z)^n is below a limit of its two modalities, or when no part of the query is
like anything in the reference: the nearest reference item of its own modality is farther from it
than from all but a few of the reference items themselves. Both limits come with the reference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64

from omni_encoder import Modality

from .compose import Centre, EncodedPart
from .embed import unit
from .judgement import Judgement
from .reference import Reference, direction

_TAIL = 0.01
_LEAST = 1e-6  # a deviation below this would be that of equal vectors


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """How values of unrelated pairs are distributed.

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
        """The share of unrelated pairs above each value, never quite 0."""
        below = np.searchsorted(self.values, values, side="left") / len(self.values)
        beyond = _TAIL * np.exp(-np.maximum(values - self.start, 0) / self.scale)
        return np.where(values > self.start, beyond, 1 - below)


class Calibrator:
    """Judges scores of one collection by an encoder's reference."""

    def __init__(self, reference: Reference, centre: Centre) -> None:
        """Judge by `reference`.

        Args:
            reference: Of the encoder that made the collection.
            centre: Takes off the means that search takes off.
        """
        self._reference = reference
        self._centre = centre
        self._rows: dict[Modality, Float32[np.ndarray, "items dim"]] = {}
        self._tails: dict[tuple[Modality, Modality], Tail] = {}
        self._nearest: dict[Modality, Float64[np.ndarray, " items"]] = {}

    def knows(self, modality: Modality) -> bool:
        """Whether hits of a modality can be judged."""
        return modality in self._reference.cohorts

    def judge(
        self,
        parts: Sequence[EncodedPart],
        vector: Float32[np.ndarray, " dim"],
        found: Sequence[tuple[float, Modality]],
        *,
        items: Mapping[Modality, int],
    ) -> list[Judgement | None]:
        """What each of a query's scores means.

        Args:
            parts: The query's parts.
            vector: What they were composed to, centred.
            found: Scores and modalities of hits.
            items: How many items of each modality were searched.

        Returns:
            A judgement for each of `found`; None where the reference knows nothing of a modality.
        """
        asked = max(parts, key=lambda part: part.weight).modality
        if not self.knows(asked):
            return [None] * len(found)
        strange = self.strange(parts)
        judged: list[Judgement | None] = [None] * len(found)
        query = unit(vector.astype(np.float64)[None])[0]
        for modality in dict.fromkeys(kind for _, kind in found):
            if not self.knows(modality):
                continue
            places = [i for i, (_, kind) in enumerate(found) if kind is modality]
            scores = np.array([found[i][0] for i in places])
            own = self.rows(modality) @ query
            z = (scores - own.mean()) / max(float(own.std()), _LEAST)
            above = self.tail(asked, modality).above(z)
            best = np.exp(items.get(modality, 1) * np.log1p(-np.minimum(above, 1 - 1e-12)))
            limit = self._reference.limits.get(direction(asked, modality), 0.0)
            for i, share, chance in zip(places, above.tolist(), best.tolist(), strict=True):
                weak = strange or chance < limit
                judged[i] = Judgement(100 * (1 - share), 100 * chance, weak=weak)
        return judged

    def strange(self, parts: Sequence[EncodedPart]) -> bool:
        """Whether no wanted part is like anything in the reference."""
        wanted = [part for part in parts if part.weight > 0] or list(parts)
        return all(
            self.knows(part.modality)
            and self.familiarity(part) < self._reference.strange.get(part.modality, 0.0)
            for part in wanted
        )

    def familiarity(self, part: EncodedPart) -> float:
        """The share of reference items of a part's modality that are farther from all others."""
        near = float((self.rows(part.modality) @ self.centred(part)).max())
        return float((self.nearest(part.modality) < near).mean())

    def centred(self, part: EncodedPart) -> Float32[np.ndarray, " dim"]:
        """A part's unit vector, less the mean of its modality."""
        return self._centre(part.vector, part.modality)

    def nearest(self, modality: Modality) -> Float64[np.ndarray, " items"]:
        """For each reference item the cosine to the nearest one that isn't related to it."""
        if modality not in self._nearest:
            scores = self.rows(modality) @ self.rows(modality).T
            scores[self._related(modality, modality)] = -1
            self._nearest[modality] = scores.max(axis=1).astype(np.float64)
        return self._nearest[modality]

    def rows(self, modality: Modality) -> Float32[np.ndarray, "items dim"]:
        """The reference items of a modality, centred."""
        if modality not in self._rows:
            vectors = self._reference.cohorts[modality].vectors
            self._rows[modality] = np.stack([self._centre(row, modality) for row in vectors])
        return self._rows[modality]

    def tail(self, asked: Modality, found: Modality) -> Tail:
        """The z of unrelated reference pairs."""
        if (asked, found) not in self._tails:
            scores = (self.rows(asked) @ self.rows(found).T).astype(np.float64)
            unrelated = ~self._related(asked, found)
            count = np.maximum(unrelated.sum(axis=1, keepdims=True), 1)
            mean = (scores * unrelated).sum(axis=1, keepdims=True) / count
            spread = ((scores - mean) ** 2 * unrelated).sum(axis=1, keepdims=True) / count
            z = (scores - mean) / np.maximum(np.sqrt(spread), _LEAST)
            self._tails[asked, found] = Tail.of(z[unrelated].astype(np.float32))
        return self._tails[asked, found]

    def _related(self, asked: Modality, found: Modality) -> Bool[np.ndarray, "asked found"]:
        groups = self._reference.cohorts
        return groups[asked].groups[:, None] == groups[found].groups[None]
