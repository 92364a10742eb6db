"""`omnidex bench list|run|compare`: benchmarks by name, their results, and whether they differ."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from . import render
from .errors import NOTHING_FOUND, UsageProblem
from .index import encoder_name
from .options import JsonOption, ThreadsOption

if TYPE_CHECKING:
    from omni_encoder import Encoder

ResultsOption = Annotated[
    Path,
    typer.Option(
        "--results",
        metavar="DIR",
        envvar="OMNIDEX_RESULTS",
        help="Where results and vectors are kept.",
    ),
]
EncoderOption = Annotated[
    str,
    typer.Option(
        "--encoder", metavar="NAME", help="omni, omni:FILE or open_clip:MODEL/TAG-or-FILE."
    ),
]
_FIGURES = (
    ("success@1", "S@1"),
    ("success@5", "S@5"),
    ("success@10", "S@10"),
    ("recall@10", "R@10"),
    ("map", "mAP"),
    ("ndcg@10", "nDCG@10"),
    ("median_rank", "MedR"),
    ("queries", "queries"),
    ("candidates", "of"),
    ("chance_success@1", "chance"),
)


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
    split: Annotated[
        Path | None,
        typer.Option(
            "--split", metavar="FILE", help="Ids to keep, for `manifest`.", show_default=False
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=1, metavar="N", help="At most N queries a task.", show_default=False
        ),
    ] = None,
    centre: Annotated[
        bool, typer.Option("--centre", help="Subtract the mean of each kind of vector first.")
    ] = False,
    index: Annotated[
        str, typer.Option("--index", metavar="NAME", help="What finds the candidates.")
    ] = "exact",
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
                quick=quick,
                cache=results / "vectors",
                trec=results / "trec" if trec else None,
                progress=lambda what, done, total, a=advance: a(what, done, total),
            )
            stored = store.run(benchmark, request, folder=results, force=force or trec)
        if clip_benchmark:
            write_clip_benchmark(stored.path, folder=results / "clip_benchmark")
        measured = measured or bool(_mapping(stored.document.get("directions", {"": 1})))
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
    if not _mapping(result["directions"]):
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
    titles = ("direction", "metric", "A", "B", "B - A", "95%", "p", "B is")
    columns = [
        render.Column(title, align="left" if i in {0, 1, 7} else "right")
        for i, title in enumerate(titles)
    ]
    rows: list[list[str]] = []
    for name, metrics in _mapping(result["directions"]).items():
        for metric, values in _mapping(metrics).items():
            row = _mapping(values)
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
    for name, reason in _mapping(result["left_out"]).items():
        render.note(f"{name} was not compared: {reason}")


def _print_result(path: Path, document: Mapping[str, object], *, cached: bool) -> None:
    kept = " (measured before; --force measures again)" if cached else ""
    render.note(f"{document['benchmark']}: {document['title']}{kept}")
    if "directions" not in document:
        known = {"schema", "benchmark", "title", "kind", "version", "measured", "machine"}
        render.facts(flat({k: v for k, v in document.items() if k not in known}))
        render.note(f"  kept in {render.short_path(path)}")
        return
    for line in _remarks(document):
        render.note(f"  {line}")
    directions = _mapping(document["directions"])
    columns = [
        render.Column("direction"),
        *(render.Column(title, align="right") for _, title in _FIGURES),
    ]
    rows = [
        [name, *(figure(_mapping(figures).get(key)) for key, _ in _FIGURES)]
        for name, figures in directions.items()
    ]
    render.table(columns, rows)
    for name, reason in _mapping(document["left_out"]).items():
        render.note(f"  {name} was not measured: {reason}")
    render.note(f"  kept in {render.short_path(path)}")


def _remarks(document: Mapping[str, object]) -> Sequence[str]:
    counts = ", ".join(f"{count} {name}" for name, count in _mapping(document["n"]).items())
    lines = [f"n = {counts}"]
    differs = _mapping(document["differs_from_published"])
    for name, values in differs.items():
        both = _mapping(values)
        lines.append(f"{name}: {both['found']} found, {both['published']} published")
    missing = _mapping(document["missing"])["count"]
    if missing:
        lines.append(f"{missing} media are missing and left out")
    failed = cast("list[object]", document["failed"])
    if failed:
        lines.append(f"{len(failed)} files can't be decoded and are left out")
    return [*lines, *map(str, cast("list[object]", document["notes"]))]


def _data_of(name: str, data: Path | None) -> Path | None:
    """The benchmark's folder inside the one that is named, or that one itself."""
    if data is not None and name != "manifest":
        for inner in (name, name.partition("-")[0]):
            if (data / inner).is_dir():
                return data / inner
    return data


def load_once(name: str, threads: int | None) -> "Callable[[], Encoder]":
    """A function that loads the encoder when it is first called, and then keeps it."""
    loaded: list[Encoder] = []

    def load() -> "Encoder":
        if not loaded:
            from omni_encoder import load_encoder

            loaded.append(load_encoder(encoder_name(name) or name, threads=threads))
        return loaded[0]

    return load


def _must_exist(paths: Sequence[Path]) -> None:
    for path in paths:
        if not path.is_file():
            raise UsageProblem(
                f"there is no file {os.fspath(path)}",
                hint="name results that omnidex bench run has written",
            )


def flat(result: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """The figures of nested objects, named by their path."""
    pairs: list[tuple[str, str]] = []
    for name, value in result.items():
        if isinstance(value, dict):
            pairs += flat(cast("dict[str, object]", value), f"{prefix}{name}.")
        elif name != "schema" and value is not None:
            pairs.append((f"{prefix}{name}", figure(value)))
    return pairs


def figure(value: object) -> str:
    """A number as tables show it."""
    return f"{value:.3f}" if isinstance(value, float) else "" if value is None else str(value)


def _mapping(value: object) -> Mapping[str, object]:
    assert isinstance(value, dict)  # what the benchmarks return
    return cast("dict[str, object]", value)
