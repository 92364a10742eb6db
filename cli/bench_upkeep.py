"""`omnidex bench check|tables|mteb`: what keeps the project's own figures, and mteb's tasks."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from . import render
from .bench_options import (
    EncoderOption,
    ResultsOption,
    SplitOption,
    load_once,
    must_be_manifest,
)
from .errors import NOTHING_FOUND, UsageProblem
from .options import JsonOption, ThreadsOption

if TYPE_CHECKING:
    from omni_encoder import Encoder


def check(
    *,
    samples: Annotated[
        Path | None,
        typer.Option(
            "--samples",
            metavar="DIR",
            help="The samples' media, to check quality too.",
            show_default=False,
        ),
    ] = None,
    update: Annotated[
        Path | None,
        typer.Option(
            "--update",
            metavar="FILE",
            help="Write the figures as new baselines instead.",
            show_default=False,
        ),
    ] = None,
    encoder: EncoderOption = "omni",
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare quick measurements with the committed baselines.

    Speeds are ratios of CPU time to a floor measured in the same process. Exits
    with 1 when one is worse than noise explains, three times in a row.

    Example:
    omnidex bench check --samples samples/media
    """
    from omnidex_benchmarks.gate import Subject, committed_baselines, run, write_baselines

    if samples is not None and not samples.is_dir():
        raise UsageProblem(f"there is no folder {samples}", hint="name the folder samples/media")
    subject = Subject(load_once(encoder, threads), samples)
    with render.progress() as advance:
        result = run(
            subject,
            baselines={} if update is not None else committed_baselines(),
            progress=advance,
        )
    if update is not None:
        write_baselines(update, result)
    if as_json:
        render.write_json(result)
    else:
        _print_checks(result)
    if not result["passed"]:
        raise typer.Exit(NOTHING_FOUND)


def tables(
    manifest: Annotated[
        Path | None,
        typer.Argument(
            metavar="[MANIFEST]",
            help="A JSONL file beside its media; without it, encoders aren't compared.",
            show_default=False,
        ),
    ] = None,
    *,
    encoders: Annotated[
        list[str] | None,
        typer.Option(
            "--encoder",
            metavar="[TITLE=]NAME",
            help="Once for each column, with its title; what the tables are about comes last.",
            show_default=False,
        ),
    ] = None,
    split: SplitOption = None,
    target: Annotated[
        Path | None,
        typer.Option(
            "--write",
            metavar="FILE",
            help="Replace the tables between the marks in this file.",
            show_default=False,
        ),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Run what FILE has a place for and no result is kept of."),
    ] = False,
    results: ResultsOption = Path("omnidex-results"),
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the tables of docs/results.md: encoders by direction, and all other measurements.

    Encoders are compared on MANIFEST. Every other table is that of the newest
    result that bench run has kept; one without a result stays as it is. What has
    been measured before is taken from the results folder.

    Example:
    omnidex bench tables manifest.jsonl --encoder peer=open_clip:FILE --encoder omni
    omnidex bench tables manifest.jsonl --measure --write docs/results.md
    """
    from omnidex_benchmarks import measured
    from omnidex_benchmarks import tables as maker
    from omnidex_benchmarks.protocol import Request

    if measure and target is None:
        raise UsageProblem("--measure needs a page with places", hint="name it: --write FILE")
    if manifest is not None:
        must_be_manifest(manifest)
    names = measured.names() if target is None else maker.marked(target)
    loaders: dict[str, Callable[[], Encoder]] = {}
    for given in encoders or ["bridge", "omni"]:
        title, equals, name = given.partition("=")
        loaders[title] = load_once(name if equals else given, threads)
    with render.progress() as advance:
        request = Request(
            encoder=loaders[next(reversed(loaders))],
            data=manifest,
            split=split,
            threads=threads,
            cache=results / "vectors",
            progress=advance,
        )
        if measure:
            maker.measure_absent(names, request, folder=results)
        made = maker.kept_tables(names, results, request)
        if manifest is not None:
            made |= maker.result_tables(loaders, request, folder=results)
    if maker.TRAINING in names:
        made[maker.TRAINING] = maker.training_table()
    if target is not None:
        maker.write_between_marks(target, made)
        _say_what_is_absent([name for name in names if name not in made], results)
    if as_json:
        render.write_json({"schema": render.SCHEMA, "tables": made})
    elif target is None:
        render.write("\n\n".join(f"## {name}\n\n{table}" for name, table in made.items()) + "\n")
    else:
        render.write(f"{target}\n")


def _say_what_is_absent(names: Sequence[str], results: Path) -> None:
    """Say of each table that was left as it is what would measure it."""
    from omnidex_benchmarks import measured

    known = measured.names()
    for name in names:
        if name in {"directions", "parts"}:
            render.note(f"{name}: stays as it is, for no MANIFEST was named")
            continue
        if name not in known:
            render.note(f"{name}: stays as it is, for there is no table of that name")
            continue
        command = _measuring(name, results)
        render.note(f"{name}: no result is kept, so it stays as it is; measure it: {command}")


def _measuring(name: str, results: Path) -> str:
    """What measures a table, as `--measure` does."""
    from omnidex_benchmarks import measured, registry

    asks = registry.find(name).kind == "asking"
    limit = measured.LIMITS.get(name)
    parts = [
        f"omnidex bench run {name}",
        *([f"--data {'CONFIG' if name in measured.OWN_DATA else 'MANIFEST'}"] if asks else []),
        *([f"--limit {limit}"] if limit else []),
        f"--results {results}",
    ]
    return " ".join(parts)


def mteb(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TASK]...", help="As mteb names them.", show_default=False),
    ] = None,
    *,
    mock: Annotated[
        bool, typer.Option("--mock", help="Run mteb's own mock tasks, which need no data.")
    ] = False,
    encoder: EncoderOption = "omni",
    results: ResultsOption = Path("omnidex-results"),
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run tasks of the package mteb on an encoder, unchanged.

    mteb comes with the extra `bench`. Its tasks fetch their data from the network.

    Example:
    omnidex bench mteb --mock
    omnidex bench mteb Flickr30kT2IRetrieval
    """
    from omnidex_benchmarks.mteb_adapter import mock_run, require_mteb, run_tasks

    if bool(tasks) == mock:
        raise UsageProblem("name tasks, or ask for --mock", hint="see omnidex bench mteb --help")
    require_mteb()
    loaded = load_once(encoder, threads)()
    scores: Mapping[str, object]
    if mock:
        scores = mock_run(loaded)
    else:
        scores = run_tasks(loaded, tasks or [], output=results / "mteb")
    if as_json:
        render.write_json({"schema": render.SCHEMA, "tasks": dict(scores)})
    else:
        columns = [render.Column("task"), render.Column("result", overflow="fold")]
        render.table(columns, [[name, str(score)] for name, score in scores.items()])


def _print_checks(result: Mapping[str, object]) -> None:
    titles = ("check", "what", "value", "baseline", "allowed", "verdict")
    columns = [
        render.Column(title, align="right" if 2 <= i <= 4 else "left")
        for i, title in enumerate(titles)
    ]
    rows: list[list[str]] = []
    for entry in cast("list[dict[str, object]]", result["checks"]):
        lower = entry["better"] == "lower"
        baseline = entry["baseline"]
        rows.append(
            [
                str(entry["name"]),
                str(entry["title"]),
                f"{entry['value']:.3f}",
                "" if baseline is None else f"{baseline:.3f}",
                f"x {entry['allowed']:.2f}" if lower else f"- {entry['allowed']:.2f}",
                "ok" if entry["passed"] else "worse",
            ]
        )
    render.table(columns, rows)
