"""Results on disk, their comparison, reports and tables."""

import json
import re
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from omnidex_benchmarks import plots, registry, results
from omnidex_benchmarks.clip_benchmark import as_clip_benchmark
from omnidex_benchmarks.comparison import compare_results, holm
from omnidex_benchmarks.protocol import Benchmark, Outcome, Request
from omnidex_benchmarks.report import collect, markdown
from omnidex_benchmarks.report_html import page
from omnidex_benchmarks.results import Stored
from omnidex_benchmarks.system import SystemBenchmark
from omnidex_benchmarks.tables import result_tables, write_between_marks

from omni_encoder import OmniError
from tests import miniatures
from tests.miniatures import NumberEncoder


def run(
    folder: Path, data: Path, *, wrong: int = 0, name: str = "coco-5k", **more: object
) -> Stored:
    encoder = NumberEncoder(wrong=wrong)
    request = Request(encoder=lambda: encoder, data=data, **more)
    return results.run(registry.find(name), request, folder=folder)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    miniatures.coco(tmp_path / "coco", images=12)
    return tmp_path / "coco"


def test_every_line_of_the_registry_is_a_benchmark_of_that_name() -> None:
    for name in registry.names():
        benchmark = registry.find(name)
        assert isinstance(benchmark, Benchmark)
        assert benchmark.name == name
        assert benchmark.layout or benchmark.kind == "system"
    with pytest.raises(OmniError, match="no benchmark called 'coco'"):
        registry.find("coco")


def test_the_same_question_is_answered_from_the_file_and_any_other_is_measured(
    tmp_path: Path, data: Path
) -> None:
    first = run(tmp_path / "r", data)
    again = run(tmp_path / "r", data)

    assert (first.cached, again.cached) == (False, True)
    assert json.loads(json.dumps(first.document)) == again.document
    others = [
        run(tmp_path / "r", data, wrong=1),
        run(tmp_path / "r", data, centre=True),
        run(tmp_path / "r", data, limit=3),
        run(tmp_path / "r", data, ties="mean"),
        run(tmp_path / "r", data, index="collection"),
        run(tmp_path / "r", data, name="coco-1k"),
    ]
    assert len({stored.path for stored in [first, *others]}) == 7
    assert not any(stored.cached for stored in others)
    miniatures.coco(data, images=11)
    assert not run(tmp_path / "r", data).cached


def test_a_run_that_was_cut_off_encodes_only_what_was_not_kept(tmp_path: Path, data: Path) -> None:
    whole, again = NumberEncoder(), NumberEncoder()
    request = Request(encoder=lambda: whole, data=data, cache=tmp_path / "v")
    registry.find("coco-5k").measure(request)
    request = Request(encoder=lambda: again, data=data, cache=tmp_path / "v")
    registry.find("coco-1k").measure(request)

    assert whole.encoded == 12 + 24
    assert again.encoded == 0


def test_timings_are_kept_and_never_answered_from_a_file(tmp_path: Path) -> None:
    counted: list[int] = []

    def measure(_: Request) -> dict[str, object]:
        counted.append(1)
        return {"ratio": 1.5, "ratios": {"min": 1.0, "median": 1.5, "max": 2.0}}

    benchmark = SystemBenchmark("clock", "A clock", measure)
    request = Request(encoder=NumberEncoder)
    stored = [results.run(benchmark, request, folder=tmp_path) for _ in range(2)]

    assert len(counted) == 2
    assert stored[0].path != stored[1].path
    assert results.read(stored[0].path)["ratio"] == 1.5


def test_per_query_figures_average_to_the_figures(tmp_path: Path, data: Path) -> None:
    stored = run(tmp_path, data, wrong=1)

    per_query = results.read_per_query(stored.path)

    assert list(per_query) == ["text->image", "image->text"]
    for name, (ids, metrics) in per_query.items():
        figures = stored.document["directions"][name]
        assert len(ids) == figures["queries"]
        for metric in ("success@1", "recall@10", "map", "mrr", "ndcg@10"):
            assert np.mean(metrics[metric]) == pytest.approx(figures[metric], abs=1e-12)
        assert np.median(metrics["rank"]) == figures["median_rank"]


