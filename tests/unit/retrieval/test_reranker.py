"""A search that is re-ranked: words keep their say, and the rest is in the flow's order."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import Collection, Merge, SearchMode, ingest
from omni_encoder import CollectionError, MediaItem, MediaLayout, Modality, QueryError
from omni_encoder.item_codes import ItemCodes, Score
from retrieval import Hit, Hybrid, Query, Retriever, Term
from retrieval.hybrid import fuse
from retrieval.imagine import fused
from retrieval.query import Imagine
from retrieval.rerank import CodeFlow, Flow, RerankRule
from retrieval.reranker import search_reranked
from tests.toy import ToyEncoder

QUERY = Query((Term.text("harbour"),), k=30, hybrid=Hybrid())
BARE = Query((Term.text("harbour"),), k=30)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty pictures, of which two have the word in their captions and three have other words."""
    media = tmp_path_factory.mktemp("media")
    draw = np.random.default_rng(0)
    for number in range(30):
        pixels = draw.integers(0, 255, size=(20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(media / f"IMG_{number}.png")
    for number in (3, 17):
        (media / f"IMG_{number}.png.txt").write_text("a harbour")
    for number in (4, 5, 6):
        (media / f"IMG_{number}.png.txt").write_text("a meadow")
    directory = tmp_path_factory.mktemp("collections") / "small"
    with Collection.create(directory, ToyEncoder().spec) as collection:
        ingest([media], collection, ToyEncoder())
    return directory


@pytest.fixture
def retriever(directory: Path) -> Iterator[Retriever]:
    with Retriever.open(directory, encoder=ToyEncoder()) as retriever:
        yield retriever


def backwards(_q: MediaItem, candidates: np.ndarray, _k: Sequence[Modality]) -> np.ndarray:
    """Likes what comes last."""
    return np.arange(len(candidates), dtype=np.float64)


@pytest.fixture(autouse=True)
def loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    loaded: list[int] = []

    def load(*, draws: int) -> Flow:
        loaded.append(draws)
        return Flow(backwards, ToyEncoder().spec.fingerprint, ToyEncoder().spec.layout)

    monkeypatch.setattr("retrieval.reranker.load_flow", load)
    return loaded


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.record.id for hit in hits]


@pytest.mark.parametrize("top", [5, 12, 30])
def test_words_are_fused_with_the_order_of_the_flow(retriever: Retriever, top: int) -> None:
    by_vector = retriever.search(BARE)
    plain = retriever.search(QUERY)
    found = {hit.record.content: 1.0 for hit in plain if hit.text_rank is not None}
    assert len(found) == 2

    hits, done = search_reranked(retriever, QUERY, RerankRule(top=top, weight=1))

    turned = [hit.record.content for hit in (*by_vector[top - 1 :: -1], *by_vector[top:])]
    silent = frozenset(hit.record.content for hit in by_vector if not hit.record.caption)
    assert len(silent) == 25
    fused = fuse(turned, list(found.items()), silent=silent, hybrid=Hybrid())
    assert [hit.record.content for hit in hits] == [one.key for one in fused]
    assert {hit.record.content for hit in hits[:6]} >= set(found)
    assert (done.judged, done.left) == (top, 0)
    flow_ranks = {hit.record.content: hit.flow_rank for hit in hits if hit.flow_rank}
    assert flow_ranks == {key: rank for rank, key in enumerate(turned[:top], start=1)}
    ranks = {hit.record.id: hit.vector_rank for hit in hits}
    assert ranks == {hit.record.id: hit.vector_rank for hit in by_vector}


def test_without_words_the_first_are_in_the_order_of_the_flow(retriever: Retriever) -> None:
    plain = ids(retriever.search(BARE))
    hits, _ = search_reranked(retriever, BARE, RerankRule(top=4, weight=1))

    assert ids(hits) == [*plain[3::-1], *plain[4:]]


@pytest.mark.parametrize("query", [QUERY, BARE])
def test_a_weight_near_nothing_changes_no_order_and_none_loads_no_flow(
    retriever: Retriever, loads: list[int], query: Query
) -> None:
    plain = retriever.search(query)
    none, done = search_reranked(retriever, query, RerankRule(weight=0))
    assert none == plain
    assert (done.judged, done.seconds, loads) == (0, 0, [])

    little, done = search_reranked(retriever, query, RerankRule(top=30, weight=1e-9, draws=3))
    assert ids(little) == ids(plain)
    assert (done.judged, loads) == (30, [3])
    assert done.seconds > 0


@pytest.mark.parametrize("score", ["s1", "s2", "s3"])
def test_without_a_weight_more_of_the_nearest_than_words_look_at_change_nothing(
    retriever: Retriever, monkeypatch: pytest.MonkeyPatch, score: Score
) -> None:
    monkeypatch.setattr("retrieval.retriever.DEPTH", 3)
    query = replace(QUERY, k=3)
    plain = retriever.search(query)
    deeper = retriever.search(query, depth=30)
    assert [hit.vector_rank for hit in deeper] != [hit.vector_rank for hit in plain]

    hits, done = search_reranked(retriever, query, RerankRule(top=30, weight=0, score=score))

    assert hits == plain
    assert done.judged == 0


def test_fewer_hits_than_are_judged_may_be_wanted(retriever: Retriever) -> None:
    few = replace(BARE, k=2)
    hits, done = search_reranked(retriever, few, RerankRule(top=6, weight=1))

    assert ids(hits) == ids(retriever.search(BARE))[5:3:-1]
    assert done.judged == 6


class Painter:
    """Draws grey pictures."""

    fingerprint = "painter"
    layout = MediaLayout(image_pixels=32)

    def draw(
        self, prompt: Sequence[MediaItem], modality: Modality, *, count: int, seed: int
    ) -> list[MediaItem]:
        assert prompt
        return [MediaItem(modality, np.full((32, 32, 3), 90 + seed, np.uint8))] * count


def test_what_is_imagined_is_fused_with_the_order_of_the_flow(directory: Path) -> None:
    with Retriever.open(directory, encoder=ToyEncoder(), load_drawer=Painter) as retriever:
        query = replace(BARE, imagine=Imagine(Modality.IMAGE, weight=0.5))
        seen = {hit.record.id: hit.imagined_rank for hit in retriever.search(query)}
        hits, _ = search_reranked(retriever, query, RerankRule(top=5, weight=1))
        turned = ids(search_reranked(retriever, BARE, RerankRule(top=5, weight=1))[0])

    by_drawing = sorted(seen, key=lambda one: seen[one] or 99)
    assert ids(hits) == fused(turned, by_drawing, weight=0.5)


def test_what_cannot_be_judged_is_said_before_a_flow_is_loaded(
    retriever: Retriever, loads: list[int]
) -> None:
    first = retriever.search(BARE)[0].record.id
    like = Query((Term.like(first),))
    with pytest.raises(QueryError, match="words"):
        search_reranked(retriever, like, RerankRule(weight=1))
    with pytest.raises(CollectionError, match="keeps no codes"):
        search_reranked(retriever, QUERY, RerankRule(weight=1, score="s2"))
    texts = Query(BARE.terms, modalities=(Modality.TEXT,))
    with pytest.raises(QueryError, match="s3 can't judge texts"):
        search_reranked(retriever, texts, RerankRule(weight=1, score="s3"))
    assert loads == []


@pytest.mark.parametrize("merge", [Merge.RANK, Merge.STANDARD])
def test_another_order_of_kinds_than_by_cosine_is_refused(
    retriever: Retriever, loads: list[int], merge: Merge
) -> None:
    query = replace(QUERY, mode=SearchMode(merge=merge))

    with pytest.raises(QueryError, match="by cosine alone"):
        search_reranked(retriever, query, RerankRule(weight=1))
    assert loads == []


def test_a_collection_of_texts_needs_no_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for word in ("harbour", "meadow"):
        (tmp_path / f"{word}.txt").write_text(f"a {word}")
    with Collection.create(tmp_path / "collection", ToyEncoder().spec) as collection:
        ingest([tmp_path], collection, ToyEncoder())

    def by_length(texts: Sequence[str]) -> list[ItemCodes]:
        return [ItemCodes(np.zeros((2, 1), np.int64), float(len(one)), 0.0) for one in texts]

    def judge(_q: MediaItem, found: Sequence[ItemCodes], _k: Sequence[Modality]) -> np.ndarray:
        return np.array([codes.prior for codes in found])

    monkeypatch.setattr(
        "retrieval.reranker.load_code_flow",
        lambda _score: CodeFlow(judge, "0" * 32, ToyEncoder().spec.layout, by_length),
    )
    with Retriever.open(tmp_path / "collection", encoder=ToyEncoder()) as retriever:
        hits, done = search_reranked(retriever, BARE, RerankRule(weight=1, score="s2"))
        with pytest.raises(QueryError, match="s3 can't judge texts"):
            search_reranked(retriever, BARE, RerankRule(weight=1, score="s3"))

    assert done.judged == 2
    assert [hit.record.text for hit in hits] == ["a harbour", "a meadow"]
