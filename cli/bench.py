"""`omnidex bench list|run|compare`: benchmarks by name, their results, and whether they differ."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from . import render
from .bench_options import EncoderOption, LimitOption, ResultsOption, SplitOption, load_once
from .bench_output import figure, mapping, print_directions, print_measurement
from .errors import NOTHING_FOUND, UsageProblem
from .options import JsonOption, ThreadsOption
from .reranking import rerank_rule

if TYPE_CHECKING:
    from omnidex_benchmarks.reranked import Reranking


def list_benchmarks(as_json: JsonOption = False) -> None:
    """List the benchmarks that can be run, and which files they need where.

    Example:
    omnidex bench list
    """
    from omnidex_benchmarks import registry

    found = [registry.find(name) for name in registry.names()]
    if as_json:
        entries = [
            {
                "name": benchmark.name,
                "kind": benchmark.kind,
                "title": benchmark.title,
                "version": benchmark.version,
                "layout": benchmark.layout,
            }
            for benchmark in found
        ]
        render.write_json({"schema": render.SCHEMA, "benchmarks": entries})
        return
    columns = [
        render.Column("name"),
        render.Column("kind"),
        render.Column("what", overflow="fold"),
        render.Column("files", overflow="fold", movable=True),
    ]
    render.table(columns, [[b.name, b.kind, b.title, b.layout] for b in found])


def run(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="As list names them.", show_default=False)
    ],
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            envvar="OMNIDEX_DATASETS",
            help="A benchmark's folder (for `manifest`, the file), or one with a folder NAME each.",
            show_default=False,
        ),
    ] = None,
    encoder: EncoderOption = "omni",
    split: SplitOption = None,
    limit: LimitOption = None,
    centre: Annotated[
        bool, typer.Option("--centre", help="Subtract the mean of each kind of vector first.")
    ] = False,
    index: Annotated[
        str,
        typer.Option(
            "--index",
            metavar="NAME",
            help="What finds the candidates: exact, collection (as a collection does), "
            "faiss-flat, faiss-hnsw, usearch, hnswlib or lance-ivf-rq.",
        ),
    ] = "exact",
    rerank: Annotated[
        str | None,
        typer.Option(
            "--rerank",
            metavar="flow:K:W",
            help="Order the first K anew, by a share W of the flow's score.",
            show_default=False,
        ),
    ] = None,
    results: ResultsOption = Path("omnidex-results"),
    trec: Annotated[
        bool, typer.Option("--trec", help="Write run and qrels files, to be scored by any tool.")
    ] = False,
    clip_benchmark: Annotated[
        bool, typer.Option("--clip-benchmark", help="Write the JSON of CLIP_benchmark as well.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Time as little as possible.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Measure again what is known.")] = False,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run benchmarks by name, taking from earlier results what has been measured.

    S@k is Success@k: the share of queries with an answer among the first k, which
    papers on images and text call recall@k. R@10 is true recall. Equal scores count
    as worst case. chance is the S@1 of a random order.

    Example:
    omnidex bench run coco-5k flickr30k --data datasets
    omnidex bench run manifest --data manifest.jsonl --split split.json
    """
    from omnidex_benchmarks import registry
    from omnidex_benchmarks import results as store
    from omnidex_benchmarks.clip_benchmark import write_clip_benchmark
    from omnidex_benchmarks.protocol import Request

    chosen = [registry.find(name) for name in names]
    load = load_once(encoder, threads)
    reranking = _reranking(rerank)
    measured = False
    for benchmark in chosen:
        with render.progress() as advance:
            request = Request(
                encoder=load,
                data=_data_of(benchmark.name, data),
                split=split,
                limit=limit,
                centre=centre,
                index=index,
                rerank=reranking,
                quick=quick,
                threads=threads,
                cache=results / "vectors",
                trec=results / "trec" if trec else None,
                progress=lambda what, done, total, a=advance: a(what, done, total),
            )
            stored = store.run(benchmark, request, folder=results, force=force or trec)
        if clip_benchmark:
            write_clip_benchmark(stored.path, folder=results / "clip_benchmark")
        measured = measured or bool(mapping(stored.document.get("directions", {"": 1})))
        if as_json:
            render.write_json({**stored.document, "file": str(stored.path)})
        else:
            _print_result(stored.path, stored.document, cached=stored.cached)
    if not measured:
        raise typer.Exit(NOTHING_FOUND)


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A result.", show_default=False)],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Say where result B is significantly better or worse than result A.

    Both must be of one benchmark on the same data. The test is the paired
    randomisation test over queries; p is adjusted for the number of rows (Holm).

    Example:
    omnidex bench compare results/bridge/m.json results/omni/m.json
    """
    from omnidex_benchmarks.comparison import compare_results

    _must_exist([a, b])
    result = compare_results(a, b)
    if as_json:
        render.write_json(result)
    else:
        _print_comparison(result)
    if not mapping(result["directions"]):
        raise typer.Exit(NOTHING_FOUND)


def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT...", help="Results, or folders of them.", show_default=False
        ),
    ],
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to; .md writes Markdown, else HTML."
        ),
    ] = Path("report.html"),
    as_json: JsonOption = False,
) -> None:
    """Write a report of results: tables, plots, and hits with thumbnails.

    The page is one file that needs nothing else. Plots need matplotlib, which
    comes with the extra `bench`.

    Example:
    omnidex bench report omnidex-results -o report.html
    """
    from omnidex_benchmarks.report import collect, markdown
    from omnidex_benchmarks.report_html import page

    for path in results:
        if not path.is_dir():
            _must_exist([path])
    sections = collect(results)
    text = markdown(sections) if output.suffix == ".md" else page(sections)
    output.write_text(text, encoding="utf-8")
    if as_json:
        names = [section.name for section in sections]
        render.write_json({"schema": render.SCHEMA, "file": str(output), "benchmarks": names})
    else:
        render.write(f"{output}\n")


def _print_comparison(result: Mapping[str, object]) -> None:
    for side in ("a", "b"):
        of = mapping(result[side])
        render.note(f"{side.upper()}: {of['label']}, {render.short_path(Path(str(of['file'])))}")
    titles = ("direction", "metric", "A", "B", "B - A", "95%", "p adjusted", "B is")
    columns = [
        render.Column(title, align="left" if i in {0, 1, 7} else "right")
        for i, title in enumerate(titles)
    ]
    rows: list[list[str]] = []
    for name, metrics in mapping(result["directions"]).items():
        for metric, values in mapping(metrics).items():
            row = mapping(values)
            low, high = cast("list[float]", row["interval"])
            rows.append(
                [
                    name,
                    metric,
                    figure(row["a"]),
                    figure(row["b"]),
                    f"{row['difference']:+.3f}",
                    f"{low:+.3f} to {high:+.3f}",
                    f"{row['adjusted_p']:.4f}",
                    str(row["verdict"]),
                ]
            )
    render.table(columns, rows)
    for name, reason in mapping(result["left_out"]).items():
        render.note(f"{name} was not compared: {reason}")


def _print_result(path: Path, document: Mapping[str, object], *, cached: bool) -> None:
    kept = " (measured before; --force measures again)" if cached else ""
    render.note(f"{document['benchmark']}: {document['title']}{kept}")
    if document["kind"] == "retrieval":
        from omnidex_benchmarks.report import remarks

        for line in remarks(document):
            render.note(f"  {line}")
        print_directions(document)
    render.note(f"  kept in {render.short_path(path)}")
    if document["kind"] != "retrieval":
        from omnidex_benchmarks.measured import table_of

        table = table_of(document) if document["kind"] == "asking" else None
        print_measurement({**document, "file": str(path)}, as_json=False, table=table)


def _data_of(name: str, data: Path | None) -> Path | None:
    """The benchmark's folder inside the one that is named, or that one itself."""
    if data is not None and name != "manifest":
        for inner in (name, name.partition("-")[0]):
            if (data / inner).is_dir():
                return data / inner
    return data


def _reranking(given: str | None) -> "Reranking | None":
    """What `--rerank` says, with the shipped flow; nothing if the order would stay as it is."""
    rule = rerank_rule(given)
    if rule is not None and rule.score != "s1":
        raise UsageProblem(
            f"these benchmarks re-rank by s1, not by {rule.score}",
            hint="omnidex bench rerank --rule measures the other two",
        )
    if rule is None or not rule.weight:
        return None
    from functools import cache

    from omnidex_benchmarks.reranked import Reranking

    from retrieval.rerank import load_flow

    return Reranking(rule, cache(lambda: load_flow(draws=rule.draws)))


def _must_exist(paths: Sequence[Path]) -> None:
    for path in paths:
        if not path.is_file():
            raise UsageProblem(
                f"there is no file {os.fspath(path)}",
                hint="name results that omnidex bench run has written",
            )
