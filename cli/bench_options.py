"""Options that several `omnidex bench` commands share, and what they stand for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import UsageProblem
from .index import encoder_name

if TYPE_CHECKING:
    from omni_encoder import Encoder

ManifestArgument = Annotated[
    Path,
    typer.Argument(metavar="MANIFEST", help="A JSONL file beside its media.", show_default=False),
]
SplitOption = Annotated[
    Path | None,
    typer.Option(
        "--split",
        metavar="FILE",
        help="A JSON file; only the ids under `validation` are measured.",
        show_default=False,
    ),
]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache", metavar="DIR", help="Keep vectors here for the next run.", show_default=False
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        metavar="N",
        help="At most N queries a task, spread evenly.",
        show_default=False,
    ),
]
ResultsOption = Annotated[
    Path,
    typer.Option(
        "--results",
        metavar="DIR",
        envvar="OMNIDEX_RESULTS",
        help="Where results and vectors are kept.",
    ),
]
EncoderOption = Annotated[
    str,
    typer.Option(
        "--encoder", metavar="NAME", help="omni, omni:FILE or open_clip:MODEL/TAG-or-FILE."
    ),
]


def must_be_manifest(path: Path) -> None:
    """Refuse a path that is no file.

    Raises:
        UsageProblem: It is none.
    """
    if not path.is_file():
        raise UsageProblem(
            f"there is no file {path}",
            hint="a manifest has one JSON object a line, and lies beside its media",
            code="manifest",
        )


def load_once(name: str, threads: int | None) -> "Callable[[], Encoder]":
    """A function that loads the encoder when it is first called, and then keeps it."""
    loaded: list[Encoder] = []

    def load() -> "Encoder":
        if not loaded:
            from omni_encoder import load_encoder

            loaded.append(load_encoder(encoder_name(name) or name, threads=threads))
        return loaded[0]

    return load
