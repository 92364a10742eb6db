"""How long an encoder takes for each kind of media, against a matrix product as its floor.

Question: what does one item cost? Made media (seed 0) are encoded in batches, and a float32 product
of two 768 x 768 matrices is computed as often as takes about as long, turn about. Both are taken as
CPU time, so that other processes on the machine change little; what they share is the clock and the
caches. Reading: `products_per_item` says how many such products one item costs, which depends much
less on the machine than seconds do. `ratio` is that of images; `kinds` has all.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from time import process_time

import numpy as np

from omni_encoder import SAMPLE_RATE_HZ, Encoder, MediaItem, Modality

from .protocol import Request
from .system import SystemBenchmark
from .timing import machine, spread

SIDE = 768
_ITEMS = 8
_WORDS = ("a", "dog", "runs", "along", "a", "beach", "while", "two", "children", "watch", "it")


def run(request: Request) -> Mapping[str, object]:
    """Measure every modality that the encoder knows."""
    encoder = request.encoder()
    turns, count = (3, 2) if request.quick else (7, _ITEMS)
    generator = np.random.default_rng(request.seed)
    kinds: dict[str, object] = {}
    measured: dict[str, list[float]] = {}
    for number, modality in enumerate(encoder.spec.modalities):
        items = made_items(modality, encoder, generator, count=count)
        ratios = products_per_item(encoder, items, turns=turns)
        measured[modality] = ratios
        kinds[modality] = {"products_per_item": spread(ratios), "items": len(items)}
        if request.progress is not None:
            request.progress("Measuring", number + 1, len(encoder.spec.modalities))
    chosen = measured.get(Modality.IMAGE, next(iter(measured.values())))
    return {
        "encoder": {"name": encoder.spec.name, "fingerprint": encoder.spec.fingerprint},
        "ratio": statistics.median(chosen),
        "ratios": spread(chosen),
        "unit": f"CPU time of one item / of one {SIDE} x {SIDE} float32 matrix product",
        "kinds": kinds,
        "turns": turns,
        "machine": machine("omnidex", "torch", "numpy"),
    }


def made_items(
    modality: Modality, encoder: Encoder, generator: np.random.Generator, *, count: int
) -> list[MediaItem]:
    """Items as the encoder's layout has them, of one modality."""
    layout = encoder.spec.layout
    side = layout.image_pixels
    items: list[MediaItem] = []
    for _ in range(count):
        content: str | np.ndarray
        if modality is Modality.TEXT:
            content = " ".join(generator.permutation(_WORDS).tolist())
        elif modality is Modality.AUDIO:
            samples = int(layout.audio_part_s * SAMPLE_RATE_HZ)
            content = (generator.standard_normal(samples) * 0.1).astype(np.float32)
        else:
            frames = (layout.video_frames,) if modality is Modality.VIDEO else ()
            content = generator.integers(0, 256, size=(*frames, side, side, 3), dtype=np.uint8)
        items.append(MediaItem(modality, content))
    return items


def products_per_item(encoder: Encoder, items: Sequence[MediaItem], *, turns: int) -> list[float]:
    """What one item costs in matrix products, turn by turn; the first turn warms up."""
    matrix = np.ones((SIDE, SIDE), dtype=np.float32)
    encode = lambda: encoder.encode(items)  # noqa: E731
    cpu_seconds(encode)
    cpu_seconds(lambda: matrix @ matrix)
    once = max(cpu_seconds(lambda: matrix @ matrix), 1e-4)
    repeats = max(1, min(200, round(cpu_seconds(encode) / once)))

    def multiply() -> None:
        for _ in range(repeats):
            np.matmul(matrix, matrix)

    ratios: list[float] = []
    for turn in range(turns):
        if turn % 2:
            floor, ours = cpu_seconds(multiply), cpu_seconds(encode)
        else:
            ours, floor = cpu_seconds(encode), cpu_seconds(multiply)
        ratios.append(ours / len(items) / max(floor / repeats, 1e-9))
    return ratios


def cpu_seconds(action: Callable[[], object]) -> float:
    """CPU time of one call, over all threads of the process."""
    start = process_time()
    action()
    return process_time() - start


ENCODE = SystemBenchmark("encode", "One item of each kind against a matrix product", run)
