"""Exact nearest neighbours by cosine: the reference that every other index is judged by.

The cost is one matrix product, so it is also the right index for small collections.
"""

import numpy as np

from omni_encoder.arrays import Float16, Float32, Int64

MARGIN = 1e-5
"""More than float32 can be wrong by in the dot product of two unit vectors."""


def unit(vector: Float32[np.ndarray, " dim"], dim: int) -> Float32[np.ndarray, " dim"]:
    """A vector of length 1 in the same direction.

    Raises:
        ValueError: The vector is zero or not finite, or hasn't `dim` numbers.
    """
    if vector.shape != (dim,):
        raise ValueError(f"a vector must have {dim} numbers, got {vector.shape}")
    norm = float(np.linalg.norm(vector))
    if not 0 < norm < np.inf:
        raise ValueError(f"a vector must be finite and not zero, its length is {norm}")
    return (vector / norm).astype(np.float32)


def centre_rows(
    vectors: Float32[np.ndarray, "items dim"], mean: Float32[np.ndarray, " dim"]
) -> Float32[np.ndarray, "items dim"]:
    """Subtract a mean and bring every row back to unit length; a row equal to the mean is zero."""
    centred = vectors - mean
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    # Below this, what is left is rounding of the stored vectors, not a direction.
    return np.where(norms > MARGIN, centred / np.maximum(norms, MARGIN), 0).astype(np.float32)


def cosines(
    query: Float32[np.ndarray, " dim"],
    vectors: Float16[np.ndarray, "items dim"],
    mean: Float32[np.ndarray, " dim"],
) -> Float32[np.ndarray, " items"]:
    """Scores of stored vectors, less a mean; in double precision, so that equal ones score equal.

    Args:
        query: Unit length.
        vectors: As they are stored.
        mean: What is subtracted; a vector that equals it scores 0.
    """
    # In place, and without mixing types, which numpy does by way of buffers.
    centred = vectors.astype(np.float64)
    centred -= mean.astype(np.float64)
    lengths = np.sqrt(np.vecdot(centred, centred))
    # Not a matrix product: that sums in an order which depends on the row's place.
    products = np.vecdot(centred, query.astype(np.float64))
    lengths[lengths <= MARGIN] = np.inf
    products /= lengths
    return products.astype(np.float32)


def nearest_rows(
    query: Float32[np.ndarray, " dim"],
    vectors: Float32[np.ndarray, "items dim"],
    *,
    k: int,
    chosen: Int64[np.ndarray, " chosen"] | None = None,
) -> tuple[Int64[np.ndarray, " hits"], Float32[np.ndarray, " hits"]]:
    """Find the items with the largest inner product.

    Scores don't depend on where an item stands or on what else is chosen: the best are computed
    again in double precision, so equal vectors have equal scores. Equal scores are ordered by
    item number.

    Args:
        query: Unit length.
        vectors: Unit rows.
        k: How many items to return; fewer come back only if fewer are chosen.
        chosen: Numbers of the items that may be returned, ascending; None stands for all.

    Returns:
        Item numbers and scores, largest first.

    Raises:
        ValueError: `k` is less than 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    # Gathering rows costs about eight times their share of the product.
    if chosen is not None and len(chosen) * 8 < len(vectors):
        scores = vectors[chosen] @ query
    else:
        scores = vectors @ query
        scores = scores if chosen is None else scores[chosen]
    numbers = np.arange(len(vectors)) if chosen is None else chosen
    if k < len(scores):
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k] - MARGIN
        numbers = numbers[scores >= threshold]
    # Not a matrix product: that sums in an order which depends on the row's place.
    precise = np.einsum("id,d->i", vectors[numbers].astype(np.float64), query.astype(np.float64))
    scores = precise.astype(np.float32)
    # A stable sort, not argpartition: partition order is undefined among equal scores.
    order = np.argsort(-scores, kind="stable")[:k]
    return numbers[order].astype(np.int64), scores[order]
