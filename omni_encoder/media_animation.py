"""Animated GIF, PNG, WebP and AVIF, as short videos.

Pillow decodes them, not FFmpeg: it knows all four, and puts frames together as browsers do.
"""

from collections.abc import Iterator

import numpy as np
from PIL import ImageFile

from .media_info import MediaInfo, Reason, Source, clean_title, open_file
from .media_pixels import flatten, open_plugin
from .media_structure import is_cut_short
from .media_times import even_parts, slot_centres
from .types import MediaItem, MediaLayout, Modality, Span

# Frames times their size; ten times as much as a minute of full HD at 25 frames a second.
MAX_TOTAL_PIXELS = 30_000_000_000

_SHORTEST_MS, _DEFAULT_MS = 10.0, 100.0  # browsers show anything shorter for the default


def open_animation(
    image: ImageFile.ImageFile, source: Source, layout: MediaLayout
) -> tuple[MediaInfo, Iterator[MediaItem]]:
    """Look through an animation for its timing; its frames are decoded as they are asked for.

    Raises:
        MediaError: It is too large, or none of its frames can be decoded.
    """
    width, height = image.size
    source.check_pixels(width, height)
    ends, is_partial = _frame_ends(image, source)
    title = image.info.get("Title")
    info = MediaInfo(
        Modality.VIDEO,
        "image/apng" if source.kind.decoder == "png" else source.kind.mime,
        width=width,
        height=height,
        duration=float(ends[-1]),
        title=clean_title(title) if isinstance(title, str) else None,
        caption=source.caption,
        partial=is_partial,
    )
    return info, _parts(source, layout, ends)


def _frame_ends(image: ImageFile.ImageFile, source: Source) -> tuple[np.ndarray, bool]:
    # When each frame ends, in seconds, and whether frames are missing. As in other videos, what
    # can be decoded counts.
    durations: list[float] = []
    most = MAX_TOTAL_PIXELS // (image.width * image.height)
    try:
        while len(durations) <= most:
            image.seek(len(durations))
            image.load()
            durations.append(_duration_ms(image) / 1000)
    except EOFError:
        is_partial = len(durations) < getattr(image, "n_frames", 0)
    except Exception:
        if not durations:
            raise
        is_partial = True
    else:
        raise source.error(Reason.TOO_LARGE, f"has more than {most} frames of its size")
    return np.cumsum(durations), is_partial


def _duration_ms(image: ImageFile.ImageFile) -> float:
    duration = image.info.get("duration", 0)
    known = isinstance(duration, int | float) and duration > _SHORTEST_MS
    return float(duration) if known else _DEFAULT_MS


def _parts(source: Source, layout: MediaLayout, ends: np.ndarray) -> Iterator[MediaItem]:
    path, decoder = source.path, source.kind.decoder
    with (
        open_file(path) as file,
        source.decoding(lambda: is_cut_short(file, decoder)),
    ):
        image = open_plugin(file, source)
        for part, (start, end) in enumerate(even_parts(float(ends[-1]), layout.video_part_s)):
            centres = slot_centres(start, end, layout.video_frames)
            shown = np.minimum(np.searchsorted(ends, centres, side="right"), len(ends) - 1)
            frames: list[np.ndarray] = []
            for frame in dict.fromkeys(shown.tolist()):
                image.seek(frame)
                image.load()
                frames.append(flatten(image, layout.image_pixels))
            yield MediaItem(Modality.VIDEO, np.stack(frames), part, Span(start, end))
