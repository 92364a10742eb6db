"""From files to an order by each rule, with a tiny random model: ingest, codes, search, re-rank."""

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from indexer import Collection, ingest
from indexer.item_codes import codes_of, keep_codes
from omni_encoder import MediaItem, Modality
from omni_encoder.flow_coder import FlowCoder, code_fingerprint
from omni_encoder.generator import OmniGenerator
from omni_encoder.information import information
from omni_encoder.item_codes import Score
from omni_encoder.likelihood import query_likelihood
from omni_encoder.media import open_media
from retrieval import Hit, Query, Retriever, Term
from retrieval.rerank import CodeFlow, Flow, RerankRule, rerank, rerank_by_codes
from tests.tiny_generator import write_tiny_generator

WORDS = MediaItem(Modality.TEXT, "1 2")
QUERY = Query((Term.text("1 2"),), k=20, hybrid=None)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> OmniGenerator:
    return write_tiny_generator(tmp_path_factory.mktemp("tiny")).load()


@pytest.fixture(scope="module")
def retriever(
    generator: OmniGenerator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Retriever]:
    media, encoder = tmp_path_factory.mktemp("media"), generator.codec.encoder
    draw = np.random.default_rng(0)
    for number in range(5):
        pixels = draw.integers(0, 255, size=(24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(media / f"{number}.png")
    directory = tmp_path_factory.mktemp("collections") / "small"
    with Collection.create(directory, encoder.spec, means=encoder.means) as collection:
        ingest([media], collection, encoder)
        assert keep_codes(collection, lambda: FlowCoder(generator)).added == 5
    with Retriever.open(directory, encoder=encoder) as opened:
        yield opened


def reranked(
    hits: list[Hit], retriever: Retriever, generator: OmniGenerator, rule: RerankRule
) -> list[Hit]:
    spec, collection, score = generator.codec.encoder.spec, retriever.collection, rule.score
    if score == "s1":
        judge = Flow(
            lambda query, rows, kinds: query_likelihood(generator, query, rows, kinds),
            spec.fingerprint,
            spec.layout,
        )
        return rerank(hits, QUERY, collection=collection, flow=judge, rule=rule).hits
    by_codes = CodeFlow(
        lambda query, codes, kinds: information(generator, query, codes, kinds, score=score),
        code_fingerprint(generator),
        spec.layout,
    )
    return rerank_by_codes(hits, QUERY, collection=collection, flow=by_codes, rule=rule).hits


@pytest.mark.parametrize("score", ["s1", "s2", "s3"])
def test_each_rule_orders_the_first_hits_the_same_however_many_they_are(
    retriever: Retriever, generator: OmniGenerator, score: Score
) -> None:
    hits = list(retriever.search(QUERY))
    assert len(hits) == 5
    whole = reranked(hits, retriever, generator, RerankRule(weight=1, score=score))
    some = reranked(hits, retriever, generator, RerankRule(top=3, weight=1, score=score))

    assert [hit.rank for hit in whole] == [1, 2, 3, 4, 5]
    first = {hit.record.id for hit in hits[:3]}
    assert [hit.record.id for hit in some[:3]] == [
        hit.record.id for hit in whole if hit.record.id in first
    ]
    assert some[3:] == hits[3:]


def test_stored_codes_are_those_of_the_file(retriever: Retriever, generator: OmniGenerator) -> None:
    records = [hit.record for hit in retriever.search(QUERY)]
    kept = codes_of(retriever.collection, records)
    for record in records:
        _, (item,) = open_media(record.paths[0], generator.codec.encoder.spec.layout)
        (fresh,) = FlowCoder(generator).encode([item])
        one = kept[record.id]
        np.testing.assert_array_equal(one.codes, fresh.codes)
        assert one.prior == pytest.approx(fresh.prior, rel=1e-5)
        assert one.bound == pytest.approx(fresh.bound, rel=1e-5)
