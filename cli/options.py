"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

CollectionOption = Annotated[
    Path | None,
    typer.Option(
        "--collection",
        "-c",
        metavar="DIR",
        envvar="OMNIDEX_COLLECTION",
        help="Directory of the collection; without it, `default` in your user data folder.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
EncoderOption = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="NAME",
        help="omni, omni:FILE or open_clip:MODEL/TAG-or-FILE; without it, the collection's own.",
        show_default=False,
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        metavar="N",
        help="Threads that the encoder uses; without it, as many as there are cores.",
        show_default=False,
    ),
]


def collection_directory(given: Path | None) -> Path:
    """The directory that the option, the environment or the default names."""
    if given is not None and str(given):
        return given
    from platformdirs import user_data_path

    return user_data_path("omnidex", appauthor=False) / "default"
