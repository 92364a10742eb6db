"""Photo-like images made from a seed, for benchmarks that may bring no files of their own."""

from pathlib import Path

import numpy as np

OCTAVES = 7
GRAIN = 7.0  # of 255: sensor noise, which is what fills a real JPEG


def write_photos(
    folder: Path, count: int, *, seed: int = 0, size: tuple[int, int] = (640, 480)
) -> list[Path]:
    """Write `count` different JPEG files with the file size and detail of web photos.

    Each is a sum of smooth colour fields, halving in size and strength (the 1/f spectrum of
    natural images), a few hard edges and grain.

    Args:
        folder: Made when absent; files are `photo00000.jpg` and on.
        count: How many files.
        seed: Equal seeds give equal pixels.
        size: Width and height.

    Raises:
        ValueError: `count` is less than 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"photo{number:05d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        pixels = photo(np.random.default_rng([seed, number]), size)
        Image.fromarray(pixels).save(path, quality=85)
    return paths


def photo(generator: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """One photo-like image of a width and height, as uint8 [height, width, 3]."""
    width, height = size
    coarse = np.full((2**OCTAVES, 2**OCTAVES, 3), 128.0, dtype=np.float32)
    for octave in range(OCTAVES):
        cells = 2 ** (octave + 1)
        field = generator.standard_normal((cells, cells, 3), dtype=np.float32) * 90 / 2**octave
        coarse += _resized(field + 128, (2**OCTAVES, 2**OCTAVES)) - 128
    canvas = _resized(coarse, size)
    for _ in range(6):
        left, top = generator.integers(width), generator.integers(height)
        right, bottom = left + generator.integers(20, 200), top + generator.integers(20, 200)
        canvas[top:bottom, left:right] += generator.normal(0.0, 30.0, size=3)
    canvas += generator.standard_normal((height, width, 1), dtype=np.float32) * GRAIN
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _resized(field: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A smooth enlargement, as float32; values are cut to 0..255 and rounded."""
    from PIL import Image

    image = Image.fromarray(np.clip(field, 0, 255).astype(np.uint8))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
