"""Benchmarks over an index, and with the first hits in a new order."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from omnidex_benchmarks import registry, results, searchers
from omnidex_benchmarks.protocol import Request
from omnidex_benchmarks.reranked import Reranking
from omnidex_benchmarks.results import Stored

from omni_encoder import EncoderMismatchError, MediaItem, MediaLayout, Modality, OmniError
from retrieval.rerank import Flow, RerankRule
from tests import miniatures
from tests.miniatures import NumberEncoder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    miniatures.coco(tmp_path / "coco", images=12)
    return tmp_path / "coco"


def run(folder: Path, data: Path, *, name: str = "coco-5k", **more: object) -> Stored:
    encoder = NumberEncoder(wrong=1 if more.pop("wrong", False) else 0)
    request = Request(encoder=lambda: encoder, data=data, **more)
    return results.run(registry.find(name), request, folder=folder)


def reranking(encoder: NumberEncoder, weight: float = 1.0, top: int = 20) -> Reranking:
    """A flow that sees of a candidate what its vector says, and knows by how much it is wrong."""

    def judge(query: MediaItem, vectors: np.ndarray, kinds: list[Modality]) -> np.ndarray:
        asked = NumberEncoder().encode([query])[0]
        assert len(kinds) == len(vectors)
        return np.roll(vectors, -1, axis=1) @ asked

    flow = Flow(judge, encoder.spec.fingerprint, MediaLayout())
    return Reranking(RerankRule(top=top, weight=weight), lambda: flow)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("name", ["exact", "collection", "faiss-flat", "faiss-hnsw"])
def test_every_index_finds_the_nearest_and_leaves_the_own_item_out(name: str) -> None:
    generator = np.random.default_rng(0)
    rows = unit(generator.standard_normal((400, 16)))
    own = np.arange(-1, 9)
    queries = rows[own]

    lists = searchers.found_by(name, queries, rows, own=own)

    for query, left_out, hits in zip(queries, own, lists, strict=True):
        scores = rows @ query
        if left_out >= 0:
            scores[left_out] = -1
        assert len(hits) == len(set(hits.tolist())) == searchers.DEPTH
        assert set(hits[:3].tolist()) == set(np.argsort(-scores)[:3].tolist())


def test_names_of_indexes_are_what_the_option_takes() -> None:
    assert searchers.names()[:4] == ["exact", "collection", "faiss-flat", "faiss-hnsw"]
    with pytest.raises(OmniError, match="no index called 'tree'") as caught:
        searchers.found_by("tree", np.ones((1, 2), np.float32), np.ones((1, 2), np.float32))
    assert "collection" in caught.value.hint


def test_run_files_hold_what_the_index_found(tmp_path: Path, data: Path) -> None:
    run(tmp_path / "r", data, index="collection", trec=tmp_path / "trec", wrong=True)

    lines = (tmp_path / "trec" / "coco-5k.text-to-image.run").read_text().splitlines()
    scores = [float(line.split()[4]) for line in lines if line.split()[0] == lines[0].split()[0]]

    assert scores == sorted(scores, reverse=True)
    assert len(scores) == len(set(scores)) == 12


def test_re_ranking_puts_first_what_the_flow_judges_best(tmp_path: Path, data: Path) -> None:
    wrong = NumberEncoder(wrong=1)
    plain = run(tmp_path, data, wrong=True)

    anew = run(tmp_path, data, wrong=True, rerank=reranking(wrong))
    with_index = run(tmp_path, data, wrong=True, rerank=reranking(wrong), index="collection")
    only_two = run(tmp_path, data, wrong=True, rerank=reranking(wrong, top=2))

    name = "text->image"
    assert plain.document["directions"][name]["success@1"] < 0.2
    assert anew.document["directions"][name]["success@1"] == 1.0
    assert with_index.document["directions"][name]["success@1"] == 1.0
    assert only_two.document["directions"][name]["success@1"] < 1.0
    assert anew.document["protocol"]["rerank"] == {"top": 20, "weight": 1.0, "draws": 2}
    assert "rerank" not in plain.document["protocol"]
    assert len({stored.path for stored in (plain, anew, with_index, only_two)}) == 4


def test_what_a_flow_can_t_judge_is_left_out_and_said(tmp_path: Path) -> None:
    miniatures.cirr(tmp_path / "cirr")
    miniatures.msrvtt(tmp_path / "msrvtt")
    rule = reranking(NumberEncoder())

    composed = run(tmp_path, tmp_path / "cirr", name="cirr", rerank=rule).document
    video = run(tmp_path, tmp_path / "msrvtt", name="msrvtt-1ka", rerank=rule).document

    assert composed["directions"] == {}
    assert set(composed["left_out"]) == {"composed->image", "composed->subset"}
    assert list(video["directions"]) == ["text->video"]
    assert "videos" in video["left_out"]["video->text"]


def test_a_flow_of_another_encoder_is_refused(tmp_path: Path, data: Path) -> None:
    made = reranking(NumberEncoder())
    other = replace(made.flow(), fingerprint="f" * 32)

    with pytest.raises(EncoderMismatchError, match="another encoder"):
        run(tmp_path, data, rerank=Reranking(made.rule, lambda: other))
