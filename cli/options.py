"""Options that several commands share."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from indexer import Collection

_ID = re.compile(r"[0-9a-f]{4,32}(\.[a-z]+)?(\.[0-9]+)?", re.IGNORECASE)

CollectionOption = Annotated[
    Path | None,
    typer.Option(
        "--collection",
        "-c",
        metavar="DIR",
        envvar="OMNIDEX_COLLECTION",
        help="The collection's directory or s3:// URI; without it, `default` in your data folder.",
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
CheckpointOption = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="The encoder's checkpoint; without it, the shipped one.",
        show_default=False,
    ),
]
TokensOption = Annotated[
    Path | None,
    typer.Option(
        "--tokens",
        metavar="FILE",
        help="Its tokenizers, as `omnidex train` writes them; without it, the shipped ones.",
        show_default=False,
    ),
]
FlowOption = Annotated[
    Path | None,
    typer.Option(
        "--flow",
        metavar="FILE",
        help="Its generating half; without it, the shipped one.",
        show_default=False,
    ),
]
StepsOption = Annotated[int, typer.Option("--steps", min=1, help="Steps of the sampler.")]
GuidanceOption = Annotated[
    float, typer.Option("--guidance", min=0, help="How strongly the prompt counts.")
]
TemperatureOption = Annotated[
    float | None,
    typer.Option(
        "--temperature",
        min=0,
        help="0 takes what is likeliest; if not said, 0 for words and 1 for the rest.",
        show_default=False,
    ),
]
SecondsOption = Annotated[
    float,
    typer.Option(
        "--seconds", min=0.1, max=20.48, help="Length of a sound, in whole blocks of 2.56 s."
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of all that is drawn.")]


def collection_directory(given: Path | None) -> Path:
    """The directory that the option, the environment or the default names."""
    if given is not None and str(given):
        if given.parts[:1] in (("s3:",), ("gs:",)):  # `.` has no parts
            from indexer.remote import located

            return located(given)
        return given
    from platformdirs import user_data_path

    return user_data_path("omnidex", appauthor=False) / "default"


def is_id(text: str) -> bool:
    """Whether a name on the command line is an id: it looks like one, and no such file is there."""
    return _ID.fullmatch(text) is not None and not os.path.lexists(text)


def item_id(given: str, collection: "Collection", *, any_part: bool = False) -> str:
    """The id that is given, or that of the first part of the indexed file that is given.

    Args:
        given: An id or a path.
        collection: Where it is looked for.
        any_part: Whether the id of a file should leave open which part is meant.

    Raises:
        QueryError: It is no id, and no file in the collection.
    """
    if is_id(given):
        return given
    import numpy as np

    from indexer.where import path_text
    from omni_encoder import QueryError

    path = os.path.abspath(given)  # noqa: PTH100 -- as the indexer does: links stay, `..` goes
    items = sum(collection.counts().values())
    anything = np.ones(collection.spec.dim, np.float32)
    found = collection.nearest(anything, k=items + 1, where=f"path = {path_text(path)}")
    if not len(found.rows):
        if not (os.sep in given or os.path.lexists(path)):
            raise QueryError(
                f"{given!r} is neither an id nor an indexed file",
                hint="ids have at least four digits, such as 3f2a or 3f2a9c01be.2",
            )
        raise QueryError(
            f"no item of the collection is from {given}",
            hint="index it first, or search by the file: --image, --audio or --video FILE",
        )
    first = min(collection.records(found.rows), key=lambda record: record.part)
    return f"{first.content}.{first.modality}" if any_part else first.id
