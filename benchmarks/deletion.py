"""Does the region that an explanation names matter more than others of its size?

Each photo of a split is asked for by its first caption. The region that `explain` would outline is
painted over, and so are five random regions of the same size: in the photo's mean colour, as the
explanation itself does, and with pixels drawn from the photo, which it never saw. Reading: by how
much the score sinks, and how often it sinks more than for a random region; one half is chance. The
last line is JSON.

Run: python -m omnidex_benchmarks.deletion MANIFEST SPLIT [PHOTOS]
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import Float32

from indexer.exact import centre_rows
from omni_encoder import Encoder, MediaItem, Modality
from omni_encoder.attribution import GRID, Region, Score, best_region, picture_influence

Paint = Callable[[np.ndarray, np.random.Generator], np.ndarray]
RANDOM = 5


@dataclass(frozen=True, slots=True)
class Deleted:
    """What painting over regions of one photo did to its score.

    Attributes:
        named: How much the score sank without the region that was named.
        random: The mean over random regions.
        beaten: The share of random regions that it sank less for.
        area: The share of the photo that the region covers.
    """

    named: float
    random: float
    beaten: float
    area: float


def mean_colour(pixels: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """One colour."""
    return np.broadcast_to(pixels.reshape(-1, 3).mean(axis=0).round(), pixels.shape)


def own_pixels(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The photo's pixels in another order."""
    return generator.permutation(pixels.reshape(-1, 3)).reshape(pixels.shape)


PAINTS: dict[str, Paint] = {"mean colour": mean_colour, "own pixels": own_pixels}


def deletion(
    encoder: Encoder, item: MediaItem, score: Score, paint: Paint, generator: np.random.Generator
) -> Deleted | None:
    """Paint over the best region and random ones; None if none is named, or all of the photo."""
    region = best_region(picture_influence(encoder, item, score))
    if region is None:
        return None
    size = round(GRID * (region.bottom - region.top)), round(GRID * (region.right - region.left))
    own = round(GRID * region.top), round(GRID * region.left)
    places = [
        (row, column)
        for row in range(GRID - size[0] + 1)
        for column in range(GRID - size[1] + 1)
        if (row, column) != own
    ]
    if not places:
        return None
    chosen = [places[i] for i in _shuffled(len(places), generator)[:RANDOM]]
    pixels = np.asarray(item.content)
    filled = paint(pixels, generator)
    painted = [_painted(pixels, filled, place, size) for place in (own, *chosen)]
    scores = score(encoder.encode([item, *painted]))
    falls = (scores[0] - scores[1:]).astype(np.float64)
    return Deleted(
        named=float(falls[0]),
        random=float(falls[1:].mean()),
        beaten=float((falls[0] > falls[1:]).mean()),
        area=_area(region),
    )


def main(manifest: Path, split: Path, photos: int) -> None:
    """Measure, and print what came out."""
    from omni_encoder import load_encoder
    from omni_encoder.media import open_media

    from .manifest import load_items

    encoder = load_encoder("omni", threads=1)
    assert encoder.means is not None  # the shipped one has them
    means = dict(zip(encoder.spec.modalities, encoder.means, strict=True))
    items = [
        item
        for item in load_items(manifest, split=split)
        if item.modality is Modality.IMAGE and item.captions
    ]
    generator = np.random.default_rng(0)
    found: dict[str, list[Deleted]] = {name: [] for name in PAINTS}
    for number in _shuffled(len(items), generator)[:photos]:
        text = encoder.encode([MediaItem(Modality.TEXT, items[number].captions[0])])
        query = centre_rows(text, means[Modality.TEXT])[0]

        def score(
            vectors: Float32[np.ndarray, "items dim"], query: np.ndarray = query
        ) -> Float32[np.ndarray, " items"]:
            return (centre_rows(vectors, means[Modality.IMAGE]) @ query).astype(np.float32)

        _, decoded = open_media(items[number].path, encoder.spec.layout)
        photo = next(iter(decoded))
        for name, paint in PAINTS.items():
            deleted = deletion(encoder, photo, score, paint, generator)
            if deleted is not None:
                found[name].append(deleted)
    document = {name: _summary(of_paint) for name, of_paint in found.items()}
    for name, summary in document.items():
        cells = "  ".join(f"{key} {value:.3f}" for key, value in summary.items())
        sys.stdout.write(f"{name:12} {cells}\n")
    sys.stdout.write(json.dumps(document) + "\n")


def _shuffled(count: int, generator: np.random.Generator) -> list[int]:
    return cast("list[int]", generator.permutation(count).tolist())


def _painted(
    pixels: np.ndarray, filled: np.ndarray, place: tuple[int, int], size: tuple[int, int]
) -> MediaItem:
    high, wide = pixels.shape[:2]
    rows = slice(round(place[0] * high / GRID), round((place[0] + size[0]) * high / GRID))
    columns = slice(round(place[1] * wide / GRID), round((place[1] + size[1]) * wide / GRID))
    changed = pixels.copy()
    changed[rows, columns] = filled[rows, columns]
    return MediaItem(Modality.IMAGE, changed)


def _area(region: Region) -> float:
    return (region.right - region.left) * (region.bottom - region.top)


def _summary(found: list[Deleted]) -> dict[str, float]:
    """Means, and an interval of the difference that holds it with 95% (1,000 draws of photos)."""
    table = np.array([(one.named, one.random, one.beaten, one.area) for one in found])
    differences = table[:, 0] - table[:, 1]
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, len(table), (1000, len(table)))
    low, high = np.percentile(differences[drawn].mean(axis=1), [2.5, 97.5])
    names = ("named", "random", "beaten", "area")
    means = dict(zip(names, table.mean(axis=0).tolist(), strict=True))
    return {"photos": float(len(table))} | means | {"least": float(low), "most": float(high)}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 100)
