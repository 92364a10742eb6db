"""`omnidex train`: train a checkpoint from a configuration file."""

from pathlib import Path
from typing import Annotated

import typer

from . import render
from .errors import Interrupted, UsageProblem
from .options import JsonOption


def train(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="A TOML file.", show_default=False)
    ],
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew, even where a run was interrupted.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train an encoder as CONFIG says, going on where an earlier run was interrupted.

    A CONFIG with a section [tokens] trains the tokenizers of an encoder instead, one with [flow]
    the generating half. Needs the packages of the extra `train`. Prints the path of the checkpoint.

    Example:
    omnidex train nano.toml
    """
    if not config.is_file():
        raise UsageProblem(f"there is no file {config}", hint="name the configuration of a run")

    from omni_encoder.train_stages import train as run_training

    with render.progress() as advance:
        try:
            checkpoint = run_training(
                config,
                resume=not restart,
                progress=lambda stage, step, total, figures: advance(
                    stage, step, total, "  ".join(f"{k} {v:.4g}" for k, v in figures.items())
                ),
            )
        except KeyboardInterrupt:
            raise Interrupted(
                "Interrupted: the last saved step is kept; the same command goes on from there."
            ) from None
    from omni_encoder.team import leads

    if not leads():
        return
    if as_json:
        render.write_json({"schema": render.SCHEMA, "checkpoint": str(checkpoint)})
    else:
        render.write(f"{checkpoint}\n")
