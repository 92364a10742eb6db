"""`omnidex export` and `omnidex import`: vectors out of a collection, and into one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import render
from .errors import UsageProblem
from .index import encoder_name
from .options import CollectionOption, JsonOption, collection_directory
from .plain import counted

if TYPE_CHECKING:
    from indexer.transfer import Form

_SUFFIXES = {".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow"}
_FORMS = ("parquet", "arrow", "numpy", "faiss")

FormOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="FORM",
        help="parquet, arrow, numpy or faiss; without it, what the name ends with.",
        show_default=False,
    ),
]


def export(
    target: Annotated[
        Path,
        typer.Argument(metavar="TARGET", help="A new file or folder.", show_default=False),
    ],
    form: FormOption = None,
    as_json: JsonOption = False,
    collection: CollectionOption = None,
) -> None:
    """Write all items with their vectors: one Parquet or Arrow file, or a folder.

    In a folder each kind of media has two files: image.npy or image.faiss with the
    vectors, and image.jsonl with what is known of them, in the same order.

    Example:
    omnidex export items.parquet
    omnidex export vectors --as numpy
    """
    chosen = _form(target, form)
    directory = collection_directory(collection)

    from indexer import Collection
    from indexer.transfer import export as write

    with Collection.open(directory) as opened:
        items = write(opened, target, chosen)
    if as_json:
        render.write_json({"schema": render.SCHEMA, "target": str(target), "items": items})
    else:
        render.write(f"Wrote {counted(items, 'item')} to {target}.\n")


def bring_in(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="A file or folder.", show_default=False),
    ],
    *,
    encoder: Annotated[
        str,
        typer.Option("--encoder", metavar="NAME", help="The encoder that made the vectors."),
    ],
    form: FormOption = None,
    as_json: JsonOption = False,
    collection: CollectionOption = None,
) -> None:
    """Add items with their vectors, as `omnidex export` writes them.

    The encoder must be named, for vectors of different ones can't be compared.
    Of FAISS's files only flat ones are taken, and they are checked first.

    Example:
    omnidex import items.parquet --encoder omni
    """
    chosen = _form(source, form)
    directory = collection_directory(collection)

    from indexer import Collection
    from indexer.transfer import bring_in as read
    from omni_encoder import load_encoder

    loaded = load_encoder(encoder_name(encoder) or encoder)
    with Collection.open_or_create(directory, loaded.spec, loaded.means) as opened:
        imported, place = read(source, opened, chosen), opened.place
    if as_json:
        render.write_json(
            {
                "schema": render.SCHEMA,
                "collection": place,
                "items": imported.items,
                "incomplete": imported.incomplete,
            }
        )
    else:
        render.write(f"Added {counted(imported.items, 'item')} to {place}.\n")
        if imported.incomplete:
            render.note(
                "1 content was left out, as some of its parts are missing."
                if imported.incomplete == 1
                else f"{imported.incomplete} contents were left out, as some of their parts are"
                " missing."
            )


def _form(path: Path, given: str | None) -> "Form":
    name = given or _SUFFIXES.get(path.suffix.lower())
    if name not in _FORMS:
        raise UsageProblem(
            f"{path} doesn't say which form is meant" if given is None else f"no form is {given!r}",
            hint=f"add --as with one of {', '.join(_FORMS)}",
        )
    from indexer.transfer import Form

    return Form(name)
