"""`omnidex bench ablation`: what each part of the model's recipe is worth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, cast

import typer

from . import render
from .errors import UsageProblem
from .options import JsonOption

_SHOWN = (
    ("text->image success@1", "text to image S@1"),
    ("image->text success@1", "image to text S@1"),
    ("drawn success@1", "drawn S@1"),
    ("written success@1", "written S@1"),
)


def ablation(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG", help="A TOML file with a section [ablation].", show_default=False
        ),
    ],
    *,
    seeds: Annotated[int, typer.Option("--seeds", min=1, metavar="N", help="How many.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Train small models that differ in one thing each, and compare them.

    Sampling in order or by flow, read and drawn codes apart or shared, lengths of texts, and
    reconstruction: the paper's ablation in small. Finished runs are kept.

    Example:
    omnidex bench ablation ablation.toml --seeds 3
    """
    if not config.is_file():
        raise UsageProblem(f"there is no config {config}", hint="give a TOML file")
    from omnidex_benchmarks.ablation import run

    with render.progress() as advance:
        result = run(config, seeds=seeds, progress=advance)
    if as_json:
        render.write_json(result)
        return
    columns = [
        render.Column("variant"),
        *(render.Column(title, align="right") for _, title in _SHOWN),
    ]
    rows: list[list[str]] = []
    variants = cast("Mapping[str, Mapping[str, Mapping[str, float]]]", result["variants"])
    for name, found in variants.items():
        cells = [f"{found[key]['mean']:.3f} ± {found[key]['spread']:.3f}" for key, _ in _SHOWN]
        rows.append([name, *cells])
    render.table(columns, rows)
