"""Fusion of two orders of hits: by vector, and by the words that are said about the items.

Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009): with v the rank by vector and t the
rank by words, an item gets 1 / (c + v) + w / (c + t). The question is what t is without a
match, because most media have no words at all:

- an item about which nothing is said (no caption, title or text) has t = v: words can't be held
  against it;
- an item about which something else is said has t = max(v, m + 1), where m is the number of
  matches: it comes after them by words, and is otherwise ordered by vector;
- a match has min(v, t): that words were found never harms.

So, for any weight and constant, an item about which nothing is said and that is r-th by vector is
at worst (2 r - 1)-th: only a match with t < r can overtake it, and there are r - 1 of these. And
where there are no matches the order is that of the vectors.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

DEPTH = 100
"""So many of the nearest take part at least; what is further away counts as next to the last."""


@dataclass(frozen=True, slots=True)
class Hybrid:
    """How words take part in a search; the defaults are from docs/adr/0051.

    Attributes:
        weight: How much they count beside the vectors; 0 leaves the order of the vectors.
        constant: How little the first ranks differ.
        share: The least share of a query's words, by weight, that a match must hold.
    """

    weight: float = 2.0
    constant: float = 2.0
    share: float = 0.5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"weight must be finite and at least 0, got {self.weight}")
        if not (math.isfinite(self.constant) and self.constant >= 0):
            raise ValueError(f"constant must be finite and at least 0, got {self.constant}")
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be in 0..1, got {self.share}")


@dataclass(frozen=True, slots=True)
class Ranked:
    """Where an item stands.

    Attributes:
        key: Which item.
        vector_rank: Its rank by vector, from 1; None if it isn't among those that were given.
        text_rank: Its rank by words, from 1; None if it is no match.
    """

    key: str
    vector_rank: int | None
    text_rank: int | None


def fuse(
    by_vector: Sequence[str],
    by_text: Sequence[tuple[str, float]],
    *,
    silent: frozenset[str],
    hybrid: Hybrid,
) -> list[Ranked]:
    """Bring two orders into one.

    Args:
        by_vector: Items, nearest first, each once.
        by_text: Matches and their scores, best first, each once. Equal ones are ordered by vector.
        silent: The items of `by_vector` about which nothing is said.
        hybrid: How much the words count.

    Returns:
        Every item of both, best first. Ties are in the order of the vectors, then of the words.
    """
    vector_ranks = {key: rank for rank, key in enumerate(by_vector, start=1)}
    beyond = len(by_vector) + 1
    ordered = sorted(by_text, key=lambda match: (-match[1], vector_ranks.get(match[0], beyond)))
    text_ranks = {key: rank for rank, (key, _) in enumerate(ordered, start=1)}
    ranked: list[tuple[float, int, int, Ranked]] = []
    for key in dict.fromkeys((*by_vector, *text_ranks)):
        vector_rank, text_rank = vector_ranks.get(key), text_ranks.get(key)
        v = vector_rank or beyond
        if text_rank is not None:
            t = min(v, text_rank)
        else:
            t = v if key in silent else max(v, len(text_ranks) + 1)
        score = 1 / (hybrid.constant + v) + hybrid.weight / (hybrid.constant + t)
        ranked.append((-score, v, text_rank or beyond, Ranked(key, vector_rank, text_rank)))
    return [one for *_, one in sorted(ranked, key=lambda one: one[:3])]
