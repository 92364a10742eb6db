"""`omnidex bench generate`: speed and quality of drawing."""

from pathlib import Path
from typing import Annotated, cast

import typer

from . import render
from .errors import UsageProblem
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
from .prompts import kind_named


def generate(
    *,
    to: Annotated[str, typer.Option("--to", help="What to draw: image or audio.")] = "image",
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts",
            metavar="FILE",
            help="Prompts, one a line; without it, twenty simple things.",
            show_default=False,
        ),
    ] = None,
    by_steps: Annotated[
        str,
        typer.Option(
            "--by-steps", metavar="NUMBERS", help="Quality at so many steps; 0 leaves it out."
        ),
    ] = "2,4,8,16,32",
    turns: Annotated[int, typer.Option("--turns", min=1, metavar="N", help="How many times.")] = 5,
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
    """Measure how fast the flow draws, and how well by its number of steps.

    Speed is against drawing slot after slot with the same backbone, as language models do.
    Quality is whether an answer's search vector finds its own prompt among all prompts.

    Example:
    omnidex bench generate --to image --threads 1
    """
    modality = kind_named(to)
    if to not in ("image", "audio"):
        raise UsageProblem(f"{to} can't be measured yet", hint="--to image or --to audio")
    numbers = _numbers(by_steps)
    from omnidex_benchmarks.generation import PROMPTS, GenerationBenchmark, run

    from omni_encoder.flow_generate import GenerateRule
    from omni_encoder.generator import OmniGenerator

    texts = PROMPTS if prompts is None else _lines(prompts)
    generator = OmniGenerator.load(encoder=checkpoint, tokens=tokens, flow=flow, threads=threads)
    rule = GenerateRule(steps=steps, guidance=guidance, temperature=temperature, seed=seed)
    with render.progress() as advance:
        result = run(GenerationBenchmark(modality, rule, texts, numbers, turns, advance), generator)
    if not as_json:
        _print(result)
    render.write_json(result)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = (-1,)
    if numbers == (0,):
        return ()
    if min(numbers) < 1:
        raise UsageProblem(f"--by-steps takes numbers, got {text!r}", hint="such as 4,8,16")
    return numbers


def _lines(path: Path) -> tuple[str, ...]:
    lines = path.read_text(encoding="utf-8").splitlines()
    texts = tuple(line.strip() for line in lines if line.strip())
    if len(texts) < 2:
        raise UsageProblem(f"{path} holds fewer than two prompts", hint="one a line")
    return texts


def _print(result: dict[str, object]) -> None:
    columns = (
        render.Column("sampler"),
        *(
            render.Column(name, align="right")
            for name in ("calls", "positions", "seconds", "x in order", "in CPU time")
        ),
    )
    samplers = cast("dict[str, dict[str, object]]", result["samplers"])
    rows: list[list[str]] = []
    for name, figures in samplers.items():
        median = cast("dict[str, float]", figures["seconds"])["median"]
        times = f"{figures['times_faster_than_in_order']:.2f}"
        rows.append(
            [name, str(figures["calls"]), str(figures["positions"]), f"{median:.3f}", times]
        )
    render.table(columns, rows)
    quality = cast("list[dict[str, float]]", result["quality"])
    if quality:
        render.write("\n")
        names = ("steps", "rule", "success@1", "chance", "cosine", "shuffled")
        columns = tuple(
            render.Column(name, align="left" if name == "rule" else "right") for name in names
        )
        table = [
            [f"{row[n]:.3f}" if isinstance(row[n], float) else str(row[n]) for n in names]
            for row in quality
        ]
        render.table(columns, table)
    same = "draws the same" if result["kept_prompt_draws_the_same"] else "DRAWS DIFFERENTLY"
    render.note(
        f"Keeping a block-causal prompt {same} and is {result['kept_prompt_ratio']:.2f} times as "
        "fast as computing it anew."
    )
