"""Putting the first hits in a new order, by how likely the query is beside each of them.

The first ranking compares vectors; the flow re-reads the query beside every candidate (S1 of
`omni_encoder.likelihood`), and the order is that of both scores blended (S4).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from indexer import Collection
from omni_encoder import EncoderMismatchError, MediaItem, MediaLayout, Modality, QueryError
from omni_encoder.arrays import Float, Float32, Float64

from .decoded import first_item
from .query import Hit, Query, Term

# Takes a query, the candidates' vectors and their modalities; gives one score each, higher better.
Judge = Callable[
    [MediaItem, Float32[np.ndarray, "candidates dim"], Sequence[Modality]],
    Float64[np.ndarray, " candidates"],
]

_EQUAL = 1e-9  # a smaller share of the largest score is rounding


@dataclass(frozen=True, slots=True)
class RerankRule:
    """How hits are re-ranked.

    Attributes:
        top: How many of the first hits; those beyond keep their places.
        weight: Of the flow's score, in [0, 1]. 0 leaves the order as it is, which validation chose
            for the shipped flow: it does not pay (docs/results.md).
        draws: Noise draws; the cost grows with `top` times `draws`.
    """

    top: int = 20
    weight: float = 0.0
    draws: int = 2

    def __post_init__(self) -> None:
        if self.top < 2:
            raise ValueError(f"top must be at least 2, got {self.top}")
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight must be in [0, 1], got {self.weight}")
        if self.draws < 1:
            raise ValueError(f"draws must be at least 1, got {self.draws}")


@dataclass(frozen=True, slots=True)
class Flow:
    """What judges candidates.

    Attributes:
        judge: Scores candidates beside a query.
        fingerprint: Of the encoder whose vectors it reads.
        layout: How that encoder wants media.
    """

    judge: Judge
    fingerprint: str
    layout: MediaLayout


def load_flow(
    *, draws: int = 2, seed: int = 0, tokens: Path | None = None, flow: Path | None = None
) -> Flow:
    """The shipped model's flow, or that of two files of one's own. This imports torch.

    Args:
        draws: Noise draws a candidate.
        seed: Of the noise.
        tokens: Tokenizers; the shipped ones if not given.
        flow: The generating half; the shipped one if not given.

    Raises:
        CheckpointError: A file is missing, damaged, or belongs to another model.
    """
    from omni_encoder.flow_score import ScoreRule
    from omni_encoder.generator import OmniGenerator
    from omni_encoder.likelihood import query_likelihood

    generator = OmniGenerator.load(tokens=tokens, flow=flow)
    rule = ScoreRule(draws=draws, seed=seed)
    spec = generator.codec.encoder.spec
    return Flow(
        lambda query, candidates, kinds: query_likelihood(
            generator, query, candidates, kinds, rule=rule
        ),
        spec.fingerprint,
        spec.layout,
    )


def rerank(
    hits: Sequence[Hit],
    query: Query,
    *,
    collection: Collection,
    flow: Flow,
    rule: RerankRule | None = None,
) -> list[Hit]:
    """Put the first hits in the order of both scores; ranks are renewed, scores stay the cosines.

    Every wanted text, image and sound of the query is asked about on its own, by its weight; items
    named by id, videos and unwanted parts have no say. No file of a hit is opened.

    Raises:
        EncoderMismatchError: The collection was made by another encoder than the flow reads.
        MediaError: A file of the query can't be decoded.
        QueryError: The query has no part that the flow can judge.
    """
    rule = rule or RerankRule()
    if collection.spec.fingerprint != flow.fingerprint:
        raise EncoderMismatchError(
            "this collection was made by another encoder than the flow reads",
            hint="search without --rerank, or index with the shipped encoder",
        )
    terms = [term for term in query.terms if _can_be_judged(term)]
    if not terms:
        raise QueryError(
            "re-ranking needs words, an image or a sound in the query",
            hint="leave --rerank out, or say what you look for in words",
        )
    first, rest = hits[: rule.top], hits[rule.top :]
    if len(first) < 2:
        return list(hits)
    vectors: Float32[np.ndarray, "hits dim"] = np.stack(
        [collection.vector_of(hit.record.id) for hit in first]
    )
    kinds = [hit.record.modality for hit in first]
    judged: Float64[np.ndarray, " hits"] = np.zeros(len(first))
    for term in terms:
        judged += term.weight * flow.judge(_item(term, flow.layout), vectors, kinds)
    cosines = np.array([hit.score for hit in first], dtype=np.float64)
    order = np.argsort(-blended(cosines, judged, weight=rule.weight), kind="stable")
    ordered = [*(first[int(at)] for at in order), *rest]
    return [replace(hit, rank=rank) for rank, hit in enumerate(ordered, start=1)]


def _can_be_judged(term: Term) -> bool:
    return term.weight > 0 and term.modality not in (None, Modality.VIDEO)


def _item(term: Term, layout: MediaLayout) -> MediaItem:
    """A term's content; of a file of several parts, the first."""
    if isinstance(term.content, str):
        return MediaItem(Modality.TEXT, term.content)
    return first_item(term.content, layout)


def blended(
    first: Float[np.ndarray, " candidates"],
    second: Float[np.ndarray, " candidates"],
    *,
    weight: float,
) -> Float64[np.ndarray, " candidates"]:
    """S4: `(1 - weight) z(first) + weight z(second)`, each made comparable inside the list.

    Scores that are all equal say nothing and count as zero.
    """
    return (1 - weight) * _standard(first) + weight * _standard(second)


def _standard(scores: Float[np.ndarray, " candidates"]) -> Float64[np.ndarray, " candidates"]:
    away: Float64[np.ndarray, " candidates"] = scores - scores.mean(dtype=np.float64)
    spread = float(np.std(scores, dtype=np.float64))
    told = spread > _EQUAL * float(np.abs(scores).max())  # what is less is rounding of the mean
    return away / spread if told else np.zeros_like(away)
