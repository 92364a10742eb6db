"""What people see: tables and progress bars with rich on a terminal, plain lines elsewhere.

Results go to stdout and everything else to stderr. rich is imported only where a terminal is.
"""

import json
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Literal, Protocol

from .errors import ReaderGone
from .plain import printable

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from rich.progress import Progress, TaskID

    from omni_encoder import Span

SCHEMA = 1
_GAP = 2
_LEAST_CUT = 16  # columns, for a cell that may be cut


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        title: Its heading, on a terminal.
        align: To which side its cells go, on a terminal.
        overflow: What happens to a cell that is too wide: `fold` keeps all of it in more lines,
            `ellipsis` cuts it, `keep` never narrows the column.
        movable: Where the terminal is narrower than 100 columns, its cells stand in a line of their
            own below those of the first column that folds.
    """

    title: str
    align: Literal["left", "right"] = "left"
    overflow: Literal["fold", "ellipsis", "keep"] = "keep"
    movable: bool = False


class Advance(Protocol):
    """Tells a progress bar how far something is."""

    def __call__(self, what: str, done: int, total: int | None, note: str = "") -> None:
        """Show that `done` of `total` of `what` are done; a new `what` starts a new bar."""
        ...


def write(text: str) -> None:
    """Write a result to stdout.

    Raises:
        ReaderGone: Nobody reads it any more.
    """
    try:
        sys.stdout.write(text)
    except BrokenPipeError as error:
        raise ReaderGone from error


def flush() -> None:
    """Let whoever reads stdout have what was written so far.

    Raises:
        ReaderGone: Nobody reads it any more.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderGone from error


def write_json(document: Mapping[str, object]) -> None:
    """Write one JSON document to stdout, as one line."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if any("\ud800" <= character <= "\udfff" for character in text):
        # A file name that isn't UTF-8: escaped, the document stays valid and still holds it.
        text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    write(text + "\n")


def note(message: str) -> None:
    """Say something that is no result, on stderr."""
    sys.stderr.write(f"{message}\n")


def on_terminal() -> bool:
    """Whether people read stdout directly."""
    return sys.stdout.isatty()


def one_line(text: str) -> str:
    """The text with every stretch of white space made one blank."""
    return printable(" ".join(text.split()))


def short_path(path: "Path | str") -> str:
    """The path, relative to the working directory when that is shorter."""
    whole = os.fspath(path)
    try:
        relative = os.path.relpath(whole)
    except (OSError, ValueError):  # the working directory is gone, or on another drive
        return whole
    return relative if len(relative) < len(whole) else whole


def clock(seconds: float) -> str:
    """Seconds as `m:ss`, or `h:mm:ss` from an hour on."""
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def span_text(span: "Span | None") -> str:
    """A span as `m:ss-m:ss`, its end rounded up, or nothing."""
    return "" if span is None else f"{clock(span.start)}-{clock(ceil(span.end))}"


def size(count: int) -> str:
    """A number of bytes as people read it."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Write a table: with headings and fitted to a terminal, or one tab-separated row a line."""
    if on_terminal():
        terminal_table(columns, rows, _console())
        return
    for row in rows:
        write("\t".join(printable(cell) for cell in row) + "\n")


def terminal_table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], console: "Console"
) -> None:
    """Print a table on a console, in its width, leaving out columns that have no content."""
    from rich.table import Table
    from rich.text import Text

    filled = [
        (column, [printable(row[number]) for row in rows])
        for number, column in enumerate(columns)
        if any(row[number] for row in rows)
    ]
    shown = [pair for pair in filled if not (pair[0].movable and console.width < 100)]
    below = [cells for column, cells in filled if column.movable and console.width < 100]
    grid = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    widths = _widths(shown, console.width)
    for (column, _), width in zip(shown, widths, strict=True):
        grid.add_column(
            column.title,
            justify=column.align,
            overflow="ellipsis" if column.overflow == "ellipsis" else "fold",
            no_wrap=column.overflow != "fold",
            width=width,
        )
    under = next((n for n, (column, _) in enumerate(shown) if column.overflow == "fold"), 0)
    for number in range(len(rows)):
        row = [Text(cells[number]) for _, cells in shown]
        for cells in below:
            more = Text(f"\n{cells[number]}" if cells[number] else "", style="dim")
            more.truncate(widths[under], overflow="ellipsis")
            row[under].append_text(more)
        grid.add_row(*row)
    console.print(grid)


def _widths(shown: Sequence[tuple[Column, Sequence[str]]], total: int) -> list[int]:
    """How wide each column is: columns that must be kept first, then paths, then what is left."""
    from rich.cells import cell_len

    natural = [max(map(cell_len, [column.title, *cells])) for column, cells in shown]
    kinds = [column.overflow for column, _ in shown]
    left = total - _GAP * (len(shown) - 1)
    left -= sum(width for width, kind in zip(natural, kinds, strict=True) if kind == "keep")
    cut = sum(width for width, kind in zip(natural, kinds, strict=True) if kind == "ellipsis")
    folded = sum(width for width, kind in zip(natural, kinds, strict=True) if kind == "fold")
    for_cut = min(cut, max(_LEAST_CUT, left - folded)) if cut else 0
    room = {"keep": total, "ellipsis": max(1, for_cut), "fold": max(8, left - for_cut)}
    several = kinds.count("fold") > 1 and folded > room["fold"]
    share = room["fold"] // max(1, kinds.count("fold"))
    if several:  # what one column leaves of its share is for the others
        folding = [width for width, kind in zip(natural, kinds, strict=True) if kind == "fold"]
        small = [width for width in folding if width <= share]
        share = (room["fold"] - sum(small)) // (len(folding) - len(small))
        room["fold"] = max(8, share)
    return [min(width, room[kind]) for width, kind in zip(natural, kinds, strict=True)]


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    """Write names and values, one pair a line."""
    pairs = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in pairs), default=0) if on_terminal() else 0
    for name, value in pairs:
        gap = "  " if width else "\t"
        write(f"{name:{width}}{gap}{printable(value)}\n")


@contextmanager
def progress() -> Generator[Advance]:
    """Progress bars with counts and time left, while stderr is a terminal; else nothing at all."""
    if not sys.stderr.isatty():
        yield _silent
        return
    with _progress_bars() as bars:
        yield _advance(bars)


def confirm(question: str) -> bool:
    """Ask on the terminal; no is the answer that needs no thought."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def may_ask() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _silent(what: str, done: int, total: int | None, note: str = "") -> None:
    """Take part in nothing."""


def _advance(bars: "Progress") -> Advance:
    tasks: dict[str, TaskID] = {}

    def advance(what: str, done: int, total: int | None, note: str = "") -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total, note=note)
        bars.update(tasks[what], completed=done, total=total, note=note)

    return advance


def _progress_bars() -> "Progress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _console() -> "Console":
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=False)
