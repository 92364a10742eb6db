"""`omnidex dupes`: files that hold the same, or nearly the same."""

import base64
import html
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import render
from .errors import NOTHING_FOUND
from .options import CollectionOption, JsonOption, collection_directory

if TYPE_CHECKING:
    from indexer import Group

_STYLE = (
    "body{font:14px sans-serif;margin:2em}section{border-top:1px solid #ccc;padding:1em 0}"
    "figure{display:inline-block;margin:0 1em 1em 0;vertical-align:top;max-width:180px}"
    "figcaption{overflow-wrap:anywhere}"
)


def dupes(
    *,
    exact: Annotated[bool, typer.Option("--exact", help="Only files with the same bytes.")] = False,
    bursts: Annotated[
        bool, typer.Option("--bursts", help="Photos taken at different moments count too.")
    ] = False,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write a page with small pictures of all groups.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    collection: CollectionOption = None,
) -> None:
    """Group files that hold the same, or nearly the same. Nothing is deleted.

    Copies that were scaled, compressed again or turned into another format are near duplicates.
    Each line is the number of a group, how alike its files are, and a file; the largest is first.

    Example:
    omnidex dupes --html duplicates.html
    """
    from indexer import Collection, DuplicateOptions, duplicates

    options = DuplicateOptions(near=not exact, bursts=bursts)
    with (
        Collection.open(collection_directory(collection)) as opened,
        render.progress() as advance,
    ):
        groups = duplicates(
            opened, options, progress=lambda done, total: advance("Looking", done, total)
        )
        place = opened.place
    if sheet is not None:
        sheet.write_text(_page(groups), encoding="utf-8", errors="replace")
        render.note(f"Written: {sheet}")
    if as_json:
        render.write_json(
            {
                "schema": render.SCHEMA,
                "collection": place,
                "groups": [_group_json(group) for group in groups],
            }
        )
    else:
        _print_groups(groups)
    if not groups:
        if not as_json:
            render.note("No duplicates found.")
        raise typer.Exit(NOTHING_FOUND)


def _group_json(group: "Group") -> dict[str, object]:
    copies = [asdict(copy) | {"path": str(copy.path)} for copy in group.copies]
    return {
        "likeness": str(group.likeness),
        "modality": str(group.modality),
        "bytes_beyond_the_largest": sum(copy.bytes for copy in group.copies[1:]),
        "copies": copies,
    }


def _print_groups(groups: Sequence["Group"]) -> None:
    columns = (
        render.Column("group", align="right"),
        render.Column("alike"),
        render.Column("size", align="right"),
        render.Column("path", overflow="fold"),
    )
    rows = [
        [str(number), str(group.likeness), render.size(copy.bytes), render.short_path(copy.path)]
        for number, group in enumerate(groups, start=1)
        for copy in group.copies
    ]
    if rows:
        render.table(columns, rows)


def _page(groups: Sequence["Group"]) -> str:
    sections = [
        f"<section><h2>{number}: {group.likeness}, {group.modality}</h2>"
        + "".join(_figure(copy.path, copy.bytes) for copy in group.copies)
        + "</section>"
        for number, group in enumerate(groups, start=1)
    ]
    head = f'<meta charset="utf-8"><title>Duplicates</title><style>{_STYLE}</style>'
    return f"<!doctype html><html><head>{head}</head><body>{''.join(sections)}</body></html>\n"


def _figure(path: Path, size: int) -> str:
    from omni_encoder import MediaError
    from omni_encoder.media_look import preview_of

    try:
        picture = base64.b64encode(preview_of(path)).decode()
        image = f'<img alt="" src="data:image/jpeg;base64,{picture}">'
    except (MediaError, OSError):
        image = ""
    name = html.escape(str(path))
    return f"<figure>{image}<figcaption>{name}<br>{render.size(size)}</figcaption></figure>"
