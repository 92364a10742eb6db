"""Small pictures of single parts of files: an image, a frame, or the outline of a sound.

They are for people to look at, so they are quick rather than exact: a video is entered at the
keyframe nearest to the middle of the part, and a long recording by a seek.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from .media import open_media, source_of
from .media_info import Reason
from .types import SAMPLE_RATE_HZ, MediaItem, MediaLayout, Modality, Span

if TYPE_CHECKING:
    from .media_info import Source

WIDTH, HEIGHT = 256, 192
"""The largest picture, in pixels."""

_SOUND_HEIGHT = 64
_QUALITY = 75
_GROUND = (22, 24, 29)
_HEARD_HZ = (100.0, 6000.0)
# From low to high sounds; each stands out from the dark ground, for the colour-blind too.
_COLOURS = np.array([(75, 105, 220), (40, 175, 190), (130, 205, 90), (250, 200, 60)], np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Indexed:
    """A picture of few colours.

    Attributes:
        indices: The colour of each pixel.
        colours: Red, green and blue of each.
    """

    indices: UInt8[np.ndarray, "height width"]
    colours: UInt8[np.ndarray, "colours 3"]


def picture_of(path: Path, modality: Modality, *, part: int = 0, span: Span | None = None) -> bytes:
    """A picture of one part of a file, as WebP, at most `WIDTH` by `HEIGHT` pixels large.

    Args:
        path: The file.
        modality: What the file was indexed as.
        part: Which of its images, for a file that holds several.
        span: Which stretch of sound or video; None stands for its first ten seconds.

    Raises:
        MediaError: It can't be decoded, or has no such part.
        ValueError: `modality` is text, which has no picture.
    """
    if modality is Modality.TEXT:
        raise ValueError("a text has no picture; show its first lines")
    if modality is Modality.AUDIO:
        picture = _sound_picture(path, span or Span(0.0, 10.0))
    else:
        pixels = _image(path, part) if modality is Modality.IMAGE else _frame(path, span)
        picture = Image.fromarray(pixels)
        picture.thumbnail((WIDTH, HEIGHT))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=_QUALITY, method=4)
    return buffer.getvalue()


def pixels_of(
    picture: bytes, *, width: int, height: int, fill: bool = False
) -> UInt8[np.ndarray, "height width 3"]:
    """The pixels of a picture, scaled to fit into a box.

    Args:
        picture: What `picture_of` made.
        width: Of the box.
        height: Of the box.
        fill: Whether it is made exactly as large as the box.

    Raises:
        ValueError: The bytes are no picture.
    """
    try:
        with Image.open(io.BytesIO(picture)) as opened:
            image = opened.convert("RGB")
    # Pillow raises anything on bytes that are no picture.
    except Exception as error:
        raise ValueError(f"{len(picture)} bytes are no picture: {error}") from error
    scale = min(width / image.width, height / image.height)
    fitted = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(
        image.resize((width, height) if fill else fitted, Image.Resampling.LANCZOS), np.uint8
    )


def indexed(pixels: UInt8[np.ndarray, "height width 3"], *, colours: int) -> Indexed:
    """The same picture in at most `colours` colours, 2 to 256, chosen to suit it."""
    reduced = Image.fromarray(pixels).quantize(colours)
    palette = np.asarray(reduced.getpalette() or [], np.uint8).reshape(-1, 3)
    return Indexed(np.asarray(reduced, np.uint8), palette)


def outline(samples: Float32[np.ndarray, " samples"]) -> UInt8[np.ndarray, "height width 3"]:
    """A sound as loudness over time, coloured by whether it is low (blue) or high (yellow).

    The loudest moment fills the height, so quiet recordings can be seen too.
    """
    padded = np.pad(samples, (0, max(0, WIDTH * 64 - len(samples))))
    columns = padded[: len(padded) // WIDTH * WIDTH].reshape(WIDTH, -1)
    peaks = np.abs(columns).max(axis=1)
    spectra = np.abs(np.fft.rfft(columns * np.hanning(columns.shape[1]), axis=1)) ** 2
    hertz = np.fft.rfftfreq(columns.shape[1], 1 / SAMPLE_RATE_HZ)
    centres = (spectra @ hertz) / np.maximum(spectra.sum(axis=1), 1e-12)
    low, high = np.log(_HEARD_HZ)
    place = (np.log(np.maximum(centres, 1.0)) - low) / (high - low)
    steps = np.clip(place, 0, 1) * (len(_COLOURS) - 1)
    # Between two colours of the scale, by how far it is from the one to the other.
    below = np.minimum(steps.astype(int), len(_COLOURS) - 2)
    share = (steps - below)[:, None]
    colours = _COLOURS[below] * (1 - share) + _COLOURS[below + 1] * share
    heights = np.maximum(peaks / max(float(peaks.max()), 1e-4), 1 / _SOUND_HEIGHT)
    rows = np.abs(np.arange(_SOUND_HEIGHT) + 0.5 - _SOUND_HEIGHT / 2)
    inside = rows[:, None] <= heights[None, :] * _SOUND_HEIGHT / 2
    return np.where(inside[..., None], colours[None], _GROUND).astype(np.uint8)


def _image(path: Path, part: int) -> np.ndarray:
    _, items = open_media(path, MediaLayout(image_pixels=HEIGHT))
    return _content(next((item for item in items if item.part == part), None), path)


def _frame(path: Path, span: Span | None) -> np.ndarray:
    source = source_of(path)
    if source.kind.modality is Modality.IMAGE:  # an animation
        seconds = 10.0 if span is None else span.end - span.start
        layout = MediaLayout(image_pixels=HEIGHT, video_frames=1, video_part_s=seconds)
        _, items = open_media(path, layout)
        start = 0.0 if span is None else span.start
        near = (item for item in items if item.span and item.span.end > start + seconds / 2)
        return _content(next(near, None), path)[0]
    from .media_av import is_cut, open_container, require_decoder
    from .media_frames import FrameReader, to_pixels

    with source.decoding(lambda: is_cut(source)), open_container(source) as container:
        if not container.streams.video:
            raise source.error(Reason.NO_VIDEO, "has no picture track")
        stream = container.streams.video[0]
        require_decoder(stream, source)
        source.check_pixels(stream.codec_context.width, stream.codec_context.height)
        reader = FrameReader(container, stream)
        first = reader.first()
        if first is None:
            raise source.error(Reason.EMPTY, "holds no frame")
        reader.find_keyframes()
        shot = None if span is None else reader.shot_in(span.start, span.end)
        return to_pixels(shot.frame if shot else first, reader.size, HEIGHT)


def _sound_picture(path: Path, span: Span) -> Image.Image:
    from .media_audio import samples_between
    from .media_av import is_cut, open_container, require_decoder

    source: Source = source_of(path)
    with source.decoding(lambda: is_cut(source)), open_container(source) as container:
        if not container.streams.audio:
            raise source.error(Reason.NO_AUDIO, "has no sound track")
        stream = container.streams.audio[0]
        require_decoder(stream, source)
        return Image.fromarray(outline(samples_between(container, stream, span)))


def _content(item: MediaItem | None, path: Path) -> np.ndarray:
    if item is None or isinstance(item.content, str):
        raise source_of(path).error(Reason.EMPTY, "has no such part")
    return item.content
