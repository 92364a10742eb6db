"""Pictures in terminals: by Kitty's graphics protocol, as Sixel, or as coloured half blocks.

All three are a few escape sequences. Of the packages that write them, term-image 0.7.2 wants a
Pillow older than 11, textual-image 0.12.0 is under the LGPL and asks the terminal while it is
imported, and rich-pixels 3.0.1 knows half blocks only.
"""

import os
import select
import sys
import time
from base64 import standard_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, cast, get_args
from zlib import compress

from . import render
from .errors import UsageProblem
from .plain import printable

if TYPE_CHECKING:
    import numpy as np

How = Literal["kitty", "sixel", "blocks", "never"]

COLUMNS, ROWS = 24, 7
"""The largest picture, in characters."""

_CHUNK = 4096  # the most that Kitty takes at once
_CELL = (10, 20)  # pixels of a character, where the terminal doesn't say
_SIXEL_COLOURS = 64
_ANSWER_S = 0.2


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands beside one picture.

    Attributes:
        lines: Each is cut to the width of the terminal.
        picture: As WebP; None where there is none.
    """

    lines: Sequence[str]
    picture: bytes | None = None


def way(wanted: str, environment: Mapping[str, str], *, asks: Callable[[], bool]) -> How:
    """How pictures are shown on this terminal.

    Args:
        wanted: What was given: auto, or one of the ways.
        environment: Variables that terminals set.
        asks: Whether the terminal says that it knows Sixel; called only if nothing else tells.

    Raises:
        UsageProblem: `wanted` is none of these.
    """
    if wanted != "auto":
        if wanted not in get_args(How):
            ways = ("auto", *get_args(How))
            close = get_close_matches(wanted.lower(), ways, n=1)
            raise UsageProblem(
                f"--thumbs doesn't know {wanted!r}",
                hint=f"did you mean {close[0]}?" if close else f"use one of {', '.join(ways)}",
            )
        return cast("How", wanted)
    terminal, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("NO_COLOR") or terminal in ("", "dumb", "linux"):
        return "never"
    # tmux and screen keep the protocols of the terminal around them from us.
    if "TMUX" not in environment and not terminal.startswith(("screen", "tmux")):
        kitty = terminal in ("xterm-kitty", "xterm-ghostty") or program in ("ghostty", "WezTerm")
        if kitty or "KITTY_WINDOW_ID" in environment or "KONSOLE_VERSION" in environment:
            return "kitty"
        if terminal.startswith(("foot", "mlterm")) or asks():
            return "sixel"
    return "blocks" if environment.get("COLORTERM") in ("truecolor", "24bit") else "never"


def way_here(wanted: str) -> How:
    """As `way`, for the terminal that reads stdout; `never` if none does.

    Raises:
        UsageProblem: `wanted` is not known.
    """
    how = way(wanted, os.environ if render.on_terminal() else {}, asks=_says_sixel)
    return how if render.on_terminal() else "never"


def write_entries(entries: Sequence[Entry], how: How, *, width: int) -> None:
    """Write pictures with their lines beside them, one below the other."""
    for entry in entries:
        render.write(entry_text(entry, how, width=width, cell=_cell_pixels()))


def entry_text(entry: Entry, how: How, *, width: int, cell: tuple[int, int]) -> str:
    """A picture and its lines as what is written to the terminal.

    Args:
        entry: What to show.
        how: By which protocol.
        width: Of the terminal, in characters.
        cell: How many pixels wide and high a character is.
    """
    from rich.cells import set_cell_size

    room = max(10, width - COLUMNS - 3)
    lines = [set_cell_size(printable(line), room).rstrip() for line in entry.lines]
    picture = entry.picture
    if picture is None:
        return "".join(f"{' ' * (COLUMNS + 2)}{line}\n" for line in lines) + "\n"
    from omni_encoder.media_picture import pixels_of

    try:
        if how == "blocks":
            pixels = pixels_of(picture, width=COLUMNS, height=2 * ROWS)
            return _beside(_blocks(pixels), lines)
        pixels = pixels_of(picture, width=COLUMNS * cell[0], height=ROWS * cell[1])
    except ValueError:  # the cache was damaged since
        return entry_text(Entry(entry.lines), how, width=width, cell=cell)
    high, wide = pixels.shape[:2]
    columns, rows = -(-wide // cell[0]), -(-high // cell[1])
    drawn = kitty(pixels, columns=columns, rows=rows) if how == "kitty" else sixel(pixels)
    # Room is made first, so that the terminal doesn't scroll while it draws; then text goes
    # beside the picture, whatever the terminal has done with the cursor.
    rows = max(rows, len(lines))
    text = "".join(
        f"\x1b[{COLUMNS + 2}C{lines[row] if row < len(lines) else ''}\n" for row in range(rows)
    )
    return "\n" * rows + f"\x1b[{rows}A\x1b7{drawn}\x1b8{text}\n"


def _beside(picture: Sequence[str], lines: Sequence[str]) -> str:
    rows = max(len(picture), len(lines))
    left = [*picture, *[" " * COLUMNS] * (rows - len(picture))]
    right = [*lines, *[""] * (rows - len(lines))]
    return "".join(f"{a}  {b}\n" for a, b in zip(left, right, strict=True)) + "\n"


def _blocks(pixels: "np.ndarray") -> list[str]:
    """Two pixels a character: the upper one is the block's colour, the lower one the ground's."""
    lines: list[str] = []
    for row in range(0, len(pixels), 2):
        cells: list[str] = []
        for column in range(pixels.shape[1]):
            red, green, blue = pixels[row, column].tolist()
            upper = f"\x1b[38;2;{red};{green};{blue}m"
            lower = ""
            if row + 1 < len(pixels):
                red, green, blue = pixels[row + 1, column].tolist()
                lower = f"\x1b[48;2;{red};{green};{blue}m"
            cells.append(f"{upper}{lower}\u2580")
        lines.append("".join(cells) + "\x1b[0m" + " " * (COLUMNS - pixels.shape[1]))
    return lines


def kitty(pixels: "np.ndarray", *, columns: int, rows: int) -> str:
    """A picture by Kitty's graphics protocol, which leaves the cursor where it is."""
    height, width = pixels.shape[:2]
    data = standard_b64encode(compress(pixels.tobytes())).decode()
    chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    first = f"a=T,f=24,o=z,s={width},v={height},c={columns},r={rows},C=1,q=2,"
    return "".join(
        f"\x1b_G{first if not number else ''}m={int(number + 1 < len(chunks))};{chunk}\x1b\\"
        for number, chunk in enumerate(chunks)
    )


