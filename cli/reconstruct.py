"""`omnidex reconstruct`: what the tokenizers keep of a file."""

from pathlib import Path
from typing import Annotated

import typer

from . import render
from .errors import UsageProblem
from .options import CheckpointOption, JsonOption, ThreadsOption, TokensOption


def reconstruct(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="An image, a sound or a video.", show_default=False),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Where to: .png, .jpg, .webp; .wav; .gif, .mp4.",
            show_default=False,
        ),
    ],
    beside: Annotated[
        bool, typer.Option("--beside", help="Put the original beside it, or before the sound.")
    ] = False,
    checkpoint: CheckpointOption = None,
    tokens: TokensOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn FILE into the model's codes and back, to see or hear what they keep.

    Pictures come back as 64 x 64 pixels from 64 x 4 codes, sounds from 64 x 2 codes for each 2.56
    seconds. Prints how many codes stand for the file.

    Example:
    omnidex reconstruct cat.jpg -o cat-codes.png --beside
    """
    if not file.is_file():
        raise UsageProblem(f"there is no file {file}", hint="name an image, a sound or a video")

    from omni_encoder.reconstruct import reconstruct as rebuild

    made = rebuild(file, out, encoder=checkpoint, tokens=tokens, beside=beside, threads=threads)
    if as_json:
        render.write_json(
            {
                "schema": render.SCHEMA,
                "file": str(file),
                "output": str(out),
                "modality": str(made.modality),
                "codes": made.codes,
                "bits": made.bits,
                "error": made.error,
            }
        )
        return
    render.facts(
        [
            ("output", str(out)),
            ("codes", f"{made.codes} ({made.bits} bits)"),
            ("error", "" if made.error is None else f"{made.error:.3f} of the pixel range"),
        ]
    )
