"""Putting the first hits in a new order, by how likely the query is beside each of them.

The first ranking compares vectors; the flow judges every candidate, and the order is that of both
scores blended (S4). S1 asks how likely the query is beside the candidate's vector
(`omni_encoder.likelihood`), S2 and S3 how much likelier the query makes the candidate's codes
(`omni_encoder.information`): of media those that a collection may keep, of a text its words.

In a search (`reranker`) the new order takes the place of that of the vectors: the words of a hybrid
query and what is imagined are fused with it as they would be with the other, and weak hits still
come last. So what words found keeps its say, and a weight of 0 is the search without a flow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from indexer import Collection
from indexer.item_codes import codes_of, other_codes
from omni_encoder import (
    EncoderMismatchError,
    MediaItem,
    MediaLayout,
    Modality,
    QueryError,
)
from omni_encoder.arrays import Float, Float32, Float64
from omni_encoder.item_codes import Coder, ItemCodes, Score

from .decoded import first_item
from .hybrid_search import spoken
from .query import Hit, Query, Term

# Takes a query, the candidates' vectors and their modalities; gives one score each, higher better.
Judge = Callable[
    [MediaItem, Float32[np.ndarray, "candidates dim"], Sequence[Modality]],
    Float64[np.ndarray, " candidates"],
]

# The same of candidates' codes.
CodeJudge = Callable[
    [MediaItem, Sequence[ItemCodes], Sequence[Modality]],
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
        draws: Noise draws; the cost grows with `top` times `draws`. S2 and S3 take as many as the
            priors that are stored with the codes.
        score: By what the flow judges: `s1`, or by the candidates' codes, `s2` and `s3`.
    """

    top: int = 20
    weight: float = 0.0
    draws: int = 2
    score: Score = "s1"

    def __post_init__(self) -> None:
        if self.top < 2:
            raise ValueError(f"top must be at least 2, got {self.top}")
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight must be in [0, 1], got {self.weight}")
        if self.draws < 1:
            raise ValueError(f"draws must be at least 1, got {self.draws}")


@dataclass(frozen=True, slots=True)
class Reranked:
    """Hits in their new order.

    Attributes:
        hits: They.
        judged: How many of the first have been judged.
        left: How many of the first could not be judged, for they have no codes, and kept their
            places.
    """

    hits: list[Hit]
    judged: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class CodeFlow:
    """What judges candidates by their codes.

    Attributes:
        judge: Scores candidates beside a query.
        fingerprint: Of what makes such codes and their priors.
        layout: How its encoder wants media.
        texts: Gives the codes of texts, which no collection keeps; None where it can't judge them.
    """

    judge: CodeJudge
    fingerprint: str
    layout: MediaLayout
    texts: Callable[[Sequence[str]], list[ItemCodes]] | None = None


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


def load_code_flow(score: Literal["s2", "s3"]) -> CodeFlow:
    """The shipped model's flow, to judge by stored codes and priors. This imports torch.

    Raises:
        CheckpointError: A file is missing or damaged.
    """
    from omni_encoder.flow_coder import code_fingerprint
    from omni_encoder.generator import OmniGenerator
    from omni_encoder.information import information, text_codes

    generator = OmniGenerator.load()
    return CodeFlow(
        lambda query, candidates, kinds: information(
            generator, query, candidates, kinds, score=score
        ),
        code_fingerprint(generator),
        generator.codec.encoder.spec.layout,
        (lambda texts: text_codes(generator, texts)) if score == "s2" else None,
    )


def load_coder_and_judge(
    score: Literal["s2", "s3"],
    *,
    draws: int,
    seed: int,
    tokens: Path | None = None,
    flow: Path | None = None,
) -> tuple[Coder, CodeJudge]:
    """What makes codes and priors, and judges by them, with noise of one's own.

    Args:
        score: By what is judged.
        draws: Noise draws a candidate.
        seed: Of the noise.
        tokens: As for `load_flow`.
        flow: Likewise.

    Raises:
        CheckpointError: A file is missing, damaged, or belongs to another model.
    """
    from omni_encoder.flow_coder import FlowCoder
    from omni_encoder.flow_score import ScoreRule
    from omni_encoder.generator import OmniGenerator
    from omni_encoder.information import information

    generator = OmniGenerator.load(tokens=tokens, flow=flow)
    rule = ScoreRule(draws=draws, seed=seed)
    coder = FlowCoder(generator, rule, scores=[score])
    return coder, lambda query, candidates, kinds: information(
        generator, query, candidates, kinds, score=score, rule=rule
    )


