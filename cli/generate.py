"""`omnidex generate`: texts, pictures and sounds from a prompt of any of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import render
from .errors import UsageProblem
from .options import JsonOption, ThreadsOption

if TYPE_CHECKING:
    from omni_encoder import MediaItem


def generate(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[WORDS]", help="A text.", show_default=False)
    ] = None,
    *,
    media: Annotated[
        list[Path] | None,
        typer.Option(
            "--with", metavar="FILE", help="A picture, sound or text file; may be repeated."
        ),
    ] = None,
    to: Annotated[str, typer.Option("--to", help="What to draw: text, image or audio.")] = "image",
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
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps of the sampler.")] = 16,
    guidance: Annotated[
        float, typer.Option("--guidance", min=0, help="How strongly the prompt counts.")
    ] = 2.0,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0, help="0 takes what is likeliest.")
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all that is drawn.")] = 0,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="The encoder's checkpoint; without it, the shipped one.",
            show_default=False,
        ),
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(
            "--tokens",
            metavar="FILE",
            help="Its tokenizers; without it, the shipped one.",
            show_default=False,
        ),
    ] = None,
    flow: Annotated[
        Path | None,
        typer.Option(
            "--flow",
            metavar="FILE",
            help="Its generating half; without it, the shipped one.",
            show_default=False,
        ),
    ] = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a picture, a sound or a text from WORDS, files, or both.

    The same seed draws the same. Prints the texts, or the files that were written.

    Example:
    omnidex generate "a red apple" --to image -o apple.png -n 4
    omnidex generate --with dog.jpg --to text
    """
    from omni_encoder import Modality

    try:
        modality = Modality(to)
    except ValueError:
        raise UsageProblem(f"there is no kind called {to}", hint="text, image or audio") from None
    if out is None and modality is not Modality.TEXT:
        raise UsageProblem("where should it go?", hint=f"name a file for the {modality}: -o FILE")
    if not words and not media:
        raise UsageProblem("there is nothing to start from", hint="give words, or --with FILE")

    from omni_encoder.flow_generate import GenerateRule
    from omni_encoder.generator import OmniGenerator
    from omni_encoder.media_writing import check_writable

    if out is not None:
        check_writable(modality, out)
    generator = OmniGenerator.load(encoder=checkpoint, tokens=tokens, flow=flow, threads=threads)
    prompt = _prompt(words or [], media or [])
    rule = GenerateRule(steps=steps, guidance=guidance, temperature=temperature, seed=seed)
    _answer(generator.generate(prompt, modality, count=count, rule=rule), out, as_json=as_json)


def _prompt(words: list[str], media: list[Path]) -> "list[MediaItem]":
    from omni_encoder import MediaItem, MediaLayout, Modality
    from omni_encoder.media import open_media

    text = " ".join(words).strip()
    items = [MediaItem(Modality.TEXT, text)] if text else []
    for path in media:
        if not path.is_file():
            raise UsageProblem(f"there is no file {path}", hint="name a picture, sound or text")
        items.append(next(iter(open_media(path, MediaLayout())[1])))
    return items


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
