"""Searching segments: short lists from each, final scores from the stored vectors, one order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from omni_encoder.arrays import Bool, Float32, Int64

from .asking import Asked, ShortList, kth
from .exact import centre_rows, cosines
from .manifest import Means
from .segment import Segment
from .types import Merge, SearchMode

BACKGROUND = 512
"""How many items of a modality stand for what a score of it is worth."""

RANK_OFFSET = 60
"""How little the first places differ in rank fusion (reciprocal rank fusion's usual constant)."""


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """A question to all segments.

    Attributes:
        query: Unit length, without the mean of its own modality.
        k: How many items to return at most.
        exact: Whether nothing may be missed.
        merge: How modalities come into one order.
        device: Where an exact search runs: `cpu`, or a device of torch's.
    """

    query: Float32[np.ndarray, " dim"]
    k: int
    exact: bool = False
    merge: Merge = Merge.COSINE
    device: str = "cpu"

    @classmethod
    def by(cls, mode: SearchMode, query: Float32[np.ndarray, " dim"], k: int) -> "Search":
        """The question that a mode makes of a vector, on a device that can be used."""
        device = "cpu"
        if mode.exact and mode.device != "cpu":
            from omni_encoder.torch_scan import usable_device

            device = usable_device(mode.device)
        return cls(query, k, exact=mode.exact, merge=mode.merge, device=device)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Items of one modality: row numbers and final scores, best first, equal ones by number."""

    rows: Int64[np.ndarray, " found"]
    scores: Float32[np.ndarray, " found"]


Masks = Mapping[int, Bool[np.ndarray, " rows"]]
"""Which rows of each segment pass the filters, by the segment's place."""


def nearest(
    segments: Sequence[Segment], search: Search, means: Means, masks: Masks | None
) -> Found:
    """Find the items nearest to a query.

    Args:
        segments: Where to look.
        search: What to look for.
        means: What is subtracted from the vectors of each modality.
        masks: What may be found; None stands for everything.

    Raises:
        CacheDamaged: A segment isn't what was published.
    """
    if search.merge is Merge.COSINE:
        return _scored(segments, search, means, masks)
    kinds = list(dict.fromkeys(segment.entry.modality for segment in segments))
    found: list[Found] = []
    keys: list[Float32[np.ndarray, " found"]] = []
    for kind in kinds:
        own = [i for i, segment in enumerate(segments) if segment.entry.modality is kind]
        of_own = None if masks is None else {new: masks[i] for new, i in enumerate(own)}
        of_kind = _scored([segments[i] for i in own], search, means, of_own)
        found.append(of_kind)
        if search.merge is Merge.RANK:
            keys.append((1 / (RANK_OFFSET + np.arange(len(of_kind.rows)))).astype(np.float32))
        else:
            middle, spread = _background(segments[own[0]], search, means[kind])
            keys.append((of_kind.scores - middle) / spread)
    if not found:
        return Found(np.zeros(0, np.int64), np.zeros(0, np.float32))
    rows, key = np.concatenate([one.rows for one in found]), np.concatenate(keys)
    order = np.lexsort((rows, -key))[: search.k]
    return Found(rows[order], np.concatenate([one.scores for one in found])[order])


def _scored(
    segments: Sequence[Segment], search: Search, means: Means, masks: Masks | None
) -> Found:
    if len(segments) == 1:  # mostly; after a scan, each step left out spares ten microseconds
        segment = segments[0]
        positions = _listed(segment, search, means, None if masks is None else masks[0]).positions
        scores = final_scores(segment, positions, search.query, means)
        return _ordered(segment.rows.take(positions), scores, search.k)
    lists = [
        _listed(segment, search, means, None if masks is None else masks[i])
        for i, segment in enumerate(segments)
    ]
    rows, scores = np.zeros(0, np.int64), np.zeros(0, np.float32)
    if lists:
        floor = kth(np.concatenate([one.scores - one.error for one in lists]), search.k)
        chosen = [one.positions[one.scores + one.error >= floor] for one in lists]
        pairs = list(zip(segments, chosen, strict=True))
        rows = np.concatenate([segment.rows[places] for segment, places in pairs])
        scores = np.concatenate([final_scores(*pair, search.query, means) for pair in pairs])
    return _ordered(rows, scores, search.k)


def _listed(
    segment: Segment, search: Search, means: Means, mask: Bool[np.ndarray, " rows"] | None
) -> ShortList:
    mean = means[segment.entry.modality]
    asked = Asked(search.query, mean, search.k, exact=search.exact, device=search.device)
    return segment.shortlist(asked, mask)


def _ordered(
    rows: Int64[np.ndarray, " found"], scores: Float32[np.ndarray, " found"], k: int
) -> Found:
    order = np.lexsort((rows, -scores))[:k]
    return Found(rows.take(order), scores.take(order))


def final_scores(
    segment: Segment,
    positions: Int64[np.ndarray, " chosen"],
    query: Float32[np.ndarray, " dim"],
    means: Means,
) -> Float32[np.ndarray, " chosen"]:
    """The exact scores of some items: equal vectors have equal ones, wherever they lie."""
    return cosines(query, segment.raw(positions), means[segment.entry.modality])


def _background(
    segment: Segment, search: Search, mean: Float32[np.ndarray, " dim"]
) -> tuple[np.float32, np.float32]:
    """Mean and spread of the scores of items picked evenly from a segment."""
    step = max(1, segment.entry.rows // BACKGROUND)
    raw = segment.vectors.rows[::step][:BACKGROUND].astype(np.float32)
    scores = centre_rows(raw, mean) @ search.query
    return scores.mean(), np.maximum(scores.std(), np.float32(1e-3))
