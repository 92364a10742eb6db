"""Re-ranking: the order follows both scores, and nothing but the first hits moves."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from indexer import Collection, ingest
from omni_encoder import EncoderMismatchError, MediaItem, Modality, QueryError
from omni_encoder.flow_score import blended as blended_oracle
from retrieval import Query, Retriever, Term
from retrieval.rerank import Flow, Judge, RerankRule, blended, rerank
from tests.toy import ToyEncoder


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    media = tmp_path_factory.mktemp("media")
    for number in range(6):
        Image.new("RGB", (20, 20), (40 * number, 90, 200 - 30 * number)).save(
            media / f"{number}.png"
        )
    directory = tmp_path_factory.mktemp("collections") / "small"
    with Collection.create(directory, ToyEncoder().spec) as collection:
        ingest([media], collection, ToyEncoder())
    return directory


@pytest.fixture
def retriever(directory: Path) -> Iterator[Retriever]:
    with Retriever.open(directory, encoder=ToyEncoder()) as retriever:
        yield retriever


def flow(judge: Judge) -> Flow:
    spec = ToyEncoder().spec
    return Flow(judge, spec.fingerprint, spec.layout)


def backwards(query: MediaItem, candidates: np.ndarray, kinds: Sequence[Modality]) -> np.ndarray:
    """Likes what comes last."""
    assert query.modality is not Modality.VIDEO
    assert len(candidates) == len(kinds)
    return np.arange(len(candidates), dtype=np.float64)


def test_the_flow_alone_turns_the_first_hits_round_and_leaves_the_rest(
    retriever: Retriever,
) -> None:
    query = Query((Term.text("red"),))
    hits = retriever.search(query)

    done = rerank(
        hits,
        query,
        collection=retriever.collection,
        flow=flow(backwards),
        rule=RerankRule(top=4, weight=1),
    )

    again = done.hits
    assert (done.judged, done.left) == (4, 0)
    assert [hit.record.id for hit in again[:4]] == [hit.record.id for hit in hits[3::-1]]
    assert again[4:] == hits[4:]
    assert [hit.rank for hit in again] == [hit.rank for hit in hits]
    assert {hit.record.id: hit.score for hit in again} == {h.record.id: h.score for h in hits}


def test_no_weight_changes_nothing(retriever: Retriever) -> None:
    query = Query((Term.text("red"),))
    hits = retriever.search(query)
    kept = rerank(
        hits,
        query,
        collection=retriever.collection,
        flow=flow(backwards),
        rule=RerankRule(weight=0),
    ).hits

    assert [replace(hit, flow_rank=None) for hit in kept] == hits
    assert [hit.flow_rank for hit in kept] == [hit.rank for hit in hits]


def test_every_wanted_part_is_asked_about_and_no_other(
    retriever: Retriever, directory: Path, tmp_path: Path
) -> None:
    asked: list[Modality] = []

    def note(query: MediaItem, candidates: np.ndarray, kinds: Sequence[Modality]) -> np.ndarray:
        asked.append(query.modality)
        return backwards(query, candidates, kinds)

    Image.new("RGB", (20, 20), "red").save(tmp_path / "red.png")
    terms = (
        Term.text("red"),
        Term.text("blue", weight=-0.5),
        Term.file(Modality.IMAGE, tmp_path / "red.png"),
    )
    query = Query(terms)
    rerank(retriever.search(query), query, collection=retriever.collection, flow=flow(note))

    assert asked == [Modality.TEXT, Modality.IMAGE]


def test_words_are_asked_about_without_quotation_marks(retriever: Retriever) -> None:
    asked: list[object] = []

    def note(query: MediaItem, candidates: np.ndarray, kinds: Sequence[Modality]) -> np.ndarray:
        asked.append(query.content)
        return backwards(query, candidates, kinds)

    query = Query((Term.text('a "red barn"'),))
    rerank(retriever.search(query), query, collection=retriever.collection, flow=flow(note))

    assert asked == ["a red barn"]


def test_what_cannot_be_judged_is_refused(retriever: Retriever) -> None:
    first = retriever.search(Query((Term.text("red"),)))
    like = Query((Term.like(first[0].record.id),))
    stranger = Flow(backwards, "0" * 32, ToyEncoder().spec.layout)

    with pytest.raises(QueryError, match="words"):
        rerank(first, like, collection=retriever.collection, flow=flow(backwards))
    with pytest.raises(EncoderMismatchError, match="another encoder"):
        rerank(first, Query((Term.text("red"),)), collection=retriever.collection, flow=stranger)
    for wrong in ({"top": 1}, {"weight": 1.5}, {"draws": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            RerankRule(**wrong)


@given(
    st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=2, max_size=9), st.floats(0, 1)
)
@example([(5.788094663899507, 0.0)] * 3, 0.0)  # the mean of equal scores is rounded
def test_blending_equals_the_models_own(rows: list[tuple[float, float]], weight: float) -> None:
    # Spreads near the least float are rounding, which the two count differently.
    first, second = (np.round(np.array(column), 6) for column in zip(*rows, strict=True))

    np.testing.assert_allclose(
        blended(first, second, weight=weight),
        blended_oracle(torch.tensor(first), torch.tensor(second), weight=weight).numpy(),
        atol=1e-6,
    )
