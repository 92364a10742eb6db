"""Metrics of ranked retrieval with binary relevance, one value per query.

`rank` finds where the relevant candidates of every query stand; each metric is then a short formula
over those places. Definitions (R relevant candidates, ranks count from 1):

    success@k    1 when a relevant candidate is among the first k, else 0. Much of the literature
                 on image and text calls this "recall@k"; here it never is.
    recall@k     relevant candidates among the first k, over R.
    AP           mean over the relevant candidates of (relevant ones up to its rank) / rank.
    RR           1 / rank of the first relevant candidate.
    nDCG@k       sum of 1 / log2(1 + rank) over relevant ranks <= k, over the same sum of an ideal
                 order.

Equal scores have no order, so ties are resolved by `ties`:

    "worst"      (default) irrelevant candidates come first among equals. An encoder that gives
                 everything one vector then scores as badly as it deserves.
    "mean"       the expectation over all orders of equals, exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from omni_encoder.arrays import Bool, Float, Float64, Int64

Ties = Literal["worst", "mean"]

# Up to so many distinct scores are counted by comparing; beyond, sorting the row is cheaper.
_COMPARED_SCORES = 16


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Where the relevant candidates of each query stand, as blocks of one score each.

    Only blocks that hold a relevant candidate are kept, so this is small whatever the number of
    candidates is. Blocks are ordered by query, then best score first; every query has at least one.

    Attributes:
        candidates: How many candidates each query ranks.
        relevant: How many of them are relevant, at least 1.
        query: The query a block belongs to.
        above: How many candidates score higher than the block.
        tied: How many candidates the block holds, relevant or not.
        hits: How many of those are relevant, at least 1.
    """

    candidates: Int64[np.ndarray, " queries"]
    relevant: Int64[np.ndarray, " queries"]
    query: Int64[np.ndarray, " blocks"]
    above: Int64[np.ndarray, " blocks"]
    tied: Int64[np.ndarray, " blocks"]
    hits: Int64[np.ndarray, " blocks"]

    def __len__(self) -> int:
        """How many queries there are."""
        return len(self.candidates)

    def select(self, wanted: Bool[np.ndarray, " queries"]) -> "Ranking":
        """The ranking of the queries where `wanted` is true, in the same order."""
        blocks = wanted[self.query]
        renumbered = np.cumsum(wanted, dtype=np.int64) - 1
        return Ranking(
            candidates=self.candidates[wanted],
            relevant=self.relevant[wanted],
            query=renumbered[self.query[blocks]],
            above=self.above[blocks],
            tied=self.tied[blocks],
            hits=self.hits[blocks],
        )


def join(rankings: Sequence[Ranking]) -> Ranking:
    """One ranking of all the queries of several, in order."""
    starts = np.cumsum([0, *map(len, rankings)])
    queries = [part.query + start for part, start in zip(rankings, starts[:-1], strict=True)]
    return Ranking(
        candidates=np.concatenate([part.candidates for part in rankings]),
        relevant=np.concatenate([part.relevant for part in rankings]),
        query=np.concatenate(queries),
        above=np.concatenate([part.above for part in rankings]),
        tied=np.concatenate([part.tied for part in rankings]),
        hits=np.concatenate([part.hits for part in rankings]),
    )


def rank(
    scores: Float[np.ndarray, "queries candidates"],
    relevant: Bool[np.ndarray, "queries candidates"],
    *,
    own: Int64[np.ndarray, " queries"] | None = None,
) -> Ranking:
    """Find where the relevant candidates of each query stand; higher scores are better.

    Args:
        scores: Any finite numbers; only their order and their equality matter.
        relevant: Which candidates answer which query.
        own: For each query the candidate that is the query itself and is left out, or -1.

    Raises:
        ValueError: The shapes differ, a score is not finite or a query has nothing relevant.
    """
    if scores.shape != relevant.shape:
        raise ValueError(f"scores are {scores.shape} but relevant is {relevant.shape}")
    return rank_places(scores, [np.flatnonzero(row) for row in relevant], own=own)


def rank_places(
    scores: Float[np.ndarray, "queries candidates"],
    places: Sequence[Int64[np.ndarray, " relevant"]],
    *,
    own: Int64[np.ndarray, " queries"] | None = None,
) -> Ranking:
    """As `rank`, with the columns of each query's relevant candidates in place of a matrix.

    Raises:
        ValueError: The lengths differ, a score is not finite or a query has nothing relevant.
    """
    queries, width = scores.shape
    left_out = np.full(queries, -1, dtype=np.int64) if own is None else own
    if len(left_out) != queries or len(places) != queries:
        raise ValueError(f"own and places must name candidates for each of {queries} queries")
    # The least and the greatest pass NaN on, and need no second array.
    if scores.size and not np.isfinite([scores.min(), scores.max()]).all():
        raise ValueError("scores must be finite")
    blocks: tuple[list[int], list[int], list[int]] = ([], [], [])
    sizes = [
        _add_blocks(scores[i], places[i], own=int(left_out[i]), to=blocks) for i in range(queries)
    ]
    above, tied, hits = (np.array(column, dtype=np.int64) for column in blocks)
    query = np.repeat(np.arange(queries, dtype=np.int64), np.array(sizes, dtype=np.int64))
    counts = np.bincount(query, weights=hits, minlength=queries).astype(np.int64)
    if not counts.all():
        raise ValueError(f"{np.sum(counts == 0)} of {queries} queries have nothing relevant")
    return Ranking(
        candidates=width - (left_out >= 0).astype(np.int64),
        relevant=counts,
        query=query,
        above=above,
        tied=tied,
        hits=hits,
    )


