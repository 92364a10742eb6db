"""`omnidex bench speedup`, `rescan`, `memory`, `cold-start`: what indexing and search cost."""

from pathlib import Path
from typing import Annotated

import typer

from . import render
from .bench_options import load_once
from .bench_output import print_measurement
from .errors import UsageProblem
from .options import JsonOption


def speedup(
    *,
    batch: Annotated[
        int, typer.Option("--batch", min=1, metavar="N", help="How many items at once.")
    ] = 16,
    turns: Annotated[int, typer.Option("--turns", min=1, metavar="N", help="How often.")] = 5,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            help="Compare the vectors of the media in here, too.",
            show_default=False,
        ),
    ] = None,
    most: Annotated[
        int, typer.Option("--most", min=1, metavar="N", help="How many of each kind, then.")
    ] = 200,
    as_json: JsonOption = False,
) -> None:
    """Measure how much faster omni encodes than its network in plain float32 torch.

    Both encode the same batches on one thread, turn about; the ratio is of CPU times.

    Example:
    omnidex bench speedup --turns 3 --json
    """
    from omnidex_benchmarks.speedup import SpeedupBenchmark, run

    with render.progress() as advance:
        options = SpeedupBenchmark(
            batch=batch,
            turns=turns,
            folder=folder,
            most=most,
            progress=lambda done, total: advance("Measuring", done, total),
        )
        result = run(options)
    print_measurement(result, as_json=as_json)


def rescan(
    files: Annotated[
        int, typer.Option("--files", min=1, metavar="N", help="How many files the tree holds.")
    ] = 20_000,
    turns: Annotated[int, typer.Option("--turns", min=1, metavar="N", help="How many times.")] = 5,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            metavar="NAME",
            help="What encodes; without it, a stand-in that costs nothing.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure what indexing a tree again costs, unchanged and with one file changed.

    The floor is a bare walk of the tree that asks every file for its status.

    Example:
    omnidex bench rescan --files 2000 --json
    """
    from omnidex_benchmarks.rescan import RescanBenchmark, run

    loaded = None if encoder is None else load_once(encoder, 1)()
    options = RescanBenchmark(files=files, repeats=turns, encoder=loaded)
    print_measurement(run(options), as_json=as_json)


def memory(
    files: Annotated[
        str, typer.Option("--files", metavar="N,...", help="How many files, each number in turn.")
    ] = "1000,20000",
    as_json: JsonOption = False,
) -> None:
    """Measure how the memory that indexing takes at most grows with the number of files.

    Each number is indexed by a process of its own, with an encoder that costs nothing.

    Example:
    omnidex bench memory --files 200,2000 --json
    """
    from omnidex_benchmarks.memory import run

    try:
        numbers = tuple(int(number) for number in files.split(","))
    except ValueError as error:
        raise UsageProblem(
            f"--files doesn't understand {files!r}", hint="give numbers: --files 1000,20000"
        ) from error
    if min(numbers) < 1:
        raise UsageProblem("--files takes numbers of at least 1")
    print_measurement(run(numbers), as_json=as_json)


def cold_start(
    items: Annotated[
        int, typer.Option("--items", min=1, metavar="N", help="How many made items are stored.")
    ] = 100_000,
    turns: Annotated[int, typer.Option("--turns", min=1, metavar="N", help="How many times.")] = 11,
    encoder: Annotated[
        str, typer.Option("--encoder", metavar="NAME", help="Whose the vectors seem to be.")
    ] = "omni",
    as_json: JsonOption = False,
) -> None:
    """Measure a whole search process by a stored item, over a cache that is there.

    Its CPU time is compared with that of importing what it can't do without: numpy,
    faiss, typer and rich. `bench run cold-start` compares a search by words with
    importing torch, too.

    Example:
    omnidex bench cold-start --items 2000 --turns 3 --json
    """
    from omnidex_benchmarks.cold_start import cached

    spec = load_once(encoder, 1)().spec
    print_measurement(cached(spec, items=items, turns=turns), as_json=as_json)