def sixel(pixels: "np.ndarray") -> str:
    """A picture as Sixel: bands of six rows, and in each band a line for each of its colours."""
    import numpy as np

    from omni_encoder.media_picture import indexed

    reduced = indexed(pixels, colours=_SIXEL_COLOURS)
    height, width = reduced.indices.shape
    percent = np.rint(reduced.colours / 2.55).astype(int).tolist()
    parts = [f'\x1bP0;1q"1;1;{width};{height}']
    parts += [f"#{number};2;{r};{g};{b}" for number, (r, g, b) in enumerate(percent)]
    for top in range(0, height, 6):
        band = reduced.indices[top : top + 6]
        bits = 1 << np.arange(len(band))[:, None]
        lines = [
            f"#{colour}" + _runs(((band == colour) * bits).sum(axis=0).tolist())
            for colour in np.unique(band).tolist()
        ]
        parts += ["$".join(lines), "-"]
    return "".join(parts) + "\x1b\\"


def _runs(values: Sequence[int]) -> str:
    """Sixel characters, with stretches of equal ones written as their number."""
    written: list[str] = []
    start = 0
    for end in range(1, len(values) + 1):
        if end == len(values) or values[end] != values[start]:
            character, count = chr(63 + values[start]), end - start
            written.append(f"!{count}{character}" if count > 3 else character * count)
            start = end
    return "".join(written)


def _cell_pixels() -> tuple[int, int]:
    """How many pixels wide and high a character is."""
    try:
        import fcntl
        import struct
        import termios

        packed = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
    except (ImportError, OSError, ValueError):
        return _CELL
    rows, columns, width, height = struct.unpack("HHHH", packed)
    if not all((rows, columns, width, height)):
        return _CELL
    return max(1, width // columns), max(1, height // rows)


def _says_sixel() -> bool:
    """Ask the terminal what it is (DA1); whoever knows Sixel has a 4 in the answer."""
    if not sys.stdin.isatty():
        return False
    try:
        import termios
        import tty
    except ImportError:
        return False
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard, termios.TCSANOW)
        render.write("\x1b[c")
        render.flush()
        answer = _answer(keyboard)
    finally:
        termios.tcsetattr(keyboard, termios.TCSANOW, before)
    return "4" in answer.partition("\x1b[?")[2].rstrip("c").split(";")


def _answer(keyboard: int) -> str:
    answer = b""
    until = time.monotonic() + _ANSWER_S
    while not answer.endswith(b"c") and (left := until - time.monotonic()) > 0:
        if select.select([keyboard], [], [], left)[0]:
            answer += os.read(keyboard, 64)
    return answer.decode(errors="replace")
