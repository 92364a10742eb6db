"""`omnidex bench imagine`: what searching by drawn answers is worth."""

from collections.abc import Mapping
from typing import Annotated, cast

import typer

from . import render
from .bench import figure
from .bench_asking import CacheOption, ManifestArgument, SplitOption
from .errors import UsageProblem
from .options import JsonOption

_ROWS = ("query", "drawn", "another", "fused")
_METRICS = (("success@1", "S@1"), ("success@10", "S@10"), ("mrr", "MRR"))


def imagine(
    manifest: ManifestArgument,
    *,
    split: SplitOption = None,
    cache: CacheOption = None,
    queries: Annotated[
        int,
        typer.Option(
            "--queries", min=2, metavar="N", help="At most so many a direction, spread evenly."
        ),
    ] = 60,
    seeds: Annotated[
        int,
        typer.Option("--seeds", min=1, metavar="N", help="How often answers and halves are drawn."),
    ] = 3,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            min=1,
            metavar="N",
            help="Steps of the sampler; without it, as search has them.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure what is found with an answer drawn from the query, and without it.

    query is the encoder alone, drawn what is found by the drawn answer alone,
    another by one drawn for another query, fused both. The weight of what is
    drawn is chosen on the other half of the queries. Differences are fused
    less query, with 95% intervals.

    Example:
    omnidex bench imagine manifest.jsonl --split split.json --queries 40
    """
    if not manifest.is_file():
        raise UsageProblem(f"there is no manifest {manifest}", hint="give a JSONL file")

    from omnidex_benchmarks.imagine import ImagineOptions, run

    from omni_encoder import load_encoder
    from retrieval.imagine import STEPS, ModelDrawer

    with render.progress() as advance:
        result = run(
            manifest,
            encoder=load_encoder(),
            drawer=ModelDrawer(steps=steps or STEPS),
            split=split,
            cache=cache,
            options=ImagineOptions(queries=queries, seeds=seeds, progress=advance),
        )
    if as_json:
        render.write_json(result)
        return
    _print(_mapping(result["cases"]))


def _print(cases: Mapping[str, object]) -> None:
    titles = ("direction", "row", *(title for _, title in _METRICS), "fused - query, MRR", "95%")
    columns = [
        render.Column(title, align="left" if number < 2 else "right")
        for number, title in enumerate(titles)
    ]
    rows: list[list[str]] = []
    for name, found in cases.items():
        case = _mapping(found)
        gain = _mapping(_mapping(case["differences"])["mrr"])
        low, high = cast("list[float]", gain["interval"])
        for row in _ROWS:
            values = _mapping(case[row])
            cells = [name, row, *(figure(values[metric]) for metric, _ in _METRICS)]
            last = [f"{gain['difference']:+.3f}", f"{low:+.3f} to {high:+.3f}"]
            rows.append(cells + (last if row == "fused" else ["", ""]))
    render.table(columns, rows)
    for name, found in cases.items():
        weights = ", ".join(
            f"{weight:g}" for weight in cast("list[float]", _mapping(found)["weights"])
        )
        render.note(f"{name}: weights chosen {weights}")


def _mapping(value: object) -> Mapping[str, object]:
    assert isinstance(value, dict)  # what the benchmark returns
    return cast("dict[str, object]", value)