def _add_blocks(
    scores: Float[np.ndarray, " candidates"],
    places: Int64[np.ndarray, " relevant"],
    *,
    own: int,
    to: tuple[list[int], list[int], list[int]],
) -> int:
    """Add above, tied and hits of one query's blocks, best score first; return their number."""
    if own >= 0:
        places = places[places != own]
    values, hits = scores[places], np.ones(1, dtype=np.int64)
    if len(values) != 1:  # with one, sorting is most of the time
        values, hits = np.unique(values, return_counts=True)
        values, hits = values[::-1], hits[::-1]
    if len(values) <= _COMPARED_SCORES:
        above = [int(np.count_nonzero(scores > value)) for value in values]
        reached = [int(np.count_nonzero(scores >= value)) for value in values]
    else:
        ordered = np.sort(scores)
        above = [len(scores) - int(n) for n in np.searchsorted(ordered, values, side="right")]
        reached = [len(scores) - int(n) for n in np.searchsorted(ordered, values, side="left")]
    if own >= 0:
        above = [n - int(scores[own] > value) for n, value in zip(above, values, strict=True)]
        reached = [n - int(scores[own] >= value) for n, value in zip(reached, values, strict=True)]
    to[0].extend(above)
    to[1].extend(upto - over for upto, over in zip(reached, above, strict=True))
    to[2].extend(map(int, hits[: len(values)]))
    return len(values)


def rank_found(
    found: Sequence[Int64[np.ndarray, " hits"]],
    places: Sequence[Int64[np.ndarray, " relevant"]],
    *,
    candidates: int,
    own: Int64[np.ndarray, " queries"] | None = None,
) -> Ranking:
    """The ranking that lists of hits make, as a search engine returns them: best first, cut off.

    Relevant candidates that were not found stand among all the others that weren't, as one block of
    equals; `ties="worst"` puts them last.

    Args:
        found: For each query the candidates it found, none twice.
        places: For each query its relevant candidates.
        candidates: How many candidates there are.
        own: As in `rank`.

    Raises:
        ValueError: The lengths differ, or a query has nothing relevant or a hit twice.
    """
    rows: list[Ranking] = []
    for i, (hits, relevant) in enumerate(zip(found, places, strict=True)):
        if len(np.unique(hits)) != len(hits):
            raise ValueError("a query has a hit twice")
        scores = np.zeros(candidates)
        scores[hits] = np.arange(len(hits), 0, -1)
        left_out = None if own is None else own[i : i + 1]
        rows.append(rank_places(scores[None], [relevant], own=left_out))
    return join(rows)


@dataclass(frozen=True, slots=True, eq=False)
class _Resolved:
    """Blocks whose inner order is uniformly random, after `ties` has been applied.

    Places within a block are `above + 1 .. above + tied`; `before` counts the query's relevant
    candidates in better blocks, `first` numbers each query's best block.
    """

    query: Int64[np.ndarray, " blocks"]
    above: Int64[np.ndarray, " blocks"]
    tied: Int64[np.ndarray, " blocks"]
    hits: Int64[np.ndarray, " blocks"]
    before: Int64[np.ndarray, " blocks"]
    first: Int64[np.ndarray, " queries"]

    def total(self, amounts: Float64[np.ndarray, " blocks"]) -> Float64[np.ndarray, " queries"]:
        """The sum of the blocks' amounts for each query."""
        return np.bincount(self.query, weights=amounts, minlength=len(self.first))


def _resolve(ranking: Ranking, ties: Ties) -> _Resolved:
    query, above, tied, hits = ranking.query, ranking.above, ranking.tied, ranking.hits
    if ties == "worst":
        # Each relevant candidate becomes a block of its own, after its irrelevant equals.
        starts = np.cumsum(hits) - hits
        within = np.arange(hits.sum(), dtype=np.int64) - np.repeat(starts, hits)
        above = np.repeat(above + tied - hits, hits) + within
        query = np.repeat(query, hits)
        tied = hits = np.ones_like(query)
    elif ties != "mean":
        raise ValueError(f"ties must be 'worst' or 'mean', got {ties!r}")
    first = np.searchsorted(query, np.arange(len(ranking)))
    seen = np.cumsum(hits) - hits
    return _Resolved(query, above, tied, hits, seen - seen[first][query], first)


