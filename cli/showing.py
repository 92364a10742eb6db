"""Hits that people can look at: pictures on the terminal, a page, and opening one of them."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import render
from .errors import UsageProblem

if TYPE_CHECKING:
    from retrieval import Hit, Query

    from . import pictures
    from .synthetic import Drawn

_LINES = 5
WEAK_LINE = "-- weak below --"

HtmlOption = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="FILE",
        help="Write a page of the hits: pictures, players, links.",
        show_default=False,
    ),
]
OpenOption = Annotated[
    int | None,
    typer.Option(
        "--open",
        metavar="N",
        min=1,
        help="Open the file of hit N with the system's program for it.",
        show_default=False,
    ),
]
ThumbsOption = Annotated[
    str,
    typer.Option(
        "--thumbs",
        metavar="HOW",
        help="Pictures on a terminal: auto, kitty, sixel, blocks or never.",
    ),
]


def check_thumbs(wanted: str) -> None:
    """Refuse what isn't a way to show pictures.

    Raises:
        UsageProblem: It is none.
    """
    if wanted == "auto":
        return
    from . import pictures

    pictures.way(wanted, {}, asks=lambda: False)


def print_hits(
    hits: Sequence["Hit"],
    columns: Sequence[render.Column],
    rows: Sequence[Sequence[str]],
    *,
    thumbs: str,
    collection: Path,
) -> None:
    """Write a table of hits; on a terminal that can show pictures, with these instead.

    Args:
        hits: Best first.
        columns: Of the table.
        rows: One for each hit.
        thumbs: What was asked for.
        collection: Its directory.
    """
    how = _way_here(thumbs) if hits and render.on_terminal() else "never"
    weak = [hit.judgement is not None and hit.judgement.weak for hit in hits]
    if how == "never":
        render.table(columns, _marked(hits, rows, weak))
    else:
        _with_pictures(hits, columns, rows, how=how, collection=collection)
    if weak and all(weak):
        render.note("All of this is weak: unrelated things would score as high.")


def _way_here(thumbs: str) -> "pictures.How":
    from . import pictures

    return pictures.way_here(thumbs)


def _marked(
    hits: Sequence["Hit"], rows: Sequence[Sequence[str]], weak: Sequence[bool]
) -> list[Sequence[str]]:
    """The rows; what is weak comes last, and a line (or, in a pipe, a column) says so."""
    marked: list[Sequence[str]] = list(rows)
    if any(weak) and render.on_terminal():
        marked.insert(weak.index(True), ["", "", "", WEAK_LINE, "", "", ""])
    elif any(hit.judgement is not None for hit in hits):
        marked = [[*row, "weak" if mark else ""] for row, mark in zip(rows, weak, strict=True)]
    return marked


def _with_pictures(
    hits: Sequence["Hit"],
    columns: Sequence[render.Column],
    rows: Sequence[Sequence[str]],
    *,
    how: "pictures.How",
    collection: Path,
) -> None:
    from indexer.thumbs import Thumbnails

    from . import pictures

    kept = Thumbnails(collection)
    width = shutil.get_terminal_size().columns
    divided = False
    for hit, row in zip(hits, rows, strict=True):
        if not divided and hit.judgement is not None and hit.judgement.weak:
            render.write(f"{WEAK_LINE}\n")
            divided = True
        lines = _lines(hit, columns, row, width=width - pictures.COLUMNS - 3)
        pictures.write_entries([pictures.Entry(lines, kept.get(hit.record))], how, width=width)
        render.flush()


def asked(query: "Query") -> str:
    """What a query asks, in words."""
    return ", ".join(
        content.name if isinstance(content, Path) else content
        for content in (term.content for term in query.terms)
    )


def write_paths(hits: Sequence["Hit"], *, end: str) -> None:
    """Write the path of each hit, each path once; say how many hits have none."""
    paths = dict.fromkeys(str(path) for hit in hits for path in hit.record.paths[:1])
    for path in paths:
        render.write(path + end)
    bare = sum(not hit.record.paths for hit in hits)
    if bare:
        render.note(f"{bare} of {len(hits)} hits have no file (imported, or forgotten): see --json")


def write_sheet(
    hits: Sequence["Hit"],
    file: Path,
    *,
    title: str,
    collection: Path,
    drawn: Sequence["Drawn"] = (),
) -> None:
    """Write the page, with what was drawn for the query in a part of its own."""
    from indexer.thumbs import Thumbnails

    from . import sheet

    text = sheet.page(hits, Thumbnails(collection).get, title=title, drawn=drawn)
    file.write_text(text, encoding="utf-8", errors="replace")
    render.note(f"Written: {render.short_path(file)}")


def open_hit(hits: Sequence["Hit"], rank: int) -> None:
    """Open the file of a hit.

    Raises:
        UsageProblem: There is no such hit or file, or nothing to open it with.
    """
    from . import opening

    hit = next((hit for hit in hits if hit.rank == rank), None)
    if hit is None:
        found = f"{len(hits)} were found" if hits else "nothing was found"
        raise UsageProblem(f"there is no hit {rank}: {found}", hint="ask for more with -k")
    if not hit.record.paths:
        raise UsageProblem(f"no file holds hit {rank} any more", hint="omnidex show tells its id")
    # Of several copies the first that is still there.
    path = next((path for path in hit.record.paths if _is_there(path)), hit.record.paths[0])
    opening.open_file(path)
    render.note(f"Opened: {render.short_path(path)}")


def _is_there(path: Path) -> bool:
    with suppress(OSError):
        return path.is_file()
    return False


def _lines(
    hit: "Hit", columns: Sequence[render.Column], row: Sequence[str], *, width: int
) -> list[str]:
    """The cells of a row as lines: short ones together, long ones on lines of their own."""
    import textwrap

    short = [cell for column, cell in zip(columns, row, strict=True) if column.overflow == "keep"]
    long = [cell for column, cell in zip(columns, row, strict=True) if column.overflow == "fold"]
    lines = ["  ".join(filter(None, short)), *long]
    what = hit.record.text or next(
        (cell for column, cell in zip(columns, row, strict=True) if column.movable), ""
    )
    wrapped = textwrap.wrap(render.one_line(what), max(10, width))
    room = _LINES - len(lines) + 1
    return lines + wrapped[:room]
