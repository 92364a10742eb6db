"""Codes from the command line: kept when asked for, remembered, and read by --rerank."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from omni_encoder import CollectionError, MediaItem, Modality
from omni_encoder.item_codes import ItemCodes
from retrieval.rerank import CodeFlow
from tests.toy import ToyEncoder
from tests.toy_coder import ToyCoder

from .conftest import Ended

Run = Callable[..., Ended]


@pytest.fixture(autouse=True)
def _toy_coder(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*, threads: int | None = None) -> ToyCoder:
        return ToyCoder(name="omni")

    def judge(_q: MediaItem, found: Sequence[ItemCodes], _k: Sequence[Modality]) -> np.ndarray:
        return np.array([codes.prior for codes in found])

    monkeypatch.setattr("omni_encoder.flow_coder.FlowCoder.load", load)
    monkeypatch.setattr(
        "retrieval.reranker.load_code_flow",
        lambda score: CodeFlow(
            judge,
            ToyCoder().fingerprint,
            ToyEncoder().spec.layout,
            (lambda texts: [ItemCodes(np.zeros((2, 1), np.int64), -1.0, 0.0)] * len(texts))
            if score == "s2"
            else None,
        ),
    )


def codes(ended: Ended) -> object:
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)["codes"]
    if isinstance(found, dict):
        assert found.pop("seconds") >= 0
    return found


def test_codes_are_kept_when_asked_for_and_from_then_on(indexed: Path, omnidex: Run) -> None:
    assert codes(omnidex("index", indexed, "--json")) is None
    assert codes(omnidex("status", "--json")) is None

    first = codes(omnidex("index", indexed, "--codes", "--json"))
    assert first == {"added": 4, "lacking": 0, "dropped": 0}  # two images, a sound of two parts
    assert codes(omnidex("status", "--json")) == "kept"

    (indexed / "red.png").unlink()
    (indexed / "copy.jpg").write_bytes((indexed / "blue.jpg").read_bytes())
    (indexed / "blue.jpg").write_bytes((indexed / "blue.jpg").read_bytes() + b"more")
    again = codes(omnidex("index", indexed, "--json"))
    assert again == {"added": 1, "lacking": 0, "dropped": 0}


def test_after_a_removal_status_does_not_say_that_codes_are_missing(
    indexed: Path, omnidex: Run
) -> None:
    omnidex("index", "--codes")
    assert omnidex("rm", indexed / "red.png", "--yes").code == 0

    assert codes(omnidex("status", "--json")) == "due"
    told = omnidex("status").out
    assert "missing" not in told
    assert "the next omnidex index sees to theirs" in told
    assert "codes added\t0" in omnidex("index", "--codes").out
    assert codes(omnidex("status", "--json")) == "kept"


def test_codes_alone_and_their_end(indexed: Path, omnidex: Run) -> None:
    assert codes(omnidex("index", "--codes", "--json")) == {
        "added": 4,
        "lacking": 0,
        "dropped": 0,
    }
    assert "codes added  0" in omnidex("index", "--codes").out.replace("\t", "  ")
    ended = omnidex("index", "--no-codes")
    assert "dropped" in ended.err
    assert codes(omnidex("status", "--json")) is None
    assert "no codes" in omnidex("index", "--no-codes").err


@pytest.mark.parametrize("codes_option", ["--codes", "--no-codes"])
@pytest.mark.parametrize("mode", ["--optimize", "--dry-run", "--watch"])
def test_what_needs_a_folder_beside_codes_says_so(
    indexed: Path, omnidex: Run, codes_option: str, mode: str
) -> None:
    ended = omnidex("index", codes_option, mode)

    assert ended.code == 2
    assert f"--codes and --no-codes with {mode} need a folder or file to index" in ended.err
    assert codes(omnidex("status", "--json")) is None


@pytest.mark.parametrize(
    ("given", "idle"),
    [
        (("--codes", "--jobs", 4), "--jobs"),
        (("--codes", "-E", "*.gif", "--retry-failed"), "--exclude, --retry-failed"),
        (("--codes", "--encoder", "omni"), "--encoder"),
        (("--codes", "--engine", "ray"), "--engine"),
        (("--no-codes", "--batch-size", 4), "--batch-size"),
    ],
)
def test_what_says_how_to_index_is_refused_where_only_codes_are_made(
    indexed: Path, omnidex: Run, given: tuple[object, ...], idle: str
) -> None:
    ended = omnidex("index", *given)

    assert ended.code == 2
    assert f"without a folder leaves {idle} nothing to do" in ended.err
    assert codes(omnidex("status", "--json")) is None


@pytest.mark.parametrize("folder", [False, True])
def test_what_says_how_to_make_codes_is_obeyed(
    indexed: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch, *, folder: bool
) -> None:
    batches = list[int]()

    class Counting(ToyCoder):
        def encode(self, items: Sequence[MediaItem]) -> list[ItemCodes]:
            batches.append(len(items))
            return super().encode(items)

    threads_given = list[int | None]()

    def load(*, threads: int | None = None) -> ToyCoder:
        threads_given.append(threads)
        return Counting(name="omni")

    monkeypatch.setattr("omni_encoder.flow_coder.FlowCoder.load", load)
    given = [indexed] if folder else []
    ended = omnidex("index", *given, "--codes", "--batch-size", 3, "--threads", 1, "--json")

    assert ended.code == 0, ended.err
    assert batches == [3, 1]
    assert threads_given == [1]


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize(
    ("given", "limits"),
    [
        (("--file-seconds", 7), [(7.0, 4096 * 2**20)]),
        (("--file-mb", 512), [(120.0, 512 * 2**20)]),
        ((), []),
    ],
)
def test_limits_reach_what_decodes_a_few_files(
    indexed: Path,
    omnidex: Run,
    monkeypatch: pytest.MonkeyPatch,
    *,
    given: tuple[object, ...],
    limits: list[tuple[float, int]],
    folder: bool,
) -> None:
    begun = list[tuple[float, int]]()

    class Noting:
        def __init__(self, *, file_seconds: float, file_bytes: int) -> None:
            begun.append((file_seconds, file_bytes))

        def open(self, _path: Path, _layout: object) -> None:
            raise ChildProcessError

        def close(self) -> None: ...

    monkeypatch.setattr("indexer.item_codes.RemoteDecoder", Noting)
    ended = omnidex("index", *([indexed] if folder else []), "--codes", *given, "--json")

    assert codes(ended) == {"added": 4, "lacking": 0, "dropped": 0}
    assert begun == limits


def test_said_again_the_model_is_loaded_only_for_what_is_new(
    indexed: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert codes(omnidex("index", "--codes", "--json")) is not None
    loads = list[int | None]()

    def load(*, threads: int | None = None) -> ToyCoder:
        loads.append(threads)
        return ToyCoder(name="omni")

    monkeypatch.setattr("omni_encoder.flow_coder.FlowCoder.load", load)
    nothing = {"added": 0, "lacking": 0, "dropped": 0}
    assert codes(omnidex("index", indexed, "--codes", "--json")) == nothing
    assert codes(omnidex("index", "--codes", "--json")) == nothing
    (indexed / "new.txt").write_text("something new")
    assert codes(omnidex("index", indexed, "--json")) == nothing
    assert not loads
    (indexed / "red.png").write_bytes((indexed / "red.png").read_bytes() + b"more")
    assert codes(omnidex("index", indexed, "--json")) == nothing | {"added": 1}
    assert len(loads) == 1

    with monkeypatch.context() as patched:  # an update has brought another model
        patched.setattr("omni_encoder.item_codes.shipped_model", lambda: "another")
        assert codes(omnidex("index", "--codes", "--json")) == nothing
    assert len(loads) == 2


def test_codes_of_another_model_are_called_outdated_and_refused_before_a_flow_is_loaded(
    indexed: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    omnidex("index", "--codes")

    def load(_score: str) -> CodeFlow:
        raise AssertionError("a flow was loaded")

    with monkeypatch.context() as updated:
        updated.setattr("omni_encoder.item_codes.shipped_model", lambda: "another")
        updated.setattr("retrieval.reranker.shipped_model", lambda: "another")
        updated.setattr("retrieval.reranker.load_code_flow", load)
        assert codes(omnidex("status", "--json")) == "outdated"
        told = omnidex("status").out
        assert "of another model; omnidex index --codes makes them anew" in told
        assert "outdated: of another model" in omnidex("index", indexed).err
        refused = omnidex("search", "red", "--rerank", "flow:20:1:s2")
        assert refused.code == 2
        assert "codes of another model" in refused.err
        assert omnidex("search", "red", "--rerank", "flow:s2").code == 0
        omnidex("index", "--codes")
        assert codes(omnidex("status", "--json")) == "kept"


def test_with_a_cluster_this_machine_makes_the_codes(
    indexed: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # nothing is left for a cluster to do

    found = codes(omnidex("index", indexed, "--engine", "ray", "--codes", "--json"))
    assert found == {"added": 4, "lacking": 0, "dropped": 0}


def test_what_was_indexed_is_told_though_the_codes_fail(
    indexed: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_table: object, _parts: object) -> None:
        raise CollectionError("the disk is full", hint="free some")

    monkeypatch.setattr("indexer.code_table.CodeTable.append", fail)
    (indexed / "new.txt").write_text("something new")
    ended = omnidex("index", indexed, "--codes", "--json")

    assert ended.code == 2
    told = json.loads(ended.out)
    assert told["report"]["encoded"] == 1
    assert told["codes"] is None
    assert json.loads(ended.err)["error"]["message"] == "the disk is full"


def test_the_next_index_ends_what_a_kill_left_of_no_codes(
    indexed: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    omnidex("index", "--codes")
    with monkeypatch.context() as patched:

        def interrupt(_directory: Path) -> None:
            raise KeyboardInterrupt

        patched.setattr("indexer.code_table.CodeTable.drop_all", interrupt)
        assert omnidex("index", "--no-codes").code == 130
    tables = list((indexed.parent / "collection").rglob("codes_*"))
    assert codes(omnidex("index", indexed, "--json")) is None

    assert tables
    assert not any(table.exists() for table in tables)


def test_another_encoders_collection_is_refused_before_anything_is_read(
    media: Path, omnidex: Run
) -> None:
    ended = omnidex("index", media, "--codes", "--encoder", "other")

    assert ended.code == 2
    assert "shipped model" in ended.err
    assert json.loads(omnidex("status", "--json").out)["items"] == {}


def test_a_collection_without_codes_says_how_to_get_them(indexed: Path, omnidex: Run) -> None:
    for given in ("flow:20:0.5:s3", "flow:20:0.2:s2"):
        ended = omnidex("search", "red", "--rerank", given)
        assert ended.code == 2
        assert "omnidex index --codes" in ended.err


def test_hits_without_codes_are_counted(indexed: Path, omnidex: Run) -> None:
    omnidex("index", "--codes")
    plain = omnidex("search", "red", "--no-hybrid", "--json")
    ended = omnidex("search", "red", "--no-hybrid", "--rerank", "flow:20:1:s3", "--json")

    assert ended.code == 0
    assert "1 item of the nearest kept their places: texts, which s3 can't judge" in ended.err
    before, after = (json.loads(one.out)["hits"] for one in (plain, ended))
    assert sorted(hit["id"] for hit in before) == sorted(hit["id"] for hit in after)
    for one, other in zip(before, after, strict=True):
        assert (one["modality"] == "text") == (other["modality"] == "text")
        assert (other["flow_rank"] is None) == (other["modality"] == "text")


def test_json_says_how_hits_were_judged(indexed: Path, omnidex: Run) -> None:
    omnidex("index", "--codes")

    def told(*given: str) -> dict[str, object]:
        return json.loads(omnidex("search", "red", *given, "--json").out)["rerank"]

    assert told() is None
    judged = told("--rerank", "flow:20:0.5:s2")
    times = judged.pop("seconds"), judged.pop("load_seconds")
    assert all(isinstance(one, float) and one >= 0 for one in times)
    kept = {"by": "flow", "rule": "s2", "draws": 2, "top": 20}
    assert judged == kept | {
        "weight": 0.5,
        "applied": True,
        "why_not": None,
        "judged": 4,
        "not_judged": 0,
    }
    left = {"applied": False, "judged": 0, "not_judged": 0, "seconds": 0, "load_seconds": 0}
    assert told("--rerank", "flow:s2") == kept | left | {"weight": 0, "why_not": "weight"}
    alone = told("--rerank", "flow:20:1:s2", "--to", "text")
    assert (alone["applied"], alone["why_not"]) == (False, "nothing-to-judge")


def test_texts_need_no_codes_and_are_refused_where_no_rule_fits(
    indexed: Path, omnidex: Run
) -> None:
    (indexed / "more.txt").write_text("a red barn")
    omnidex("index", indexed)
    ended = omnidex("search", "red", "--to", "text", "--rerank", "flow:20:1:s2", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["rerank"]["judged"] == 2

    refused = omnidex("search", "red", "--to", "text", "--rerank", "flow:20:1:s3")
    assert refused.code == 2
    assert "s3 can't judge texts" in refused.err


def test_a_rule_without_a_weight_keeps_the_order_and_says_so(indexed: Path, omnidex: Run) -> None:
    omnidex("index", "--codes")
    plain = omnidex("search", "red")
    again = omnidex("search", "red", "--rerank", "flow:s2")

    assert again.out == plain.out
    assert "flow:20:0.2:s2" in again.err


@pytest.mark.parametrize("wrong", ["flow:s4", "flow:s2:20", "flow::s2", "flow:20:0.1:0.2:s2"])
def test_a_wrong_rule_is_a_usage_error(indexed: Path, omnidex: Run, wrong: str) -> None:
    ended = omnidex("search", "red", "--rerank", wrong)

    assert ended.code == 2
    assert "flow:20:0.2:s2" in ended.err


def test_benchmarks_by_name_take_s1_alone(omnidex: Run) -> None:
    ended = omnidex("bench", "run", "coco-5k", "--rerank", "flow:20:0.2:s2")

    assert ended.code == 2
    assert "bench rerank --rule" in ended.err
