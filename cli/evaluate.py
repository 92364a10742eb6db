"""`omnidex bench`: measurements that anybody can repeat."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, cast

import typer

from . import (
    bench,
    bench_asking,
    bench_generate,
    bench_ingest,
    bench_rerank,
    bench_speed,
    bench_turns,
    bench_upkeep,
    render,
)
from .bench_speed import EncoderOption, figure_text, load, mapping, print_result
from .errors import NOTHING_FOUND, UsageProblem
from .options import JsonOption, ThreadsOption

app = typer.Typer(
    help="Run benchmarks, compare and report their results.\n\n"
    "Example:\nomnidex bench run manifest --data manifest.jsonl",
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
)

app.command("list")(bench.list_benchmarks)
app.command("run")(bench.run)
app.command("compare")(bench.compare)
app.command("report")(bench.report)
app.command("turns")(bench_turns.turns)
app.command("tables")(bench_upkeep.tables)
app.command("check")(bench_upkeep.check)
app.command("mteb")(bench_upkeep.mteb)
app.command("ingest")(bench_ingest.ingest)
app.command("engines")(bench_ingest.engines)
app.command("encode")(bench_speed.encode)
app.command("rescan")(bench_speed.rescan)
app.command("memory")(bench_speed.memory)
app.command("composed")(bench_asking.composed)
app.command("weak")(bench_asking.weak)
app.command("mixed")(bench_asking.mixed)
app.command("reference")(bench_asking.reference)
app.command("rerank")(bench_rerank.rerank)
app.command("generate")(bench_generate.generate)

_FIGURES = (
    ("success@1", "S@1"),
    ("success@5", "S@5"),
    ("success@10", "S@10"),
    ("map", "mAP"),
    ("mrr", "MRR"),
    ("queries", "queries"),
    ("candidates", "of"),
    ("chance_success@1", "chance"),
)


_SPEEDS = (
    ("recall_within", "recall@10"),
    ("recall_across", "across"),
    ("times_faster_than_numpy", "x numpy"),
    ("times_faster_than_faiss_flat", "x flat"),
)


@app.command("quality")
def quality(
    manifest: Annotated[
        Path,
        typer.Argument(
            metavar="MANIFEST", help="A JSONL file beside its media.", show_default=False
        ),
    ],
    *,
    encoder: EncoderOption = "omni",
    split: Annotated[
        Path | None,
        typer.Option(
            "--split",
            metavar="FILE",
            help="A JSON file; only the ids under `validation` are measured.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=1,
            metavar="N",
            help="At most N items of each modality.",
            show_default=False,
        ),
    ] = None,
    centre: Annotated[
        bool, typer.Option("--centre", help="Subtract each side's mean vector first.")
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", metavar="DIR", help="Keep vectors here for the next run.", show_default=False
        ),
    ] = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how well an encoder finds what belongs together in an annotated set.

    S@k is Success@k: the share of queries with a relevant item among the first k.
    Text queries are the distinct captions; relevant is what carries the caption,
    has the same label (within a modality) or the same pair_id (between media).
    chance is the S@1 of a random order.

    Example:
    omnidex bench quality manifest.jsonl --split split.json
    """
    if not manifest.is_file():
        raise UsageProblem(
            f"there is no file {manifest}",
            hint="a manifest has one JSON object a line, and lies beside its media",
            code="manifest",
        )

    from omnidex_benchmarks.quality import QualityOptions, run

    loaded = load(encoder, threads)
    with render.progress() as advance:
        options = QualityOptions(
            limit=limit,
            centre=centre,
            progress=lambda what, done, total: advance(f"Encoding {what}", done, total),
        )
        result = run(manifest, encoder=loaded, split=split, cache=cache, options=options)
    directions = mapping(result["directions"])
    if as_json:
        render.write_json(result)
    else:
        _print_directions(directions, left_out=mapping(result.get("left_out", {})))
    if not directions:
        raise typer.Exit(NOTHING_FOUND)


@app.command("ann")
def ann(
    *,
    rows: Annotated[
        str,
        typer.Option("--rows", metavar="N,...", help="How many vectors, each number in turn."),
    ] = "10000,100000",
    dim: Annotated[
        int, typer.Option("--dim", min=8, metavar="N", help="How long a vector is.")
    ] = 512,
    queries: Annotated[
        int, typer.Option("--queries", min=1, metavar="N", help="How many of each kind.")
    ] = 100,
    others: Annotated[
        bool,
        typer.Option(
            "--others", help="Measure FAISS's HNSW, usearch, hnswlib and LanceDB too; takes long."
        ),
    ] = False,
    own: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="COLLECTION",
            help="Draw vectors around the images of a collection; its texts are queries.",
            show_default=False,
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Draw recall and speed into this file.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how fast and how well vectors are searched, against exact search.

    Vectors are made: images and texts with a gap between them, as CLIP-like models have it.
    Ratios are of CPU time, measured turn about in one process on one thread.

    Example:
    omnidex bench ann --rows 10000,100000 --json
    """
    from omnidex_benchmarks.ann import AnnBenchmark, plot, run

    try:
        numbers = tuple(int(number) for number in rows.split(","))
    except ValueError as error:
        raise UsageProblem(
            f"--rows doesn't understand {rows!r}", hint="give numbers: --rows 10000,100000"
        ) from error
    if min(numbers) < 1000:
        raise UsageProblem("--rows takes numbers of at least 1000")

    def tell(what: str) -> None:
        render.note(what.capitalize())

    options = AnnBenchmark(
        rows=numbers, dim=dim, queries=queries, others=others, collection=own, progress=tell
    )
    result = run(options)
    if figure is not None:
        plot(result, figure)
    if as_json:
        render.write_json(result)
        return
    columns = [
        render.Column("rows", align="right"),
        render.Column("engine"),
        *(render.Column(title, align="right") for _, title in _SPEEDS),
    ]
    table: list[list[str]] = []
    for size in cast("list[dict[str, object]]", result["sizes"]):
        for name, measured in mapping(size["engines"]).items():
            figures = mapping(measured)
            table.append(
                [str(size["rows"]), name, *(figure_text(figures[key]) for key, _ in _SPEEDS)]
            )
    render.table(columns, table)


@app.command("startup")
def startup(
    turns: Annotated[int, typer.Option("--turns", min=1, metavar="N", help="How many times.")] = 11,
    as_json: JsonOption = False,
) -> None:
    """Measure what `omnidex --help` costs, against an empty Typer and Rich app.

    Example:
    omnidex bench startup --json
    """
    from omnidex_benchmarks.startup import run

    print_result(run(turns=turns), as_json=as_json)


def _print_directions(directions: Mapping[str, object], *, left_out: Mapping[str, object]) -> None:
    columns = [
        render.Column("direction"),
        *(render.Column(title, align="right") for _, title in _FIGURES),
    ]
    rows = [
        [name, *(figure_text(mapping(figures).get(key)) for key, _ in _FIGURES)]
        for name, figures in directions.items()
    ]
    render.table(columns, rows)
    for name, reason in left_out.items():
        render.note(f"{name} was not measured: {reason}")
