"""`omnidex bench drawing`: whether what is drawn is what was asked for."""

from collections.abc import Mapping
from typing import Annotated, cast

import typer

from . import render
from .bench_options import ManifestArgument, SplitOption, must_be_manifest
from .options import (
    CheckpointOption,
    FlowOption,
    GuidanceOption,
    JsonOption,
    SeedOption,
    StepsOption,
    TemperatureOption,
    ThreadsOption,
    TokensOption,
)

_SHOWN = (
    ("success@1", "S@1"),
    ("success@1 unconditional", "of nothing"),
    ("success@1 of rebuilt answers", "rebuilt"),
    ("success@1 of true answers", "true"),
    ("chance", "chance"),
    ("nats", "nats"),
    ("nats shuffled", "shuffled"),
    ("nats unconditional", "of nothing"),
    ("distance", "distance"),
    ("distance unconditional", "of nothing"),
)


def drawing(
    manifest: ManifestArgument,
    *,
    split: SplitOption = None,
    count: Annotated[
        int, typer.Option("--count", min=4, metavar="N", help="Items a direction.")
    ] = 100,
    steps: StepsOption = 16,
    guidance: GuidanceOption = 1.0,
    temperature: TemperatureOption = None,
    seed: SeedOption = 0,
    checkpoint: CheckpointOption = None,
    tokens: TokensOption = None,
    flow: FlowOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw held-out items from their captions and back, and see whether each finds its prompt.

    Beside it stand answers drawn without a prompt, the true answers, what is left of these in
    their codes, and another item's prompt.

    Example:
    omnidex bench drawing manifest.jsonl --split split.json --guidance 2
    """
    must_be_manifest(manifest)

    from omnidex_benchmarks.drawing import DrawingOptions, run

    from omni_encoder.flow_generate import GenerateRule
    from omni_encoder.generator import OmniGenerator

    generator = OmniGenerator.load(encoder=checkpoint, tokens=tokens, flow=flow, threads=threads)
    rule = GenerateRule(steps=steps, guidance=guidance, temperature=temperature, seed=seed)
    with render.progress() as advance:
        options = DrawingOptions(rule, count, advance)
        result = run(manifest, generator=generator, split=split, options=options)
    if as_json:
        render.write_json(result)
        return
    columns = [
        render.Column("direction"),
        *(render.Column(title, align="right") for _, title in _SHOWN),
    ]
    found = cast("Mapping[str, Mapping[str, float]]", result["directions"])
    rows = [[name, *(f"{row[key]:.3f}" for key, _ in _SHOWN)] for name, row in found.items()]
    render.table(columns, rows)
