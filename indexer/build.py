"""Writing segments: vectors, what is known of the items, and for large ones tuned codes."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from omni_encoder import Modality
from omni_encoder.arrays import Bool, Float16, Float32

from .cache_files import Entry, Mark, Tuning, write_file
from .coding import Coder, Recipe
from .exact import MARGIN
from .facts import FactsFile, checksum, write_facts
from .rows import ItemSource
from .segment import ROW, checksums

if TYPE_CHECKING:
    from .scanner import Codes

CODED_ROWS = 20_000
"""A segment of fewer rows is always searched exactly; that takes about a millisecond."""

BLOCK_ROWS = 8192


def write_segment(
    folder: Path, modality: Modality, items: ItemSource, recipe: Recipe, *, base: bool
) -> Entry:
    """Write a segment's files; nothing names them yet.

    The items are read once, and only what is counted in bytes an item stays in memory.
    """
    from .scanner import vectors_header

    count, dim = len(items.rows), len(recipe.mean)
    table, made = np.zeros(count, ROW), dict[str, Mark]()
    header = vectors_header(count, dim)

    def write_both(path: Path) -> None:
        with path.open("wb") as file:
            file.write(header)
            passing = _passing(items, recipe.mean, table, file)
            made["facts"] = write_file(folder, "facts", lambda path: write_facts(passing, path))

    made["vectors"] = write_file(folder, "vectors", write_both)
    # Of what SQLite gives back, which may be of another type than what it was given.
    written = FactsFile(folder / made["facts"].name, folder).all()
    table["facts"] = np.fromiter(map(checksum, written), np.uint32, count)
    rows = recipe.mean.astype(np.float32).tobytes() + table.tobytes()
    files = {"rows": write_file(folder, "rows", lambda path: path.write_bytes(rows)), **made}
    tuning = None
    if base and count > CODED_ROWS:
        vectors = np.memmap(
            folder / made["vectors"].name, np.float16, "r", offset=len(header), shape=(count, dim)
        )
        codes, tuning = _coded(vectors.view(np.ndarray), table["norm"], recipe)
        files["codes"] = write_file(folder, "codes", codes.write)
    return Entry(modality, base, count, 0, files, tuning)


def write_live(folder: Path, live: Bool[np.ndarray, " rows"]) -> Mark:
    """Write which rows of a segment are still there."""
    return write_file(folder, "live", np.packbits(live, bitorder="little").tofile)


def _passing(
    items: ItemSource, mean: Float32[np.ndarray, " dim"], table: np.ndarray, vectors: BinaryIO
) -> Iterator[tuple[object, ...]]:
    """The facts of all items; on the way what else is known of them goes where it belongs."""
    done = 0
    for batch in items.batches():
        vectors.write(np.ascontiguousarray(batch.vectors).data)
        there = table[done : done + len(batch.rows)]
        there["row"], there["updated"] = batch.rows, batch.updated
        there["crc"] = checksums(batch.vectors)
        for start in range(0, len(there), BLOCK_ROWS):
            _, norms = _centred(batch.vectors[start : start + BLOCK_ROWS], mean)
            # Nearer than this, a score can only be computed from the vector itself.
            there["norm"][start : start + BLOCK_ROWS] = np.maximum(norms, MARGIN)
        done += len(there)
        yield from batch.facts


def _coded(
    vectors: Float16[np.ndarray, "rows dim"],
    norms: Float32[np.ndarray, " rows"],
    recipe: Recipe,
) -> "tuple[Codes, Tuning]":
    coder = Coder(vectors, recipe)
    # A row of the least norm may be the mean itself, which has no direction.
    scales = np.where(norms > MARGIN, 1 / norms, np.float32(0)).astype(np.float32)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = vectors[start : start + BLOCK_ROWS].astype(np.float32)
        block -= recipe.mean
        block *= scales[start : start + BLOCK_ROWS, None]
        coder.add(block, start=start)
    return coder.tuned()


def _centred(
    vectors: Float16[np.ndarray, "block dim"], mean: Float32[np.ndarray, " dim"]
) -> tuple[Float32[np.ndarray, "block dim"], Float32[np.ndarray, " block"]]:
    """Some rows without the mean, and how long they are then."""
    block = vectors.astype(np.float32)
    block -= mean
    return block, np.sqrt(np.einsum("ij,ij->i", block, block))
