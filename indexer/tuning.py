"""How many candidates the codes must give, found by measuring recall against exact search.

Two kinds of queries are measured: items of the segment, and items of other modalities. Codes that
find the neighbours of the former may miss those of the latter, which lie apart from all they were
trained on; so the number that is kept suits both.
"""

import numpy as np

from omni_encoder.arrays import Float32, Int64

from .cache_files import Tuning
from .scanner import Codes

QUERIES = 100
MOST_CANDIDATES = 4000
FEW_CANDIDATES = 1000
"""Good codes need fewer; the rest are only looked at if they don't reach the target."""
FEWEST_CANDIDATES = 100
MARGIN = 1.5
"""More candidates than the sample needed, for queries that are not in it."""

_DEEP = 100
_SHALLOW = 10


class Truth:
    """The true nearest items of some queries, gathered block by block."""

    def __init__(
        self,
        within: Float32[np.ndarray, "own dim"],
        across: Float32[np.ndarray, "strangers dim"],
        *,
        own: Int64[np.ndarray, " own"],
    ) -> None:
        """Begin with nothing seen.

        Args:
            within: Vectors of items of the segment.
            across: Vectors of items of other modalities, maybe none.
            own: The positions of the former, which are not counted among their neighbours.
        """
        self.queries = np.concatenate([within, across])
        self.split = len(within)
        self._own = own
        self._scores = np.zeros((len(self.queries), 0), np.float32)
        self._positions = np.zeros((len(self.queries), 0), np.int64)

    def add(self, block: Float32[np.ndarray, "block dim"], *, start: int) -> None:
        """See the next rows of the segment."""
        scores = self.queries @ block.T
        inside = np.flatnonzero((self._own >= start) & (self._own < start + len(block)))
        scores[inside, self._own[inside] - start] = -np.inf
        if self._scores.shape[1] == _DEEP:
            self._improve(scores, start)
            return
        scores, positions = _best(scores, np.broadcast_to(np.arange(len(block)), scores.shape))
        scores, positions = _best(
            np.concatenate([self._scores, scores], axis=1),
            np.concatenate([self._positions, positions + start], axis=1),
        )
        self._scores, self._positions = scores, positions

    def _improve(self, scores: Float32[np.ndarray, "queries block"], start: int) -> None:
        """Take up the scores that beat those kept; they are few, and get fewer."""
        least = self._scores.min(axis=1)
        for number in range(len(scores)):
            better = np.flatnonzero(scores[number] > least[number])
            if not len(better):
                continue
            both = np.concatenate([self._scores[number], scores[number, better]])
            positions = np.concatenate([self._positions[number], better + start])
            best = np.argpartition(both, -_DEEP)[-_DEEP:]
            self._scores[number], self._positions[number] = both[best], positions[best]

    def nearest(self) -> Int64[np.ndarray, "queries nearest"]:
        """The positions of the nearest, best first."""
        order = np.argsort(-self._scores, axis=1, kind="stable")
        return np.take_along_axis(self._positions, order, axis=1)


def _best(
    scores: Float32[np.ndarray, "queries items"], positions: Int64[np.ndarray, "queries items"]
) -> tuple[Float32[np.ndarray, "queries best"], Int64[np.ndarray, "queries best"]]:
    """As many of the largest scores as are needed, in any order."""
    if scores.shape[1] <= _DEEP:
        return scores, positions
    best = np.argpartition(scores, -_DEEP, axis=1)[:, -_DEEP:]
    return np.take_along_axis(scores, best, axis=1), np.take_along_axis(positions, best, axis=1)


def tune(codes: Codes, truth: Truth, *, rows: int, target: float) -> Tuning:
    """Find the least work with which both kinds of queries reach a recall.

    If nothing does, the most work is taken; the tuning tells what was measured.

    Args:
        codes: The codes of all rows.
        truth: What they should find.
        rows: How many rows there are.
        target: The least share of the true 10 nearest that must be found.
    """
    nearest = truth.nearest()
    most = min(FEW_CANDIDATES if codes.lists == 1 else MOST_CANDIDATES, rows)
    probes = codes.lists
    if codes.lists > 1:
        for probes in (codes.lists // divisor for divisor in (64, 32, 16, 8, 4)):
            if (
                _recalls(_ranks(codes, truth, nearest, most, probes), truth.split, most)[2]
                >= target
            ):
                break
    ranks = _ranks(codes, truth, nearest, most, probes)
    if most < min(MOST_CANDIDATES, rows) and _recalls(ranks, truth.split, most)[2] < target:
        most = min(MOST_CANDIDATES, rows)
        ranks = _ranks(codes, truth, nearest, most, probes)
    # A share of the true 100 nearest may be missed that is a little larger: few ask for so many.
    few = _least(ranks[:, :_SHALLOW], truth.split, most, target)
    many = max(_least(ranks, truth.split, most, target), few)
    within, across, _ = _recalls(ranks[:, :_SHALLOW], truth.split, few)
    return Tuning(
        target=target,
        candidates_10=few,
        candidates_100=many,
        probes=probes,
        lists=codes.lists,
        recall_within=within,
        recall_across=across,
        queries=truth.split,
    )


def _ranks(
    codes: Codes,
    truth: Truth,
    nearest: Int64[np.ndarray, "queries nearest"],
    most: int,
    probes: int,
) -> Int64[np.ndarray, "queries nearest"]:
    """At which place among the candidates each true neighbour comes; `most` if it doesn't."""
    ranks = np.full(nearest.shape, most, np.int64)
    found = codes.rank(truth.queries, most, probes=probes)
    for number in range(len(nearest)):
        wanted: Int64[np.ndarray, " wanted"] = nearest[number]
        order: Int64[np.ndarray, " found"] = np.argsort(found[number])
        ordered: Int64[np.ndarray, " found"] = found[number][order]
        places: Int64[np.ndarray, " wanted"] = np.searchsorted(ordered, wanted)
        places = np.minimum(places, most - 1)
        there = ordered[places] == wanted
        ranks[number][there] = order[places][there]
    return ranks


def _recalls(
    ranks: Int64[np.ndarray, "queries nearest"], split: int, count: int
) -> tuple[float, float | None, float]:
    """Recall with so many candidates: of own items, of strangers, and the lesser of the two."""
    found = ranks < count
    within = float(found[:split].mean())
    across = float(found[split:].mean()) if len(ranks) > split else None
    return within, across, within if across is None else min(within, across)


def _least(
    ranks: Int64[np.ndarray, "queries nearest"], split: int, most: int, target: float
) -> int:
    """The least number of candidates that reaches the target, with a margin."""
    low, high = FEWEST_CANDIDATES, most
    while low < high:
        middle = (low + high) // 2
        if _recalls(ranks, split, middle)[2] >= target:
            high = middle
        else:
            low = middle + 1
    return min(int(low * MARGIN), most)
