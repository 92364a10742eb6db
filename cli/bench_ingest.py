"""`omnidex bench ingest` and `engines`: what indexing costs beyond encoding, here and by Ray."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from . import render
from .bench_options import EncoderOption, load_once
from .bench_output import mapping, print_measurement
from .errors import UsageProblem
from .options import JsonOption, ThreadsOption

if TYPE_CHECKING:
    from omni_encoder import Modality


def ingest(
    *,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            help="Take the images from here; without it, they are made.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[int, typer.Option("--images", min=1, metavar="N", help="How many.")] = 1000,
    texts: Annotated[
        int, typer.Option("--texts", min=0, metavar="N", help="How many texts are made, too.")
    ] = 0,
    sounds: Annotated[
        int, typer.Option("--sounds", min=0, metavar="N", help="How many MP3s of a minute.")
    ] = 0,
    videos: Annotated[
        int, typer.Option("--videos", min=0, metavar="N", help="How many clips of 20 seconds.")
    ] = 0,
    turns: Annotated[
        int, typer.Option("--turns", min=1, metavar="N", help="Into how many slices they are cut.")
    ] = 4,
    encoder: EncoderOption = "omni",
    stand_in: Annotated[
        float | None,
        typer.Option(
            "--stand-in",
            metavar="RATE",
            help="Instead of an encoder, something that takes the time of RATE items a second.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", min=1, metavar="N", help="How many threads decode."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Draw the ratio of each kind of media as SVG.",
            show_default=False,
        ),
    ] = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how much of an encoder's own throughput indexing keeps.

    The ratio is end-to-end / encoder-only throughput, measured in one run.
    The speed-up is that of indexing the same folder of images again, unchanged.

    Example:
    omnidex bench ingest --images 200 --json
    omnidex bench ingest --texts 2000 --sounds 100 --videos 200 --plot kept.svg
    """
    from omnidex_benchmarks.ingest import IngestBenchmark, run
    from omnidex_benchmarks.plots import bars
    from omnidex_benchmarks.stand_in import StandIn

    from indexer import IngestOptions
    from omni_encoder import Modality

    if stand_in is not None and not stand_in > 0:
        raise UsageProblem(f"--stand-in takes a rate above 0, not {stand_in}")
    others = {Modality.TEXT: texts, Modality.AUDIO: sounds, Modality.VIDEO: videos}
    loaded = load_once(encoder, threads)() if stand_in is None else StandIn(stand_in)
    ingesting = IngestOptions() if jobs is None else IngestOptions(decode_threads=jobs)
    with render.progress() as advance:
        options = IngestBenchmark(
            images=images,
            others={kind: count for kind, count in others.items() if count},
            turns=_turns(turns, images, others),
            folder=folder,
            ingest=ingesting,
            progress=lambda done, total: advance("Measuring", done, total),
        )
        result = run(loaded, options)
    if plot is not None:
        axis = "end-to-end / encoder-only throughput, least to greatest of the turns"
        plot.write_text(bars(_ratios(result), title="What indexing keeps", axis=axis))
    print_measurement(result, as_json=as_json)


def engines(
    *,
    images: Annotated[
        int, typer.Option("--images", min=2, metavar="N", help="How many photos are made.")
    ] = 2000,
    cost: Annotated[
        float,
        typer.Option("--cost", min=0, metavar="MS", help="What encoding one costs, in CPU time."),
    ] = 20.0,
    turns: Annotated[int, typer.Option("--turns", min=1, metavar="N", help="How often.")] = 2,
    as_json: JsonOption = False,
) -> None:
    """Measure indexing by a Ray cluster of two CPUs against two local processes.

    Both start from nothing, turn about; the ratio is of time on the clock, Ray's
    start included. Ray comes with the extra ray.

    Example:
    omnidex bench engines --images 500 --json
    """
    from omnidex_benchmarks.engines import EnginesBenchmark, run

    with render.progress() as advance:
        options = EnginesBenchmark(
            images=images,
            item_ms=cost,
            turns=turns,
            progress=lambda done, total: advance("Indexing", done, total),
        )
        result = run(options)
    print_measurement(result, as_json=as_json)


def _turns(wanted: int, images: int, others: "Mapping[Modality, int]") -> int:
    """As many turns as there are files of the scarcest kind, at most."""
    return min([wanted, images, *(count for count in others.values() if count)])


def _ratios(result: Mapping[str, object]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """The ratio of each kind of media, with its least and greatest, and the encoder's share."""
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for kind, value in mapping(result["kinds"]).items():
        figures = mapping(value)
        ratios = cast("dict[str, float]", figures["ratios"])
        share = cast("float", figures["encoder_cpu_share"])
        found[kind] = {
            "throughput kept": (cast("float", figures["ratio"]), ratios["min"], ratios["max"]),
            "share of CPU time in the encoder": (share, share, share),
        }
    return found
