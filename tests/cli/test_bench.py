"""`omnidex bench list|run|compare|report|check|tables|mteb` with the toy encoder."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import miniatures

from .conftest import Ended


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of datasets, of which two are there, as the working directory."""
    miniatures.coco(tmp_path / "data" / "coco", images=6)
    miniatures.esc50(tmp_path / "data" / "esc50")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_list_names_every_benchmark_and_what_it_needs(omnidex: Callable[..., Ended]) -> None:
    ended = omnidex("bench", "list")
    listed = json.loads(omnidex("bench", "list", "--json").out)["benchmarks"]

    assert ended.code == 0
    assert "coco-5k\tretrieval\t" in ended.out
    assert {entry["name"] for entry in listed} >= {
        *("flickr30k", "mixbench", "manifest", "turns", "composed", "mixed", "weak", "imagine"),
        *("ann", "ingest", "encode", "rerank", "generate", "cold-start", "startup", "memory"),
    }
    assert all(entry["layout"] for entry in listed if entry["kind"] == "retrieval")


def test_benchmarks_run_by_name_are_printed_and_kept(
    folder: Path, omnidex: Callable[..., Ended]
) -> None:
    ended = omnidex("bench", "run", "coco-5k", "esc50", "--data", "data")
    again = omnidex("bench", "run", "coco-5k", "--data", "data", "--json")

    assert ended.code == 0
    rows = [line.split("\t") for line in ended.out.splitlines()]
    assert [row[0] for row in rows] == ["text->image", "image->text", "audio->class"]
    assert "n: 6 images, 12 captions" in ended.err
    assert "images: 6 found, 5000 published" in ended.err
    document = json.loads(again.out)
    assert document["directions"]["text->image"]["queries"] == 12
    assert Path(document["file"]).is_file()
    assert document["protocol"]["ties"] == "worst"


