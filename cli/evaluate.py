"""`omnidex bench`: measurements that anybody can repeat."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, cast

import typer

from . import (
    bench,
    bench_ablation,
    bench_asking,
    bench_drawing,
    bench_generate,
    bench_imagine,
    bench_ingest,
    bench_rerank,
    bench_speed,
    bench_turns,
    bench_upkeep,
    render,
)
from .bench_options import (
    CacheOption,
    EncoderOption,
    LimitOption,
    ManifestArgument,
    SplitOption,
    load_once,
    must_be_manifest,
)
from .bench_output import figure as figure_text
from .bench_output import mapping, print_directions, print_measurement
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
app.command("speedup")(bench_speed.speedup)
app.command("rescan")(bench_speed.rescan)
app.command("memory")(bench_speed.memory)
app.command("cold-start")(bench_speed.cold_start)
app.command("composed")(bench_asking.composed)
app.command("weak")(bench_asking.weak)
app.command("mixed")(bench_asking.mixed)
app.command("reference")(bench_asking.reference)
app.command("rerank")(bench_rerank.rerank)
app.command("imagine")(bench_imagine.imagine)
app.command("generate")(bench_generate.generate)
app.command("ablation")(bench_ablation.ablation)
app.command("drawing")(bench_drawing.drawing)

_SPEEDS = (
    ("recall_within", "recall@10"),
    ("recall_across", "across"),
    ("times_faster_than_numpy", "x numpy"),
    ("times_faster_than_faiss_flat", "x flat"),
)


@app.command("quality")
def quality(
    manifest: ManifestArgument,
    *,
    encoder: EncoderOption = "omni",
    split: SplitOption = None,
    limit: LimitOption = None,
    centre: Annotated[
        bool, typer.Option("--centre", help="Subtract the mean of each kind of vector first.")
    ] = False,
    cache: CacheOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how well an encoder finds what belongs together in an annotated set.

    This is `bench run manifest`, without keeping the result. S@k is Success@k: the
    share of queries with a relevant item among the first k. Text queries are the
    distinct captions; relevant is what carries the caption, has the same label (within
    a modality) or the same pair_id (between media). chance is the S@1 of a random order.

    Example:
    omnidex bench quality manifest.jsonl --split split.json
    """
    must_be_manifest(manifest)

    from omnidex_benchmarks.datasets.own import MANIFEST
    from omnidex_benchmarks.protocol import Request

    with render.progress() as advance:
        request = Request(
            encoder=load_once(encoder, threads),
            data=manifest,
            split=split,
            limit=limit,
            centre=centre,
            cache=cache,
            progress=advance,
        )
        figures = MANIFEST.measure(request).figures
        spec = request.encoder().spec
        result = {
            "schema": render.SCHEMA,
            "encoder": {"name": spec.name, "fingerprint": spec.fingerprint},
            **figures,
        }
    if as_json:
        render.write_json(result)
    else:
        from omnidex_benchmarks.report import remarks

        for line in remarks(result):
            render.note(line)
        print_directions(result)
    if not result["directions"]:
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
    if not as_json:
        _print_speeds(result)
    render.write_json(result)


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

    print_measurement(run(turns=turns), as_json=as_json)


def _print_speeds(result: Mapping[str, object]) -> None:
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