def test_run_files_are_scored_alike_by_ir_measures(tmp_path: Path, data: Path) -> None:
    stored = run(tmp_path / "r", data, wrong=1, trec=tmp_path / "trec")

    for name, figures in stored.document["directions"].items():
        stem = tmp_path / "trec" / f"coco-5k.{name.replace('->', '-to-')}"
        qrels = list(ir_measures.read_trec_qrels(f"{stem}.qrels"))
        run_lines = list(ir_measures.read_trec_run(f"{stem}.run"))
        for theirs, ours in (("Success@1", "success@1"), ("R@10", "recall@10"), ("AP", "map")):
            measure = ir_measures.parse_measure(theirs)
            value = ir_measures.calc_aggregate([measure], qrels, run_lines)[measure]
            assert figures[ours] == pytest.approx(value, abs=1e-12)


def test_a_comparison_says_what_is_better_and_what_is_only_luck(tmp_path: Path, data: Path) -> None:
    bad, good = run(tmp_path, data, wrong=1), run(tmp_path, data)

    result = json.loads(json.dumps(compare_results(bad.path, good.path)))
    same = compare_results(good.path, good.path)
    back = compare_results(good.path, bad.path)["directions"]["text->image"]["map"]

    forward = result["directions"]["text->image"]["map"]
    assert forward["verdict"] == "better"
    assert forward["interval"][0] <= forward["difference"] <= forward["interval"][1]
    assert back["verdict"] == "worse"
    centred = compare_results(good.path, run(tmp_path, data, centre=True).path)
    assert str(centred["b"]["label"]) == f"{centred['a']['label']} (centred)"
    verdicts = {row["verdict"] for rows in same["directions"].values() for row in rows.values()}
    assert verdicts == {"no difference shown"}


def test_results_of_different_data_are_not_compared(tmp_path: Path, data: Path) -> None:
    first = run(tmp_path / "r", data)
    miniatures.coco(data, images=11)
    second = run(tmp_path / "r", data)
    other = run(tmp_path / "r", data, name="coco-1k")

    with pytest.raises(OmniError, match="differ in data"):
        compare_results(first.path, second.path)
    with pytest.raises(OmniError, match="differ in benchmark"):
        compare_results(first.path, other.path)
    second.path.with_suffix(".npz").unlink()
    with pytest.raises(OmniError, match="can't be read") as caught:
        compare_results(second.path, second.path)
    assert "--force" in caught.value.hint


def test_holm_adjusts_by_rank_and_never_swaps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"benchmark": "x", "schema": 99}', '{"benchmark": "x", "schema": 1}'],
)
def test_a_file_that_is_no_result_is_explained(tmp_path: Path, text: str) -> None:
    (tmp_path / "x-1.json").write_text(text)

    with pytest.raises(OmniError, match="result") as caught:
        results.read(tmp_path / "x-1.json")

    assert caught.value.hint