def test_a_timing_ends_with_a_line_of_json_and_every_single_value_is_kept(
    folder: Path, omnidex: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    from omnidex_benchmarks import registry
    from omnidex_benchmarks.system import SystemBenchmark
    from omnidex_benchmarks.timing import spread

    clock = SystemBenchmark("clock", "A clock", lambda _: {"ratio": 2.0, "ratios": spread([1, 3])})
    monkeypatch.setattr(registry, "find", lambda _: clock)

    ended = omnidex("bench", "run", "clock", "--threads", "2")
    whole = json.loads(omnidex("bench", "run", "clock", "--json").out)

    last = json.loads(ended.out.splitlines()[-1])
    assert ended.out.startswith("ratio\t2.000\n")
    assert (last["ratio"], last["threads"]) == (2.0, 2)
    assert last["ratios"] == {"min": 1, "median": 2.0, "max": 3}
    assert json.loads(Path(last["file"]).read_text())["ratios"]["values"] == [1, 3]
    assert whole["ratios"]["values"] == [1, 3]


def test_an_index_is_asked_instead_of_a_whole_ranking(
    folder: Path, omnidex: Callable[..., Ended]
) -> None:
    options = ("--data", "data", "--index", "collection", "--json")
    document = json.loads(omnidex("bench", "run", "coco-5k", *options).out)

    assert document["protocol"]["index"] == "collection"
    assert document["directions"]["text->image"]["candidates"] == 6
    assert omnidex("bench", "run", "coco-5k", "--data", "data", "--rerank", "magic").code == 2


def test_what_is_missing_is_one_message_with_exit_code_2(
    folder: Path, omnidex: Callable[..., Ended]
) -> None:
    ended = omnidex("bench", "run", "clotho", "--data", "data", "--json")

    assert ended.code == 2
    error = json.loads(ended.err)
    assert "clotho needs clotho_captions_evaluation.csv in data" in json.dumps(error)
    assert "evaluation/" in json.dumps(error)
    assert omnidex("bench", "run", "cocoa").code == 2


def test_results_are_compared_and_reported(folder: Path, omnidex: Callable[..., Ended]) -> None:
    first, second = (
        json.loads(
            omnidex("bench", "run", "coco-5k", "--data", "data", "--json", "--encoder", name).out
        )["file"]
        for name in ("omni", "other")
    )

    compared = omnidex("bench", "compare", first, second)
    whole = json.loads(omnidex("bench", "compare", first, second, "--json").out)
    page = omnidex("bench", "report", "omnidex-results", "-o", "r.html")
    table = omnidex("bench", "report", first, "-o", "r.md", "--json")

    assert compared.code == 0
    assert len(compared.out.splitlines()) == 8
    assert set(whole["directions"]) == {"text->image", "image->text"}
    assert page.out == "r.html\n"
    assert "<table>" in (folder / "r.html").read_text()
    assert json.loads(table.out)["benchmarks"] == ["coco-5k"]
    assert (folder / "r.md").read_text().startswith("## coco-5k")
    assert omnidex("bench", "compare", first, "nowhere.json").code == 2
    assert omnidex("bench", "report", "nowhere.json").code == 2


def test_run_files_and_clip_benchmark_json_are_written_when_asked_for(
    folder: Path, omnidex: Callable[..., Ended]
) -> None:
    options = ("--data", "data", "--trec", "--clip-benchmark", "--results", "kept")
    assert omnidex("bench", "run", "coco-5k", *options).code == 0

    assert sorted(path.name for path in (folder / "kept/trec").iterdir()) == [
        f"coco-5k.{direction}.{kind}"
        for direction in ("image-to-text", "text-to-image")
        for kind in ("qrels", "run")
    ]
    (written,) = (folder / "kept/clip_benchmark").iterdir()
    assert json.loads(written.read_text())["dataset"] == "mscoco_captions"


def test_tables_go_into_a_page_or_to_stdout(folder: Path, omnidex: Callable[..., Ended]) -> None:
    rows = []
    for number in range(3):
        miniatures.write_picture(folder / f"{number}.png", number)
        row = {"id": f"{number}", "modality": "image", "file": f"{number}.png"}
        rows.append({**row, "captions": [f"number {number}"]})
    miniatures.write_lines(folder / "m.jsonl", rows)
    (folder / "r.md").write_text(
        "<!-- table: directions --><!-- end --><!-- table: parts --><!-- end -->"
    )

    printed = omnidex("bench", "tables", "m.jsonl")
    written = omnidex("bench", "tables", "m.jsonl", "--write", "r.md", "--encoder", "omni")

    assert (printed.code, written.code) == (0, 0)
    assert "| text → image | 3 | 3 | 0.333 |" in printed.out
    assert "omni S@1" in (folder / "r.md").read_text()
    assert omnidex("bench", "tables", "none.jsonl").code == 2


def test_tables_are_made_of_kept_results_and_what_is_absent_is_said_or_measured(
    folder: Path, omnidex: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    from omnidex_benchmarks import registry
    from omnidex_benchmarks.system import SystemBenchmark
    from omnidex_benchmarks.timing import spread

    figures = {"ratio": 2.0, "ratios": spread([1.0, 3.0]), "unit": "one / another"}
    runs: list[str] = []

    def find(name: str) -> SystemBenchmark:
        return SystemBenchmark(name, "A clock", lambda _: runs.append(name) or figures)

    monkeypatch.setattr(registry, "find", find)
    places = ("startup", "encode", "training", "stars")
    marks = "".join(f"<!-- table: {name} -->\n\nold {name}\n\n<!-- end -->\n" for name in places)
    (folder / "r.md").write_text(marks)
    assert omnidex("bench", "run", "startup").code == 0
    assert omnidex("bench", "run", "encode", "--quick").code == 0  # too little for a table
    runs.clear()

    kept = omnidex("bench", "tables", "--write", "r.md")
    once = (folder / "r.md").read_text()
    measured = omnidex("bench", "tables", "--measure", "--write", "r.md", "--json")
    printed = omnidex("bench", "tables")

    assert (kept.code, measured.code, printed.code) == (0, 0, 0)
    assert "| one / another | 2.00; 1.00 to 3.00 |  |" in once
    assert "`omnidex bench run startup`" in once
    assert "| text → image | 7.28 | 7.68 |" in once  # of the shipped generating half
    assert ("old encode" in once, "old startup" in once) == (True, False)
    assert "encode: no result is kept" in kept.err
    assert "stars: stays as it is, for there is no table of that name" in kept.err
    assert "omnidex bench run encode --results omnidex-results" in kept.err
    assert runs == ["encode"]
    assert "old encode" not in (folder / "r.md").read_text()
    assert "## startup" in printed.out
    assert omnidex("bench", "tables", "--measure").code == 2
    assert omnidex("bench", "run", "ingest").code == 0  # whose figures these aren't
    unlike = omnidex("bench", "tables")
    assert unlike.code == 2
    assert "the result of ingest of 20" in unlike.err
    assert "omnidex bench run ingest" in unlike.err


def test_what_a_table_lacks_is_said_with_all_that_its_command_needs(
    folder: Path, omnidex: Callable[..., Ended]
) -> None:
    (folder / "r.md").write_text("<!-- table: reranking --><!-- end --><!-- table: ingest -->")

    ended = omnidex("bench", "tables", "--write", "r.md", "--results", "kept")

    assert "bench run reranking --data MANIFEST --limit 150 --results kept" in ended.err
    assert "bench run ingest --results kept" in ended.err


def test_a_check_that_fails_exits_with_1(
    omnidex: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from omnidex_benchmarks import gate

    slow = gate.Check("speed", "A speed", "lower", 1.5, lambda _: 9.0)
    monkeypatch.setattr(gate, "CHECKS", (slow,))
    monkeypatch.setattr(gate, "committed_baselines", lambda: {"speed": 2.0})

    ended = omnidex("bench", "check")

    assert ended.code == 1
    assert "worse" in ended.out
    assert json.loads(omnidex("bench", "check", "--json").out)["passed"] is False
    assert omnidex("bench", "check", "--update", tmp_path / "b.json").code == 0
    assert json.loads((tmp_path / "b.json").read_text()) == {"speed": 9.0}


def test_mteb_wants_tasks_or_mock(omnidex: Callable[..., Ended]) -> None:
    assert omnidex("bench", "mteb").code == 2
    assert omnidex("bench", "mteb", "SomeTask", "--mock").code == 2