def rerank(
    hits: Sequence[Hit],
    query: Query,
    *,
    collection: Collection,
    flow: Flow,
    rule: RerankRule | None = None,
) -> Reranked:
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
    terms = judged_terms(query)
    first = hits[: rule.top]
    if len(first) < 2:
        return Reranked(list(hits))
    vectors: Float32[np.ndarray, "hits dim"] = np.stack(
        [collection.vector_of(hit.record.id) for hit in first]
    )
    kinds = [hit.record.modality for hit in first]
    judged: Float64[np.ndarray, " hits"] = np.zeros(len(first))
    for term in terms:
        judged += term.weight * flow.judge(_item(term, flow.layout), vectors, kinds)
    return Reranked(_ordered(hits, range(len(first)), judged, rule.weight), len(first))


def rerank_by_codes(
    hits: Sequence[Hit],
    query: Query,
    *,
    collection: Collection,
    flow: CodeFlow,
    rule: RerankRule,
) -> Reranked:
    """As `rerank`, by the codes that the collection keeps; no file of a hit is opened.

    Hits without codes keep their places, and the others are put in order among theirs. Texts have
    their words.

    Raises:
        CollectionError: The collection keeps no codes, or those of another model.
        MediaError: A file of the query can't be decoded.
        QueryError: The query has no part that the flow can judge.
    """
    first = hits[: rule.top]
    terms = judged_terms(query)
    known = _codes(first, collection, flow)
    places = [at for at, codes in enumerate(known) if codes is not None]
    left = len(first) - len(places)
    if len(places) < 2:
        return Reranked(list(hits), 0, left)
    codes = [one for one in known if one is not None]
    kinds = [first[at].record.modality for at in places]
    judged: Float64[np.ndarray, " hits"] = np.zeros(len(places))
    for term in terms:
        judged += term.weight * flow.judge(_item(term, flow.layout), codes, kinds)
    return Reranked(_ordered(hits, places, judged, rule.weight), len(places), left)


def _codes(hits: Sequence[Hit], collection: Collection, flow: CodeFlow) -> list[ItemCodes | None]:
    """What the flow reads of hits: words of texts, kept codes of the rest, None where it can't."""
    records = [hit.record for hit in hits]
    media = [record for record in records if record.modality is not Modality.TEXT]
    setting = collection.codes
    if media and setting is not None and setting.fingerprint != flow.fingerprint:
        raise other_codes()
    found = codes_of(collection, media) if media else {}
    texts = {one.id: one.text for one in records if one.modality is Modality.TEXT and one.text}
    if texts and flow.texts is not None:
        found |= dict(zip(texts, flow.texts(list(texts.values())), strict=True))
    return [found.get(record.id) for record in records]


def _ordered(
    hits: Sequence[Hit],
    places: Sequence[int],
    judged: Float64[np.ndarray, " places"],
    weight: float,
) -> list[Hit]:
    """Hits of which those at some places are put in order among these places."""
    cosines = np.array([hits[at].score for at in places], dtype=np.float64)
    order = np.argsort(-blended(cosines, judged, weight=weight), kind="stable")
    ordered = list(hits)
    for at, best in zip(places, order, strict=True):
        ordered[at] = replace(hits[places[int(best)]], flow_rank=at + 1)
    return [replace(hit, rank=rank) for rank, hit in enumerate(ordered, start=1)]


def judged_terms(query: Query) -> list[Term]:
    """The parts of a query that a flow can judge.

    Raises:
        QueryError: There are none.
    """
    terms = [term for term in query.terms if _can_be_judged(term)]
    if not terms:
        raise QueryError(
            "re-ranking needs words, an image or a sound in the query",
            hint="leave --rerank out, or say what you look for in words",
        )
    return terms


def _can_be_judged(term: Term) -> bool:
    return term.weight > 0 and term.modality not in (None, Modality.VIDEO)


def _item(term: Term, layout: MediaLayout) -> MediaItem:
    """A term's content, as the encoder gets it; of a file of several parts, the first."""
    if isinstance(term.content, str):
        return MediaItem(Modality.TEXT, str(spoken(term).content))
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
