"""Recordings and clips made from a seed, for benchmarks that may bring no files of their own."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE_HZ = 44_100
FRAMES_PER_S = 24
KEYFRAME_EVERY = 48
_SCENE_FRAMES = 5 * FRAMES_PER_S
_BLOCK = 1152  # what an MP3 encoder takes at once


def write_sounds(folder: Path, count: int, *, seed: int = 0, seconds: float = 60.0) -> list[Path]:
    """Write `count` different MP3 files in stereo: chords over noise, 128 kbit a second.

    Args:
        folder: Made when absent; files are `sound00000.mp3` and on.
        count: How many files.
        seed: Equal seeds give equal samples.
        seconds: How long each is.

    Raises:
        ValueError: `count` is less than 1.
    """
    paths = _paths(folder, "sound", "mp3", count)
    for number, path in enumerate(paths):
        generator = np.random.default_rng([seed, number, 1])
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libmp3lame", rate=RATE_HZ)
            stream.layout = "stereo"
            notes = generator.uniform(110, 1760, (round(seconds) + 1, 3, 1))
            for start in range(0, round(seconds * RATE_HZ), _BLOCK):
                times = np.arange(start, start + _BLOCK) / RATE_HZ
                chord = 0.1 * np.sin(2 * np.pi * notes[start // RATE_HZ] * times).sum(axis=0)
                samples = chord + 0.05 * generator.standard_normal((2, _BLOCK))
                frame = av.AudioFrame.from_ndarray(
                    samples.astype(np.float32), format="fltp", layout="stereo"
                )
                frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return paths


def write_clips(
    folder: Path,
    count: int,
    *,
    seed: int = 0,
    seconds: float = 20.0,
    size: tuple[int, int] = (640, 360),
) -> list[Path]:
    """Write `count` different H.264 files: a view that moves over a photo, cut every five seconds.

    Args:
        folder: Made when absent; files are `clip00000.mp4` and on.
        count: How many files.
        seed: Equal seeds give equal frames.
        seconds: How long each is, a multiple of five, at 24 frames a second with a keyframe every
            two seconds.
        size: Width and height, even numbers.

    Raises:
        ValueError: `count` is less than 1.
    """
    from .synthetic import photo

    width, height = size
    paths = _paths(folder, "clip", "mp4", count)
    for number, path in enumerate(paths):
        generator = np.random.default_rng([seed, number, 2])
        with av.open(str(path), "w") as container:
            options = {"preset": "ultrafast", "x264-params": "scenecut=0:log-level=none"}
            stream = container.add_stream("libx264", rate=FRAMES_PER_S, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.gop_size = KEYFRAME_EVERY
            for start in range(0, round(seconds * FRAMES_PER_S), _SCENE_FRAMES):
                view = photo(generator, (width + _SCENE_FRAMES, height))
                for step in range(_SCENE_FRAMES):
                    pixels = view[:, step : step + width].copy()
                    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                    frame.pts = start + step
                    container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return paths


def _paths(folder: Path, name: str, suffix: str, count: int) -> list[Path]:
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    folder.mkdir(parents=True, exist_ok=True)
    return [folder / f"{name}{number:05d}.{suffix}" for number in range(count)]
