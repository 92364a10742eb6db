"""Search by words: which items' captions, titles, texts and file names hold the words of a query.

The score is BM25 (Robertson and Zaragoza 2009, equation 3.15), with statistics over all items
that are there now. So it is the same whatever was added or deleted in which order, and whatever
the filters are. What is said about an item is one document; a word in a file's name counts like
one in a document of average length, and for the items of that file alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from omni_encoder.arrays import Bool, Float32, Float64, Int64

from .names import NamesFile
from .planner import Masks
from .segment import Segment
from .words import Unit

K1, B = 1.2, 0.75

MOST = 2_000
"""So many items are returned at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What is looked for.

    Attributes:
        units: Words and phrases; one that no item holds changes nothing, unless it is required.
        share: The least share of the weight of those words that occur at all which an item must
            hold, so that `the` alone is no match.
        apart: Items of this media type are matches of their own; other items of one content are
            one match, by the best of them. None stands for all items.
    """

    units: tuple[Unit, ...]
    share: float
    apart: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Items that hold words: best first, equal scores by row number.

    Attributes:
        keys: What the items of one match have in common: content, or id of an item of its own.
        rows: Row numbers.
        scores: BM25, above 0.
    """

    keys: tuple[str, ...]
    rows: Int64[np.ndarray, " matches"]
    scores: Float32[np.ndarray, " matches"]


class _Tally:
    """What was found in one segment so far."""

    def __init__(self, segment: Segment, average: float) -> None:
        rows = segment.entry.rows
        self.segment = segment
        self.lengths = segment.facts.lengths
        self.scores: Float64[np.ndarray, " rows"] = np.zeros(rows)
        self.weights: Float64[np.ndarray, " rows"] = np.zeros(rows)
        self.required: Int64[np.ndarray, " rows"] = np.zeros(rows, np.int64)
        self._average = average

    def holding(
        self, unit: Unit, contents: Sequence[str]
    ) -> tuple[Int64[np.ndarray, " found"], Float64[np.ndarray, " found"]]:
        """The positions of the items that hold a unit, and how much that counts, up to K1 + 1."""
        positions, counts = self.segment.facts.occurrences(unit)
        long = 1 - B + B * self.lengths[positions] / self._average
        said = counts * (K1 + 1) / (counts + K1 * long)
        named = self.segment.facts.of_contents(contents)
        both, inverse = np.unique(np.concatenate([positions, named]), return_inverse=True)
        worth = np.zeros(len(both))
        np.maximum.at(worth, inverse, np.concatenate([said, np.ones(len(named))]))
        if self.segment.live is None:
            return both, worth
        there = self.segment.live[both]
        return both[there], worth[there]


def matches(
    segments: Sequence[Segment], masks: Masks | None, names: NamesFile, wanted: Wanted
) -> Matches:
    """Find the items that hold the words of a query.

    Args:
        segments: All segments: statistics are taken over all of them.
        masks: What may be found in each, by its place; a segment that isn't there gives nothing.
            None stands for everything.
        names: The words of the names of files.
        wanted: What to look for.
    """
    lengths = [(one.facts.lengths, _live(one)) for one in segments]
    items = sum(int(np.count_nonzero(live)) for _, live in lengths)
    said = [length[live] for length, live in lengths]
    words, documents = (
        sum(int(one.sum()) for one in said),
        sum(int((one > 0).sum()) for one in said),
    )
    tallies = [_Tally(one, max(1.0, words / max(1, documents))) for one in segments]
    total, required = 0.0, 0
    for unit in wanted.units:
        required += unit.required
        contents = names.contents(unit)
        found = [
            tally.holding(unit, [c for c, kind in contents if kind == tally.segment.entry.modality])
            for tally in tallies
        ]
        holders = sum(len(positions) for positions, _ in found)
        if not holders:
            continue
        weight = math.log(1 + (items - holders + 0.5) / (holders + 0.5))
        total += weight
        for tally, (positions, worth) in zip(tallies, found, strict=True):
            tally.scores[positions] += weight * worth
            tally.weights[positions] += weight
            tally.required[positions] += unit.required
    kept: list[_Kept] = []
    for number, tally in enumerate(tallies):
        enough = (tally.weights > 0) & (tally.weights >= wanted.share * total - 1e-9)
        enough &= tally.required == required
        if masks is not None:
            enough &= masks.get(number, np.False_)
        kept.append(_Kept(tally.segment, np.flatnonzero(enough), tally.scores[enough]))
    return _best(kept, wanted.apart)


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    segment: Segment
    positions: Int64[np.ndarray, " kept"]
    scores: Float64[np.ndarray, " kept"]


def _best(kept: Sequence[_Kept], apart: str | None) -> Matches:
    """The best item of each group, best first."""
    rows = np.concatenate([np.zeros(0, np.int64), *(k.segment.rows[k.positions] for k in kept)])
    # Rounded, so that equal documents have equal scores in whatever order they were added up.
    scores = np.concatenate([np.zeros(0), *(k.scores for k in kept)]).astype(np.float32)
    order = np.lexsort((rows, -scores))[:MOST]
    chosen = np.zeros(len(rows), dtype=bool)
    chosen[order] = True
    keys: list[str] = [""] * len(rows)
    start = 0
    for one in kept:
        places = np.flatnonzero(chosen[start : start + len(one.positions)])
        groups = one.segment.facts.groups(one.positions[places], apart=apart)
        for place, position in zip(
            places.tolist(),
            cast("list[int]", one.positions[places].tolist()),
            strict=True,
        ):
            keys[start + place] = groups[position]
        start += len(one.positions)
    firsts: dict[str, int] = {}
    for place in cast("list[int]", order.tolist()):
        firsts.setdefault(keys[place], place)
    picked = np.array(list(firsts.values()), np.int64)
    return Matches(tuple(firsts), rows[picked], scores[picked])


def _live(segment: Segment) -> Bool[np.ndarray, " rows"]:
    return np.ones(segment.entry.rows, dtype=bool) if segment.live is None else segment.live