def _missed(
    tied: Int64[np.ndarray, " n"], hits: Int64[np.ndarray, " n"], drawn: Int64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """C(tied - hits, drawn) / C(tied, drawn): how likely `drawn` of `tied` hold no hit."""
    chance = np.ones(len(tied))
    for i in range(int(drawn.max(initial=0))):
        factor = np.maximum(tied - hits - i, 0) / np.maximum(tied - i, 1)
        chance *= np.where(i < drawn, factor, 1.0)
    return chance


def success_at_k(
    ranking: Ranking, *, k: int, ties: Ties = "worst"
) -> Float64[np.ndarray, " queries"]:
    """Whether a relevant candidate is among the first `k`: 1 or 0, or its chance among ties."""
    blocks = _resolve(ranking, ties)
    tied, hits = blocks.tied[blocks.first], blocks.hits[blocks.first]
    drawn = np.clip(_at_least_one(k) - blocks.above[blocks.first], 0, tied)
    return 1.0 - _missed(tied, hits, drawn)


def chance_success_at_k(ranking: Ranking, *, k: int) -> Float64[np.ndarray, " queries"]:
    """The expectation of success@k when candidates are ranked at random: 1 - C(n-R, k)/C(n, k)."""
    drawn = np.minimum(_at_least_one(k), ranking.candidates)
    return 1.0 - _missed(ranking.candidates, ranking.relevant, drawn)


def recall_at_k(
    ranking: Ranking, *, k: int, ties: Ties = "worst"
) -> Float64[np.ndarray, " queries"]:
    """The share of the relevant candidates that is among the first `k`."""
    blocks = _resolve(ranking, ties)
    drawn = np.clip(_at_least_one(k) - blocks.above, 0, blocks.tied)
    return blocks.total(blocks.hits * drawn / blocks.tied) / ranking.relevant


def average_precision(ranking: Ranking, *, ties: Ties = "worst") -> Float64[np.ndarray, " queries"]:
    """The mean precision at the ranks of the relevant candidates; its mean over queries is mAP.

    With "mean" ties this is the closed form of McSherry and Najork (2008), right to about 1e-10.
    """
    blocks = _resolve(ranking, ties)
    above, tied, hits, before = blocks.above, blocks.tied, blocks.hits, blocks.before
    # At place j of a block its j-th candidate is relevant with chance hits / tied, and then
    # `before + 1 + (j - 1) * slope` relevant ones are expected up to it.
    slope = (hits - 1) / np.maximum(tied - 1, 1)
    harmonic = _cumulated(1.0 / np.arange(1, int(ranking.candidates.max(initial=0)) + 1))
    spread = (before + 1 - (above + 1) * slope) * (harmonic[above + tied] - harmonic[above])
    several = hits / tied * (spread + slope * tied)
    single = (before + 1) / (above + 1)  # free of the cancellation that `several` suffers from
    return blocks.total(np.where(tied == 1, single, several)) / ranking.relevant


def reciprocal_rank(ranking: Ranking, *, ties: Ties = "worst") -> Float64[np.ndarray, " queries"]:
    """One over the rank of the first relevant candidate; its mean over queries is MRR."""
    blocks = _resolve(ranking, ties)
    above, tied = blocks.above[blocks.first], blocks.tied[blocks.first]
    hits = blocks.hits[blocks.first]
    result, waiting = np.zeros(len(ranking)), np.ones(len(ranking))
    for place in range(int((tied - hits).max(initial=0)) + 1):
        # The chance that the first hit is here: none so far, and one of those that are left.
        here = np.minimum(waiting * hits / np.maximum(tied - place, 1), waiting)
        result += here / (above + place + 1)
        waiting = waiting - here
    return result


def ndcg_at_k(ranking: Ranking, *, k: int, ties: Ties = "worst") -> Float64[np.ndarray, " queries"]:
    """Normalised discounted cumulative gain of the first `k` candidates, with gains of 0 and 1."""
    blocks = _resolve(ranking, ties)
    above, tied, hits = blocks.above, blocks.tied, blocks.hits
    discounts = 1.0 / np.log2(np.arange(2, _at_least_one(k) + 2))
    ideal = _cumulated(discounts)
    several = ideal[np.minimum(above + tied, k)] - ideal[np.minimum(above, k)]
    single = np.where(above < k, discounts[np.minimum(above, k - 1)], 0.0)
    gains = hits / tied * np.where(tied == 1, single, several)
    return blocks.total(gains) / ideal[np.minimum(ranking.relevant, k)]


def first_rank(ranking: Ranking, *, ties: Ties = "worst") -> Float64[np.ndarray, " queries"]:
    """The rank of the first relevant candidate, from 1; its median over queries is reported."""
    blocks = _resolve(ranking, ties)
    above, tied = blocks.above[blocks.first], blocks.tied[blocks.first]
    return above + (tied + 1) / (blocks.hits[blocks.first] + 1)


def _cumulated(values: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n+1"]:
    return np.concatenate([[0.0], np.cumsum(values)])


def _at_least_one(k: int) -> int:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return k