def test_the_report_is_one_page_with_tables_plots_thumbnails_and_failures(
    tmp_path: Path, data: Path
) -> None:
    run(tmp_path / "r", data)
    run(tmp_path / "r", data, wrong=1)
    clock = SystemBenchmark(
        "clock",
        "A <clock>",
        lambda _: {
            "ratio": 1.5,
            "ratios": {"min": 1.0, "median": 1.5, "max": 2.0},
            "curves": {"flat": [{"recall": 1.0, "queries_per_s": 50.0}]},
        },
    )
    results.run(clock, Request(encoder=NumberEncoder), folder=tmp_path / "r")
    row = {"nonsense_weak": 0.975, "nonsense_results": 40, "true_kept": 0.9, "true_first_hits": 10}
    weak = SystemBenchmark("weak", "Weak", lambda _: {"directions": {"all": row}}, kind="asking")
    asked = results.run(weak, Request(encoder=NumberEncoder), folder=tmp_path / "r")

    sections = collect([tmp_path / "r"])
    text = page(sections)

    assert {section.name for section in sections} == {"coco-5k", "clock", "weak"}
    assert 'src="data:image/jpeg;base64,' in text
    assert "A &lt;clock&gt;" in text
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)|url\((?!#)|@import|<script", text)
    assert "25010 published" in text
    if plots.available():
        assert text.count("<svg") >= 4
    table = markdown(sections)
    assert "| text->image |" in table
    assert "Success@k" in table
    assert "## weak" in table
    assert "| all | 40 | 0.975 | 10 | 0.900 |" in table
    assert "0.975</td>" in text
    assert "| weak |" not in table  # it is no timing
    with pytest.raises(OmniError, match="no figures of queries"):
        compare_results(asked.path, asked.path)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("omni", "omni"),
        ("open_clip:ViT-B-32/laion2b", "open_clip:ViT-B-32/laion2b"),
        ("open_clip:peer/runs/peer/model.safetensors", "open_clip:peer"),
        ("open_clip:/runs/peer/model.safetensors", "open_clip:model.safetensors"),
        ("omni:runs/new/omni.safetensors", "omni:omni.safetensors"),
    ],
)
def test_reports_name_an_encoder_without_the_folders_of_its_file(
    tmp_path: Path, data: Path, name: str, shown: str
) -> None:
    document = {**run(tmp_path / "r", data).document, "encoder": {"name": name, "fingerprint": "f"}}
    (tmp_path / "x-1.json").write_text(json.dumps(document))

    (section,) = collect([tmp_path / "x-1.json"])

    assert list(section.results) == [shown]


def test_a_quick_result_stands_beside_the_whole_one_in_a_report(tmp_path: Path) -> None:
    clock = SystemBenchmark("clock", "A clock", lambda _: {"ratio": 1.5})
    for quick in (True, False):
        request = Request(encoder=NumberEncoder, quick=quick)
        results.run(clock, request, folder=tmp_path)

    (section,) = collect([tmp_path])

    assert list(section.results) == ["clock (quick)", "clock"]
    assert "| clock | (quick) | 1.50 |" in markdown([section])


def test_a_report_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OmniError, match="no results"):
        collect([tmp_path])


def test_clip_benchmark_gets_its_own_names(tmp_path: Path, data: Path) -> None:
    document = run(tmp_path, data, wrong=1).document

    converted = as_clip_benchmark(document)

    assert converted is not None
    assert converted["dataset"] == "mscoco_captions"
    assert converted["task"] == "zeroshot_retrieval"
    figures = document["directions"]["text->image"]
    assert converted["metrics"]["image_retrieval_recall@5"] == figures["success@5"]
    assert set(converted) == {"dataset", "model", "pretrained", "task", "metrics", "language"}
    assert as_clip_benchmark({**document, "directions": {}}) is None


def test_tables_are_replaced_between_their_marks_and_nothing_else_is(tmp_path: Path) -> None:
    rows = []
    for number in range(4):
        miniatures.write_picture(tmp_path / f"{number}.png", number)
        rows.append(
            {
                "id": f"i{number}",
                "modality": "image",
                "file": f"{number}.png",
                "captions": [f"it shows {number}"],
                "source": "a|b",
            }
        )
    miniatures.write_lines(tmp_path / "m.jsonl", rows)
    encoders = {"bridge": lambda: NumberEncoder(wrong=1), "omni": NumberEncoder}
    request = Request(encoder=NumberEncoder, data=tmp_path / "m.jsonl")
    made = result_tables(encoders, request, folder=tmp_path / "r")
    page_file = tmp_path / "results.md"
    marks = "".join(f"<!-- table: {name} -->old<!-- end -->\n\nprose\n\n" for name in made)
    page_file.write_text(f"# Results\n\n{marks}")

    write_between_marks(page_file, made)
    once = page_file.read_text()
    write_between_marks(page_file, made)

    assert page_file.read_text() == once
    assert "old" not in once
    assert once.count("prose") == 2
    assert "| text → image | 4 | 4 | 0.250 | 0.000 / " in once
    assert "| **1.000** |" in once
    assert "a\\|b" in once
    page_file.write_text("no marks")
    with pytest.raises(OmniError, match="no place for the table directions"):
        write_between_marks(page_file, made)


def test_an_outcome_without_queries_has_no_arrays(tmp_path: Path) -> None:
    assert Outcome({}).per_query == {}
