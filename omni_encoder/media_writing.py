"""Decoded items out to files: pictures, sounds and short videos, by the file's suffix."""

import wave
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import numpy as np

from .errors import OmniError
from .types import SAMPLE_RATE_HZ, MediaItem, Modality

WRITABLE = MappingProxyType(
    {
        Modality.TEXT: (".txt",),
        Modality.IMAGE: (".png", ".jpg", ".jpeg", ".webp", ".bmp"),
        Modality.AUDIO: (".wav",),
        Modality.VIDEO: (".gif", ".webp", ".png", ".mp4", ".webm"),
    }
)


class WritingError(OmniError):
    """An item can't be written to the file that was named."""


def check_writable(modality: Modality, path: Path) -> None:
    """Find out whether a file's name suits a modality, before work is spent on its content.

    Raises:
        WritingError: Its suffix is of no format that items of this modality are written in, or its
            folder is missing.
    """
    if path.suffix.lower() not in WRITABLE[modality]:
        raise WritingError(
            f"{path.name} can't hold {modality}", hint=f"use {', '.join(WRITABLE[modality])}"
        )
    if not path.absolute().parent.is_dir():
        raise WritingError(f"there is no folder {path.parent}", hint="make it first")


def write_item(item: MediaItem, path: Path, *, frames_per_s: float = 4.0) -> None:
    """Write an item, whole or not at all; a file that is there is replaced.

    Args:
        item: What to write.
        path: Its suffix says the format; see `WRITABLE`.
        frames_per_s: Of a video.

    Raises:
        WritingError: See `check_writable`.
    """
    check_writable(item.modality, path)
    unfinished = path.with_name(f".{path.stem}.partial{path.suffix.lower()}")
    writers: dict[Modality, Callable[[], None]] = {
        Modality.TEXT: lambda: _write_text(str(item.content), unfinished),
        Modality.IMAGE: lambda: _write_image(np.asarray(item.content), unfinished),
        Modality.AUDIO: lambda: _write_sound(np.asarray(item.content), unfinished),
        Modality.VIDEO: lambda: _write_video(np.asarray(item.content), unfinished, frames_per_s),
    }
    try:
        writers[item.modality]()
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _write_text(text: str, path: Path) -> None:
    path.write_text(f"{text}\n", encoding="utf-8")


def _write_image(pixels: np.ndarray, path: Path) -> None:
    from PIL import Image

    Image.fromarray(pixels).save(path)


def _write_sound(samples: np.ndarray, path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes((samples.clip(-1, 1) * 32767).round().astype("<i2").tobytes())


def _write_video(frames: np.ndarray, path: Path, frames_per_s: float) -> None:
    if path.suffix in (".mp4", ".webm"):
        _write_film(frames, path, frames_per_s)
        return
    from PIL import Image

    first, *rest = map(Image.fromarray, frames)
    milliseconds = round(1000 / frames_per_s)
    first.save(path, save_all=True, append_images=rest, duration=milliseconds, loop=0)


def _write_film(frames: np.ndarray, path: Path, frames_per_s: float) -> None:
    from fractions import Fraction

    import av

    with av.open(str(path), "w") as container:
        codec = "mpeg4" if path.suffix == ".mp4" else "libvpx-vp9"
        stream = container.add_stream(codec, rate=Fraction(frames_per_s).limit_denominator(1000))
        # Chroma is halved in both directions, so sides must be even.
        stream.height, stream.width = (side // 2 * 2 for side in frames.shape[1:3])
        stream.pix_fmt = "yuv420p"
        for pixels in frames:
            cut = np.ascontiguousarray(pixels[: stream.height, : stream.width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(cut, format="rgb24")))
        container.mux(stream.encode())
