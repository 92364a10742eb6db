"""`omnidex generate`: texts, pictures, sounds and videos from a prompt of any of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import render
from .errors import UsageProblem
from .options import (
    CheckpointOption,
    FlowOption,
    GuidanceOption,
    JsonOption,
    SecondsOption,
    SeedOption,
    StepsOption,
    TemperatureOption,
    ThreadsOption,
    TokensOption,
)
from .prompts import kind_named, prompt_items

if TYPE_CHECKING:
    from omni_encoder import MediaItem


def generate(
    context: typer.Context,
    parts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PARTS]",
            help="Words and @FILEs, in order; words side by side are one text. @@ is an @.",
            show_default=False,
        ),
    ] = None,
    *,
    media: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            metavar="FILE",
            help="A picture, sound, video or text file, after PARTS; may be repeated.",
        ),
    ] = None,
    to: Annotated[
        str, typer.Option("--to", help="What to draw: text, image, audio or video.")
    ] = "image",
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Where to; of several, names get a number. Texts may go to the terminal.",
            show_default=False,
        ),
    ] = None,
    count: Annotated[int, typer.Option("-n", min=1, help="How many to draw.")] = 1,
    steps: StepsOption = 16,
    guidance: GuidanceOption = 2.0,
    temperature: TemperatureOption = None,
    seconds: SecondsOption = 2.56,
    hold: Annotated[
        float,
        typer.Option(
            "--hold",
            min=0,
            max=0.99,
            help="How much of a video's frame the next one starts from: 0 is none of it.",
        ),
    ] = 0.5,
    attention: Annotated[
        str,
        typer.Option(
            "--attention",
            help="full, or block-causal: the prompt can't see the answer and is computed once.",
        ),
    ] = "full",
    refresh: Annotated[
        int,
        typer.Option(
            "--refresh",
            min=1,
            metavar="N",
            help="In full attention, compute the prompt anew every N steps; above 1 is nearly the "
            "same and faster.",
        ),
    ] = 1,
    seed: SeedOption = 0,
    checkpoint: CheckpointOption = None,
    tokens: TokensOption = None,
    flow: FlowOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a text, a picture, a sound or a video from PARTS: words, files, or both.

    The same seed draws the same. Prints the texts, or the files that were written.

    Pictures have 64 x 64 pixels, sounds 2.56 s or whole multiples, videos 4 frames, one a
    quarter second (.gif, .webp, .png, .mp4, .webm). Of a prompt's video 4 frames are seen,
    of its sound the first 10.24 s, of a text at most 253 tokens. Videos are drawn frame by
    frame by the model of pictures, and longer sounds block by block: motion and melody are
    not what it learnt.

    Example:
    omnidex generate "a red apple" --to image -o apple.png -n 4
    omnidex generate @dog.jpg --to text
    omnidex generate @storm.mp4 "with rain" --to audio -o rain.wav
    """
    modality = kind_named(to)
    if out is None and to != "text":
        raise UsageProblem("where should it go?", hint=f"name a file for the {modality}: -o FILE")
    if not parts and not media:
        raise UsageProblem("there is nothing to start from", hint="give words, or --with FILE")

    if attention not in ("full", "block-causal"):
        raise UsageProblem(f"there is no attention called {attention!r}", hint="full, block-causal")

    _tell_idle(context, to, attention)

    from omni_encoder.flow_generate import GenerateRule
    from omni_encoder.generator import OmniGenerator
    from omni_encoder.media_writing import check_writable

    if out is not None:
        check_writable(modality, out)
    prompt = prompt_items([*(parts or []), *(f"@{path}" for path in media or [])])
    generator = OmniGenerator.load(encoder=checkpoint, tokens=tokens, flow=flow, threads=threads)
    rule = GenerateRule(
        steps=steps,
        guidance=guidance,
        temperature=temperature,
        seed=seed,
        hold=hold,
        attention=attention,
        refresh=refresh if attention == "full" else 0,
    )
    items = [given.item for given in prompt]
    made = generator.generate(items, modality, count=count, rule=rule, seconds=seconds)
    _answer(made, out, as_json=as_json)


def _tell_idle(context: typer.Context, to: str, attention: str) -> None:
    """Say which options were given that change nothing in what is drawn."""
    idle = {
        "seconds": (to != "audio", f"is for sounds, and this is {to}"),
        "hold": (to != "video", f"is for videos, and this is {to}"),
        "refresh": (attention != "full", "is for full attention; else the prompt is computed once"),
    }
    for name, (does_nothing, why) in idle.items():
        source = context.get_parameter_source(name)
        if does_nothing and source is not None and source.name == "COMMANDLINE":
            render.note(f"--{name} does nothing here: it {why}.")


def _answer(made: "list[MediaItem]", out: Path | None, *, as_json: bool) -> None:
    from omni_encoder.media_writing import write_item

    paths: list[Path] = []
    if out is not None:
        for number, item in enumerate(made):
            name = f"{out.stem}-{number + 1}{out.suffix}" if len(made) > 1 else out.name
            paths.append(out.with_name(name))
            write_item(item, paths[-1])
    texts = [item.content for item in made if isinstance(item.content, str)]
    if as_json:
        render.write_json(
            {"schema": render.SCHEMA, "texts": texts, "files": [str(path) for path in paths]}
        )
        return
    for line in map(str, paths) if paths else texts:
        render.write(f"{render.one_line(line)}\n")
