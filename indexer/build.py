"""Writing segments: vectors, what is known of the items, and for large ones tuned codes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float16, Float32, Int64

from omni_encoder import Modality

from .cache_files import Entry, Mark, Tuning, write_file
from .exact import MARGIN, centre_rows
from .facts import FactsFile, checksum, write_facts
from .rows import Items
from .segment import ROW, checksums

CODED_ROWS = 20_000
"""A segment of fewer rows is always searched exactly; that takes about a millisecond."""

BLOCK_ROWS = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """How to build the segments of one modality.

    Attributes:
        mean: The mean to subtract from its vectors.
        target: The recall that its codes are tuned to.
        strangers: Centred vectors of other modalities, to tune the codes by as well.
    """

    mean: Float32[np.ndarray, " dim"]
    target: float
    strangers: Float32[np.ndarray, "strangers dim"]


def write_segment(
    folder: Path, modality: Modality, items: Items, recipe: Recipe, *, base: bool
) -> Entry:
    """Write a segment's files; nothing names them yet."""
    from .scanner import write_vectors

    facts = write_file(folder, "facts", lambda path: write_facts(items.facts, path))
    table, header = _table(items, recipe.mean), recipe.mean.astype(np.float32).tobytes()
    # Of what SQLite gives back, which may be of another type than what it was given.
    table["facts"] = list(map(checksum, FactsFile(folder / facts.name, folder).all()))
    files = {
        "rows": write_file(folder, "rows", lambda path: path.write_bytes(header + table.tobytes())),
        "vectors": write_file(folder, "vectors", lambda path: write_vectors(items.vectors, path)),
        "facts": facts,
    }
    tuning = None
    if base and len(items.rows) > CODED_ROWS:
        files["codes"], tuning = _write_codes(folder, items.vectors, recipe)
    return Entry(modality, base, len(items.rows), 0, files, tuning)


def write_live(folder: Path, live: Bool[np.ndarray, " rows"]) -> Mark:
    """Write which rows of a segment are still there."""
    return write_file(folder, "live", np.packbits(live, bitorder="little").tofile)


def _table(items: Items, mean: Float32[np.ndarray, " dim"]) -> np.ndarray:
    table = np.empty(len(items.rows), ROW)
    table["row"], table["updated"] = items.rows, items.updated
    table["crc"] = checksums(items.vectors)
    for start in range(0, len(table), BLOCK_ROWS):
        block = items.vectors[start : start + BLOCK_ROWS].astype(np.float32) - mean
        # Nearer than this, a score can only be computed from the vector itself.
        table["norm"][start : start + len(block)] = np.maximum(
            np.linalg.norm(block, axis=1), MARGIN
        )
    return table


def _write_codes(
    folder: Path, vectors: Float16[np.ndarray, "rows dim"], recipe: Recipe
) -> tuple[Mark, Tuning]:
    """Code the centred vectors, with twice as many numbers a row if the target is missed."""
    from .scanner import Codes, training_rows
    from .tuning import QUERIES, Truth, tune

    rows, dim = vectors.shape
    generator = np.random.default_rng(rows)
    drawn = generator.permutation(rows)
    sample: Int64[np.ndarray, " sample"] = np.sort(drawn[: training_rows(rows)])
    centred = centre_rows(vectors[sample].astype(np.float32), recipe.mean)
    own: Int64[np.ndarray, " own"] = np.sort(drawn[:QUERIES])
    within = centre_rows(vectors[own].astype(np.float32), recipe.mean)
    codes: Codes | None = None
    tuning: Tuning | None = None
    for dims_per_number in (4, 2):
        codes = Codes.train(centred, rows=rows, numbers=max(1, dim // dims_per_number))
        truth = Truth(within, recipe.strangers, own=own)
        for start in range(0, rows, BLOCK_ROWS):
            raw = vectors[start : start + BLOCK_ROWS].astype(np.float32)
            block = centre_rows(raw, recipe.mean)
            codes.add(block)
            truth.add(block, start=start)
        tuning = tune(codes, truth, rows=rows, target=recipe.target)
        measured = (tuning.recall_within, tuning.recall_across)
        if min(recall for recall in measured if recall is not None) >= recipe.target:
            break
    assert codes is not None  # the loop ran
    assert tuning is not None
    return write_file(folder, "codes", codes.write), tuning
