"""SVG drawings: measured here, drawn in a child process."""

import html
import io
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import PngImagePlugin

from .errors import MediaError
from .media_info import MediaInfo, Reason, Source, clean_title
from .media_pixels import flatten
from .media_sniff import bom_encoding
from .types import MediaItem, MediaLayout, Modality

MAX_SVG_BYTES = 16_000_000
SECONDS = 10.0
CHILD = Path(__file__).with_name("media_svg.py")

# The longer side is drawn at most this many times the wanted shorter side.
_MAX_STRETCH = 8
_ROOT = re.compile(r"<(?:\w+:)?svg\b(?P<attributes>[^>]*)>", re.IGNORECASE)
_END = re.compile(r"</(?:\w+:)?svg\s*>|<(?:\w+:)?svg\b[^>]*/>", re.IGNORECASE)
_LENGTH = re.compile(
    r"\s*\+?(?P<number>\d*\.?\d+(?:e[+-]?\d+)?)\s*(?P<unit>[a-z]*)\s*", re.IGNORECASE
)
_TITLE = re.compile(r"<(?:\w+:)?title\b[^>]*>(?P<title>[^<]*)<", re.IGNORECASE)
_PIXELS = {
    "": 1.0,
    "px": 1.0,
    "pt": 96 / 72,
    "pc": 16.0,
    "mm": 96 / 25.4,
    "cm": 96 / 2.54,
    "in": 96.0,
}
_NO_RENDERER = 3


@dataclass(frozen=True, slots=True)
class Sheet:
    """How large a drawing is by its own words, in pixels."""

    width: float
    height: float


def open_svg(
    file: BinaryIO, source: Source, layout: MediaLayout
) -> tuple[MediaInfo, Iterator[MediaItem]]:
    """Draw an SVG with its shorter side at `layout.image_pixels`.

    Raises:
        MediaError: It is too large, too slow, or can't be drawn.
    """
    with source.decoding(lambda: False):
        size = os.fstat(file.fileno()).st_size
        if size > MAX_SVG_BYTES:
            message = f"is an SVG of {size} bytes, and at most {MAX_SVG_BYTES} are drawn"
            raise source.error(Reason.TOO_LARGE, message)
        file.seek(0)
        data = file.read(MAX_SVG_BYTES)
        text = data.decode(bom_encoding(data) or "utf-8", "replace")
        sheet = measure(text)
        png = _draw(text, _target(sheet, layout.image_pixels), source)
        with PngImagePlugin.PngImageFile(io.BytesIO(png)) as image:
            image.load()
            pixels = np.array(flatten(image, layout.image_pixels))
    title = _TITLE.search(text)
    info = MediaInfo(
        Modality.IMAGE,
        source.kind.mime,
        width=max(1, round(sheet.width)) if sheet else None,
        height=max(1, round(sheet.height)) if sheet else None,
        title=clean_title(html.unescape(title["title"])) if title else None,
        caption=source.caption,
    )
    return info, iter((MediaItem(Modality.IMAGE, pixels),))


def measure(text: str) -> Sheet | None:
    """How large an SVG is by its root's width and height, or else its view box; None if unsaid."""
    root = _ROOT.search(text)
    if root is None:
        return None
    width, height = (_length(_attribute(root["attributes"], name)) for name in ("width", "height"))
    box = re.split(r"[\s,]+", (_attribute(root["attributes"], "viewBox") or "").strip())
    sides = [_length(side) for side in box[2:]] if len(box) == 4 else []
    box_width, box_height = sides if len(sides) == 2 else (None, None)
    if box_width and box_height:
        if width and not height:
            height = width * box_height / box_width
        elif height and not width:
            width = height * box_width / box_height
        elif not width:
            width, height = box_width, box_height
    return Sheet(width, height) if width and height else None


def _attribute(attributes: str, name: str) -> str | None:
    found = re.search(rf"""(?<![\w:-]){name}\s*=\s*(?:"([^"]*)"|'([^']*)')""", attributes)
    return (found[1] or found[2]) if found else None


def _length(text: str | None) -> float | None:
    found = _LENGTH.fullmatch(text or "")
    if found is None or found["unit"].lower() not in _PIXELS:
        return None
    pixels = float(found["number"]) * _PIXELS[found["unit"].lower()]
    return pixels if 0 < pixels < float("inf") else None


def _target(sheet: Sheet | None, pixels: int) -> tuple[int, int]:
    if sheet is None:
        return pixels, pixels
    scale = min(
        pixels / min(sheet.width, sheet.height),
        _MAX_STRETCH * pixels / max(sheet.width, sheet.height),
    )
    return max(1, round(sheet.width * scale)), max(1, round(sheet.height * scale))


def _draw(text: str, size: tuple[int, int], source: Source) -> bytes:
    # -P: the script's own folder holds a types.py, which must not hide Python's.
    command = [sys.executable, "-P", str(CHILD), *map(str, size), str(math.ceil(SECONDS))]
    try:
        done = subprocess.run(  # noqa: S603 - our own script, and numbers
            command,
            input=text.encode("utf-8", "replace"),
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        message = f"takes more than {SECONDS:g} seconds to draw"
        raise source.error(Reason.TIMED_OUT, message) from error
    if done.returncode == _NO_RENDERER:
        hint = "pip install resvg-py"
        raise source.error(Reason.UNSUPPORTED, "is an SVG, and resvg-py is missing", hint=hint)
    if done.returncode:
        raise _failure(done.returncode, done.stderr, source, is_cut=not _END.search(text[-1000:]))
    return done.stdout


def _failure(code: int, stderr: bytes, source: Source, *, is_cut: bool) -> MediaError:
    detail = " ".join(stderr.decode("utf-8", "replace").split())[:200]
    if code < 0 and signal.Signals(-code).name == "SIGXCPU":
        return source.error(Reason.TIMED_OUT, f"takes more than {SECONDS:g} seconds to draw")
    if "memory allocation" in detail:
        return source.error(Reason.TOO_LARGE, f"takes too much memory to draw: {detail}")
    if is_cut:
        return source.error(Reason.TRUNCATED, f"is cut short: {detail}")
    return source.error(Reason.DAMAGED, f"can't be drawn: {detail or f'exit code {code}'}")
