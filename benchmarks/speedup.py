"""How much faster `omni` encodes on this CPU than the same network run without a thought for speed.

Question: what do fused convolutions, bfloat16 products, length bucketing and unpadded texts bring,
and do they change the vectors? The baseline is the same checkpoint in plain float32 torch: modules
as they are, memory in torch's own order, texts padded to the model's limit, the same batch. Both
encode the same batch turn about on one thread; times are CPU times.

Reading. `ratio` is the baseline's time over ours. `text_unpadded` has a baseline that pads texts to
the longest of their batch only. `cosine` is the smallest between an item's two vectors. With a
folder of media, `agreement` says for how many items as queries the ten nearest of each modality are
the same set with either encoder.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from omni_encoder import Encoder, MediaError, MediaItem, Modality, load_encoder
from omni_encoder.media import guess_modality, is_sidecar, open_media

from .encode import cpu_seconds, made_items
from .timing import machine, spread

TARGETS = {"image": 1.8, "text": 4.0}
TARGET_COSINE = 0.997
TARGET_AGREEMENT = 0.99
_NEAREST = 10


@dataclass(frozen=True, slots=True)
class SpeedupBenchmark:
    """What to measure.

    Attributes:
        batch: How many items are encoded at once.
        turns: How often; one more warms up.
        seed: Of the made items.
        folder: Media to compare the vectors of; None compares those of the made items only.
        most: How many items of each modality are compared.
        progress: Called with turns done and turns in all.
    """

    batch: int = 16
    turns: int = 5
    seed: int = 0
    folder: Path | None = None
    most: int = 200
    progress: Callable[[int, int], None] | None = None

    def __post_init__(self) -> None:
        for name in ("batch", "turns", "most"):
            value: int = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")


def run(options: SpeedupBenchmark | None = None) -> dict[str, object]:
    """Measure the shipped model.

    Returns:
        A JSON object; `kinds` has the ratios.
    """
    from omni_encoder.naive import NaiveEncoder

    options = options or SpeedupBenchmark()
    ours = load_encoder("omni", threads=1)
    naive, unpadded = NaiveEncoder(), NaiveEncoder(pads_to_limit=False)
    pairs: list[tuple[str, Modality, Encoder]] = [
        ("image", Modality.IMAGE, naive),
        ("text", Modality.TEXT, naive),
        ("text_unpadded", Modality.TEXT, unpadded),
        ("audio", Modality.AUDIO, naive),
    ]
    kinds: dict[str, object] = {}
    for number, (name, modality, baseline) in enumerate(pairs):
        generator = np.random.default_rng(options.seed)
        items = made_items(modality, ours, generator, count=options.batch)
        kinds[name] = _compare(ours, baseline, items, turns=options.turns)
        if name in TARGETS:
            kinds[f"target_{name}"] = TARGETS[name]
        if options.progress is not None:
            options.progress(number + 1, len(pairs))
    result: dict[str, object] = {
        "schema": 1,
        "encoder": {"name": ours.spec.name, "fingerprint": ours.spec.fingerprint},
        "batch": options.batch,
        "turns": options.turns,
        "kinds": kinds,
    }
    if options.folder is not None:
        result["agreement"] = agreement(
            ours, unpadded, read_items(options.folder, ours, options.most)
        )
    return result | {"machine": machine("omnidex", "torch", "numpy")}


def _compare(
    ours: Encoder, baseline: Encoder, items: Sequence[MediaItem], *, turns: int
) -> dict[str, object]:
    pairs: list[tuple[float, float]] = []
    for turn in range(turns + 1):
        if turn % 2:
            fast = cpu_seconds(lambda: ours.encode(items))
            slow = cpu_seconds(lambda: baseline.encode(items))
        else:
            slow = cpu_seconds(lambda: baseline.encode(items))
            fast = cpu_seconds(lambda: ours.encode(items))
        pairs.append((slow, fast))
    measured = pairs[1:]
    cosines = _cosines(ours.encode(items), baseline.encode(items))
    return {
        "ratio": spread([slow / fast for slow, fast in measured]),
        "ms": 1000 * statistics.median(fast for _, fast in measured) / len(items),
        "naive_ms": 1000 * statistics.median(slow for slow, _ in measured) / len(items),
        "cosine": float(cosines.min()),
    }


def read_items(folder: Path, encoder: Encoder, most: int) -> dict[Modality, list[MediaItem]]:
    """The first parts of the media in a folder, at most so many of each modality; by path."""
    found: dict[Modality, list[MediaItem]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        guess = guess_modality(path)
        if guess is None or len(found[guess]) >= most or is_sidecar(path) or not path.is_file():
            continue
        try:
            info, items = open_media(path, encoder.spec.layout)
            found[info.modality] += islice(items, 1)
        except MediaError:
            continue
    return {modality: items for modality, items in found.items() if items}


def agreement(
    ours: Encoder, baseline: Encoder, items: dict[Modality, list[MediaItem]]
) -> dict[str, object]:
    """How near the vectors of two encoders are, and whether they find the same."""
    vectors = {kind: ours.encode(some) for kind, some in items.items()}
    exact = {
        kind: np.concatenate([baseline.encode([item]) for item in some])
        for kind, some in items.items()
    }
    same: list[bool] = []
    overlap: list[float] = []
    for kind in items:
        for other, there in vectors.items():
            if len(there) <= _NEAREST:
                continue
            found = _nearest(vectors[kind], there, itself=kind is other)
            wanted = _nearest(exact[kind], exact[other], itself=kind is other)
            shares = [len(a & b) / _NEAREST for a, b in zip(found, wanted, strict=True)]
            same += [share == 1 for share in shares]
            overlap += shares
    return {
        "items": {str(kind): len(some) for kind, some in items.items()},
        "cosine": {str(kind): float(_cosines(vectors[kind], exact[kind]).min()) for kind in items},
        "target_cosine": TARGET_COSINE,
        "queries": len(same),
        "same_top_10": float(np.mean(same)) if same else None,
        "overlap_top_10": float(np.mean(overlap)) if overlap else None,
        "target_same_top_10": TARGET_AGREEMENT,
    }


def _nearest(
    queries: Float32[np.ndarray, "queries dim"],
    vectors: Float32[np.ndarray, "items dim"],
    *,
    itself: bool,
) -> list[set[int]]:
    scores = queries @ vectors.T
    if itself:
        np.fill_diagonal(scores, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :_NEAREST]
    return [set(row) for row in order.tolist()]


def _cosines(
    a: Float32[np.ndarray, "items dim"], b: Float32[np.ndarray, "items dim"]
) -> Float32[np.ndarray, " items"]:
    return np.einsum("id,id->i", a, b)
