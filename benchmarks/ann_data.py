"""Vectors to measure search with: a made mixture, or a collection's own, extended to any number.

Both have what makes search across modalities hard: a gap between images and texts, neighbourhoods
of uneven density, and energy that is concentrated on some axes.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float32, Float64

from indexer import Collection
from indexer.exact import centre_rows
from omni_encoder import OmniError

TOPICS = 2000
TUNING = 100
"""So many texts are for tuning; they are not among the queries."""
NEIGHBOURS = 10
BLOCK_ROWS = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Images to search, and centred unit queries of their kind and of another.

    Attributes:
        images: As the encoder would make them, not centred, in half precision.
        mean: Their mean.
        within: Centred images that are not among `images`.
        across: Centred texts.
        strangers: Other centred texts, to tune by.
    """

    images: np.ndarray
    mean: Float32[np.ndarray, " dim"]
    within: Float32[np.ndarray, "queries dim"]
    across: Float32[np.ndarray, "queries dim"]
    strangers: Float32[np.ndarray, "strangers dim"]


def make_mixture(rows: int, dim: int, queries: int, *, seed: int = 0) -> Vectors:
    """Images around topics, and texts around the same topics in another region of the space."""
    generator = np.random.default_rng(seed)
    weights = 1 / np.arange(1, TOPICS + 1)
    # As in CLIP-like encoders: the first 64 of 512 axes hold 82% of the energy.
    scales = np.arange(1, dim + 1) ** -0.6
    topics = generator.standard_normal((TOPICS, dim)) * scales
    topics /= np.linalg.norm(topics, axis=1, keepdims=True)
    gaps = generator.standard_normal((3, dim))
    gaps /= np.linalg.norm(gaps, axis=1, keepdims=True)
    # Cosines are about 0.5 within a modality and 0.17 across, unless the topic is the same.
    gaps = 0.34**0.5 * gaps[2] + 0.66**0.5 * gaps[:2]

    def draw(count: int, kind: int) -> np.ndarray:
        made = np.empty((count, dim), np.float16)
        for start in range(0, count, 8192):
            few = min(8192, count - start)
            chosen = generator.choice(TOPICS, few, p=weights / weights.sum())
            noise = generator.standard_normal((few, dim)) * scales
            noise *= 0.8 / np.linalg.norm(noise, axis=1, keepdims=True)
            block = gaps[kind] + 0.6 * topics[chosen] + noise
            made[start : start + few] = block / np.linalg.norm(block, axis=1, keepdims=True)
        return made

    images, others, texts = draw(rows, 0), draw(queries, 0), draw(queries + 1000, 1)
    mean = images[:50_000].mean(axis=0, dtype=np.float64).astype(np.float32)
    text_mean = texts.mean(axis=0, dtype=np.float64).astype(np.float32)
    return Vectors(
        images,
        mean,
        centre_rows(others.astype(np.float32), mean),
        centre_rows(texts[:queries].astype(np.float32), text_mean),
        centre_rows(texts[queries:][:TUNING].astype(np.float32), text_mean),
    )


def extend(directory: Path, rows: int, queries: int, *, seed: int = 0) -> Vectors:
    """Images between and around the images of a collection; its texts, as they are, are queries.

    A new image lies somewhere between an image and one of its 10 nearest, and off that line by
    noise with the covariance that neighbours' differences have.

    Raises:
        OmniError: The collection has too few images or texts.
    """
    found, texts = _own(directory)
    if len(found) < 10 * NEIGHBOURS or len(texts) < 2 * TUNING:
        raise OmniError(
            f"{len(found)} images and {len(texts)} texts are too few to draw others around them",
            hint=f"name a collection with {10 * NEIGHBOURS} images and {2 * TUNING} texts",
        )
    generator = np.random.default_rng(seed)
    near = _neighbours(found)
    pairs = found[:, None] - found[near]
    differences = pairs.reshape(-1, found.shape[1])
    covariance = differences.T @ differences / len(differences) + 1e-9 * np.eye(found.shape[1])
    spread = np.linalg.cholesky(covariance / 2).T

    def draw(count: int) -> np.ndarray:
        made = np.empty((count, found.shape[1]), np.float16)
        for start in range(0, count, BLOCK_ROWS):
            few = min(BLOCK_ROWS, count - start)
            chosen = generator.integers(len(found), size=few)
            which = generator.integers(NEIGHBOURS, size=few)
            block = found[chosen] - generator.random((few, 1)) * pairs[chosen, which]
            block += generator.standard_normal(block.shape) @ spread
            made[start : start + few] = block / np.linalg.norm(block, axis=1, keepdims=True)
        return made

    images, others = draw(rows), draw(queries)
    mean = images.mean(axis=0, dtype=np.float64).astype(np.float32)
    texts = generator.permutation(texts).astype(np.float32)
    centred = centre_rows(texts, texts.mean(axis=0))
    return Vectors(
        images,
        mean,
        centre_rows(others.astype(np.float32), mean),
        centred[TUNING:][:queries],
        centred[:TUNING],
    )


def _own(directory: Path) -> tuple[Float64[np.ndarray, "images dim"], np.ndarray]:
    """The different images and texts of a collection."""
    from indexer.transfer import Form, export

    with Collection.open(directory) as collection, TemporaryDirectory() as name:
        folder = Path(name) / "vectors"
        export(collection, folder, Form.NUMPY)
        parts = [folder / f"{kind}.npy" for kind in ("image", "text")]
        dim = collection.spec.dim
        loaded = [np.load(part) if part.exists() else np.zeros((0, dim)) for part in parts]
    images, texts = (np.unique(one, axis=0).astype(np.float64) for one in loaded)
    return images, texts


def _neighbours(rows: Float64[np.ndarray, "rows dim"]) -> np.ndarray:
    """The numbers of the 10 nearest others of each row."""
    scores = rows @ rows.T
    np.fill_diagonal(scores, -np.inf)
    return np.argpartition(-scores, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
