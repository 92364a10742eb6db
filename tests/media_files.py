"""Media files that tests make for themselves: pictures, tones and clips with known content."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

RATE_HZ = 44_100
# What each corner of a marked picture shows: turning it wrongly swaps them.
CORNERS = {
    "top left": (220, 30, 30),
    "top right": (30, 200, 40),
    "bottom left": (30, 40, 220),
    "bottom right": (230, 220, 40),
}


def marked_picture(width: int = 320, height: int = 240) -> np.ndarray:
    """A picture of four quarters, one colour each, as uint8 [height, width, 3]."""
    colours = np.array(list(CORNERS.values()), dtype=np.uint8).reshape(2, 2, 3)
    rows = np.repeat(np.arange(2), [height // 2, height - height // 2])
    columns = np.repeat(np.arange(2), [width // 2, width - width // 2])
    return colours[rows][:, columns]


def noise_picture(width: int = 320, height: int = 240, *, seed: int = 0) -> np.ndarray:
    """A picture that doesn't compress well, so that its data fill most of its file."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 255, size=(height, width, 3), dtype=np.uint8)


def corner_colours(picture: np.ndarray) -> dict[str, str]:
    """Which corner of a marked picture each corner of this one shows."""
    height, width = picture.shape[:2]
    at = {
        name: (
            height // 4 * (3 if "bottom" in name else 1),
            width // 4 * (3 if "right" in name else 1),
        )
        for name in CORNERS
    }
    return {
        name: min(
            CORNERS,
            key=lambda corner: np.abs(picture[y, x].astype(int) - CORNERS[corner]).sum(),
        )
        for name, (y, x) in at.items()
    }


UPRIGHT = {corner: corner for corner in CORNERS}


def tone(duration: float, *, hertz: float = 440.0, rate: int = RATE_HZ) -> np.ndarray:
    """A sine at half volume, float32."""
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(duration * rate)) / rate)).astype(
        np.float32
    )


def write_audio(
    path: Path,
    samples: np.ndarray,
    *,
    codec: str,
    rate: int = RATE_HZ,
    title: str | None = None,
    **options: str,
) -> Path:
    """Encode mono samples as stereo; `options` go to the container."""
    with av.open(str(path), "w", options=options) as container:
        if title:
            container.metadata["title"] = title
        stream = container.add_stream(codec, rate=rate)
        stream.layout = "stereo"
        resampler = av.AudioResampler(stream.codec_context.format, "stereo", rate)
        for start in range(0, len(samples), 1024):
            block = np.tile(samples[start : start + 1024], (2, 1))
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            for resampled in resampler.resample(frame):
                container.mux(stream.encode(resampled))
        for resampled in resampler.resample(None):
            container.mux(stream.encode(resampled))
        container.mux(stream.encode(None))
    return path


def grey_of_frame(number: int) -> int:
    """How bright the frame of this number is, in `write_video`'s clips."""
    return (number * 7) % 251


def write_video(
    path: Path,
    frames: int,
    *,
    codec: str = "libx264",
    fps: int = 10,
    keyframe_every: int = 10,
    size: tuple[int, int] = (96, 64),
    picture: np.ndarray | None = None,
    is_noisy: bool = False,
    turned: float = 0.0,
    title: str | None = None,
    **options: str,
) -> Path:
    """Encode a clip whose every frame has a grey of its own, or shows `picture`, or noise."""
    width, height = size if picture is None else (picture.shape[1], picture.shape[0])
    with av.open(str(path), "w", options=options) as container:
        if title:
            container.metadata["title"] = title
        tuning = {"x264-params": "scenecut=0:log-level=none"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=fps, options=tuning)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = keyframe_every
        if turned:
            stream.set_display_rotation(turned)
        for number in range(frames):
            pixels = picture
            if pixels is None:
                pixels = np.full((height, width, 3), grey_of_frame(number), dtype=np.uint8)
            if is_noisy:
                pixels = noise_picture(width, height, seed=number)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_animation(path: Path, greys: list[int], *, duration_ms: int) -> Path:
    """An animated GIF, WebP, PNG or AVIF of plain grey frames."""
    frames = [Image.new("RGB", (64, 48), (grey,) * 3) for grey in greys]
    lossless = {"lossless": True} if path.suffix == ".webp" else {}
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=duration_ms, loop=0, **lossless
    )
    return path


def cut(path: Path, share: float) -> Path:
    """Cut a file to a share of its length, as a broken download does."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path
