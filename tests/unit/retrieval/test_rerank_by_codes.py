"""Re-ranking by stored codes: what has none keeps its place, and no media file is opened."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import Collection, ingest
from indexer.item_codes import codes_of, drop_codes, keep_codes
from omni_encoder import CollectionError, MediaItem, Modality, QueryError
from omni_encoder.item_codes import ItemCodes
from retrieval import Query, Retriever, Term
from retrieval.rerank import CodeFlow, CodeJudge, RerankRule, rerank_by_codes
from tests.toy import ToyEncoder
from tests.toy_coder import ToyCoder

QUERY = Query((Term.text("red"),), k=20, hybrid=None)
RULE = RerankRule(weight=1, score="s2")


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    for number in range(6):
        colour = (40 * number, 90, 200 - 30 * number)
        Image.new("RGB", (20, 20), colour).save(folder / f"{number}.png")
    (folder / "red.txt").write_text("red")
    (folder / "blue.txt").write_text("blue sky")
    return folder


@pytest.fixture
def retriever(tmp_path: Path, media: Path) -> Iterator[Retriever]:
    with Collection.create(tmp_path / "collection", ToyEncoder().spec) as collection:
        ingest([media], collection, ToyEncoder())
        keep_codes(collection, ToyCoder)
    with Retriever.open(tmp_path / "collection", encoder=ToyEncoder()) as retriever:
        yield retriever


def flow(judge: CodeJudge, version: int = 0) -> CodeFlow:
    return CodeFlow(judge, ToyCoder(version=version).fingerprint, ToyEncoder().spec.layout)


def by_prior(_q: MediaItem, found: Sequence[ItemCodes], _k: Sequence[Modality]) -> np.ndarray:
    return np.array([codes.prior for codes in found])


def test_what_has_codes_is_put_in_order_and_the_rest_keeps_its_place(
    retriever: Retriever, media: Path
) -> None:
    hits = retriever.search(QUERY)
    for path in media.iterdir():
        path.unlink()  # nothing opens them

    done = rerank_by_codes(
        hits, QUERY, collection=retriever.collection, flow=flow(by_prior), rule=RULE
    )

    assert done.left == 2
    assert [hit.rank for hit in done.hits] == [hit.rank for hit in hits]
    texts = [
        [(hit.rank, hit.record.id) for hit in some if hit.record.modality is Modality.TEXT]
        for some in (hits, done.hits)
    ]
    assert texts[0] == texts[1]
    images = [hit.record for hit in done.hits if hit.record.modality is Modality.IMAGE]
    kept = codes_of(retriever.collection, images)
    priors = [kept[one.id].prior for one in images]
    assert len(set(priors)) == 6
    assert priors == sorted(priors, reverse=True)
    assert {hit.record.id for hit in done.hits} == {hit.record.id for hit in hits}


def test_texts_are_judged_by_their_words(retriever: Retriever) -> None:
    asked: list[str] = []

    def texts(given: Sequence[str]) -> list[ItemCodes]:
        asked.extend(given)
        return [ItemCodes(np.zeros((2, 1), np.int64), 9.0 + len(one), np.nan) for one in given]

    hits = retriever.search(QUERY)
    done = rerank_by_codes(
        hits,
        QUERY,
        collection=retriever.collection,
        flow=replace(flow(by_prior), texts=texts),
        rule=RULE,
    )

    assert sorted(asked) == ["blue sky", "red"]
    assert (done.judged, done.left) == (8, 0)
    assert [hit.record.text for hit in done.hits[:2]] == ["blue sky", "red"]
    drop_codes(retriever.collection)
    only = [hit for hit in hits if hit.record.modality is Modality.TEXT]
    alone = rerank_by_codes(
        only,
        QUERY,
        collection=retriever.collection,
        flow=replace(flow(by_prior), texts=texts),
        rule=RULE,
    )
    assert [hit.record.text for hit in alone.hits] == ["blue sky", "red"]


def test_only_the_first_are_judged(retriever: Retriever) -> None:
    asked: list[int] = []

    def judge(q: MediaItem, found: Sequence[ItemCodes], k: Sequence[Modality]) -> np.ndarray:
        asked.append(len(found))
        assert len(found) == len(k)
        return by_prior(q, found, k)

    hits = retriever.search(QUERY)
    rule = RerankRule(top=4, weight=1, score="s2")
    done = rerank_by_codes(
        hits, QUERY, collection=retriever.collection, flow=flow(judge), rule=rule
    )

    assert done.hits[4:] == hits[4:]
    assert asked == [4 - done.left]


def test_what_cannot_be_done_is_said(retriever: Retriever) -> None:
    hits = retriever.search(QUERY)
    like = Query((Term.like(hits[0].record.id),))
    collection = retriever.collection

    with pytest.raises(QueryError, match="words"):
        rerank_by_codes(hits, like, collection=collection, flow=flow(by_prior), rule=RULE)
    with pytest.raises(CollectionError, match="another model"):
        rerank_by_codes(hits, QUERY, collection=collection, flow=flow(by_prior, 1), rule=RULE)
    drop_codes(collection)
    with pytest.raises(CollectionError, match="keeps no codes"):
        rerank_by_codes(hits, QUERY, collection=collection, flow=flow(by_prior), rule=RULE)
