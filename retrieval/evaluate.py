"""How good rankings are, by direction: which items answer which, and the figures that say so.

A direction such as text->image has queries of one modality and candidates of another. What counts
as relevant is a rule over the items' annotations:

    caption   text->X: the queries are the distinct captions of X's items, and an item is relevant
              when it carries the caption. X->text: the same, turned round.
    label     X->X: an item of the same label, the query itself left out.
    pair      X->Y: an item of the same pair id.

All items of the target modality are candidates; only queries with something relevant are asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from omni_encoder import Modality
from omni_encoder.arrays import Bool, Float, Float32, Float64, Int64

from .embed import unit
from .metrics import (
    Ranking,
    Ties,
    average_precision,
    chance_success_at_k,
    first_rank,
    join,
    ndcg_at_k,
    rank,
    rank_places,
    recall_at_k,
    reciprocal_rank,
    success_at_k,
)

SUCCESS_AT = (1, 5, 10)
DEPTH = 10
RESAMPLES = 2000

# Cosines closer than this are rounding: equal vectors may differ by it from one matrix block to
# the next, which would break ties at random instead of by `ties`.
SCORE_STEP = 2.0**-20


@dataclass(frozen=True, slots=True)
class Direction:
    """One way to search, and the rule that says what answers a query."""

    query: Modality
    target: Modality
    rule: Literal["caption", "label", "pair"]

    @property
    def name(self) -> str:
        """Such as `text->image`."""
        return f"{self.query}->{self.target}"


DIRECTIONS = (
    Direction(Modality.TEXT, Modality.IMAGE, "caption"),
    Direction(Modality.IMAGE, Modality.TEXT, "caption"),
    Direction(Modality.TEXT, Modality.AUDIO, "caption"),
    Direction(Modality.AUDIO, Modality.TEXT, "caption"),
    Direction(Modality.TEXT, Modality.VIDEO, "caption"),
    Direction(Modality.VIDEO, Modality.TEXT, "caption"),
    Direction(Modality.IMAGE, Modality.IMAGE, "label"),
    Direction(Modality.AUDIO, Modality.AUDIO, "label"),
    Direction(Modality.IMAGE, Modality.AUDIO, "pair"),
    Direction(Modality.AUDIO, Modality.IMAGE, "pair"),
    Direction(Modality.IMAGE, Modality.VIDEO, "pair"),
    Direction(Modality.VIDEO, Modality.IMAGE, "pair"),
)


@dataclass(frozen=True, slots=True)
class DirectionResult:
    """The figures of one direction, means over its queries unless said otherwise.

    Attributes:
        queries: How many queries were asked.
        candidates: How many candidates each of them ranked.
        success: Success@k for each k of `SUCCESS_AT`.
        chance_success: What a random order would give, for the same k.
        success_at_1_interval: The bootstrap 95% interval of success@1. Queries are resampled
            independently, so captions of one photo count as independent: it is rather narrow.
        recall: Recall@`DEPTH`.
        mean_average_precision: mAP over the whole ranking.
        mean_reciprocal_rank: MRR over the whole ranking.
        ndcg: nDCG@`DEPTH`.
        median_rank: The median, over queries, of the first relevant candidate's rank.
    """

    queries: int
    candidates: int
    success: tuple[float, ...]
    chance_success: tuple[float, ...]
    success_at_1_interval: tuple[float, float]
    recall: float
    mean_average_precision: float
    mean_reciprocal_rank: float
    ndcg: float
    median_rank: float

    def as_json(self) -> dict[str, object]:
        """The figures under the names that `omnidex bench quality --json` prints."""
        chance = zip(SUCCESS_AT, self.chance_success, strict=True)
        return {
            **{f"success@{k}": value for k, value in zip(SUCCESS_AT, self.success, strict=True)},
            "success@1_interval": list(self.success_at_1_interval),
            f"recall@{DEPTH}": self.recall,
            "map": self.mean_average_precision,
            "mrr": self.mean_reciprocal_rank,
            f"ndcg@{DEPTH}": self.ndcg,
            "median_rank": self.median_rank,
            "queries": self.queries,
            "candidates": self.candidates,
            **{f"chance_success@{k}": value for k, value in chance},
        }


def evaluate(
    scores: Float[np.ndarray, "queries candidates"],
    relevant: Bool[np.ndarray, "queries candidates"],
    *,
    own: Int64[np.ndarray, " queries"] | None = None,
    ties: Ties = "worst",
    seed: int = 0,
) -> DirectionResult:
    """Judge the ranking that `scores` make; higher is better. `own` is as in `rank`.

    Raises:
        ValueError: See `rank`, or there is no query.
    """
    return summarise(rank(scores, relevant, own=own), ties=ties, seed=seed)


def summarise(ranking: Ranking, *, ties: Ties = "worst", seed: int = 0) -> DirectionResult:
    """All figures of a ranking. `seed` is that of the bootstrap.

    Raises:
        ValueError: There is no query.
    """
    if not len(ranking):
        raise ValueError("there is no query to judge")
    success = [success_at_k(ranking, k=k, ties=ties) for k in SUCCESS_AT]
    chance = [chance_success_at_k(ranking, k=k) for k in SUCCESS_AT]
    return DirectionResult(
        queries=len(ranking),
        candidates=int(ranking.candidates.max()),
        success=tuple(float(values.mean()) for values in success),
        chance_success=tuple(float(values.mean()) for values in chance),
        success_at_1_interval=bootstrap_interval(success[0], seed=seed),
        recall=float(recall_at_k(ranking, k=DEPTH, ties=ties).mean()),
        mean_average_precision=float(average_precision(ranking, ties=ties).mean()),
        mean_reciprocal_rank=float(reciprocal_rank(ranking, ties=ties).mean()),
        ndcg=float(ndcg_at_k(ranking, k=DEPTH, ties=ties).mean()),
        median_rank=float(np.median(first_rank(ranking, ties=ties))),
    )


def bootstrap_interval(
    values: Float64[np.ndarray, " queries"], *, seed: int, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """The 95% percentile interval of the mean of `values` over random resamples of them.

    Raises:
        ValueError: There are no values.
    """
    if not len(values):
        raise ValueError("an interval needs at least one value")
    generator = np.random.default_rng(seed)
    # Values are few and repeat (0, 1, or a chance among ties), so counts of each are drawn at once.
    levels, counts = np.unique(values, return_counts=True)
    drawn = generator.multinomial(len(values), counts / len(values), size=resamples)
    low, high = np.quantile(drawn @ levels / len(values), [0.025, 0.975])
    return float(low), float(high)


def rank_vectors(
    queries: Float32[np.ndarray, "queries dim"],
    candidates: Float32[np.ndarray, "candidates dim"],
    relevant: Bool[np.ndarray, "queries candidates"] | Sequence[Int64[np.ndarray, " relevant"]],
    *,
    own: Int64[np.ndarray, " queries"] | None = None,
    block: int = 256,
) -> Ranking:
    """Rank candidates by cosine, `block` queries at a time, so that no full matrix is kept.

    Args:
        queries: Unit rows.
        candidates: Unit rows. Scores are rounded to multiples of `SCORE_STEP`, so that equal
            vectors tie whatever the order of summation was.
        relevant: As in `rank`, or the columns of each query's relevant candidates.
        own: As in `rank`.
        block: How many queries are scored at once.

    Raises:
        ValueError: See `rank`, or there is no query.
    """
    if not len(queries):
        raise ValueError("there is no query to rank for")
    parts: list[Ranking] = []
    for start in range(0, len(queries), block):
        rows = slice(start, start + block)
        scores = rounded_scores(queries[rows], candidates)
        left_out = None if own is None else own[rows]
        if isinstance(relevant, np.ndarray):
            parts.append(rank(scores, relevant[rows], own=left_out))
        else:
            parts.append(rank_places(scores, relevant[rows], own=left_out))
    return join(parts)


def rounded_scores(
    queries: Float32[np.ndarray, "queries dim"], candidates: Float32[np.ndarray, "candidates dim"]
) -> Float32[np.ndarray, "queries candidates"]:
    """Inner products as whole multiples of `SCORE_STEP`: what `rank_vectors` ranks by."""
    # The step is a power of two, so dividing the few queries is as exact as dividing the scores.
    scores: Float32[np.ndarray, "queries candidates"] = (
        queries / np.float32(SCORE_STEP)
    ) @ candidates.T
    np.rint(scores, out=scores)
    return scores


def centre(vectors: Float32[np.ndarray, "items dim"]) -> Float32[np.ndarray, "items dim"]:
    """Unit rows of `vectors` less their mean; a row that equals the mean becomes zero."""
    return unit(vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64))


def distinct(captions: Sequence[Sequence[str]]) -> list[str]:
    """The different captions of a list of items, in order of first appearance."""
    return list(dict.fromkeys(caption for item in captions for caption in item))


def carries(
    queries: Sequence[str], captions: Sequence[Sequence[str]]
) -> Bool[np.ndarray, "queries items"]:
    """Which items carry which caption, compared as exact strings."""
    number = {query: i for i, query in enumerate(queries)}
    relevant = np.zeros((len(queries), len(captions)), dtype=bool)
    for i, item in enumerate(captions):
        relevant[[number[caption] for caption in item if caption in number], i] = True
    return relevant


def shares(
    left: Sequence[str | None], right: Sequence[str | None]
) -> Bool[np.ndarray, "left right"]:
    """Which pairs have the same key; an item without a key shares with none."""
    number = {key: i for i, key in enumerate(dict.fromkeys([*left, *right]))}
    rows = np.array([-1 if key is None else number[key] for key in left], dtype=np.int32)
    columns = np.array([-2 if key is None else number[key] for key in right], dtype=np.int32)
    return rows[:, None] == columns[None, :]
