"""Writing segments: vectors, what is known of the items, and for large ones tuned codes."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from omni_encoder import Modality

from .cache_files import Entry, Mark, write_file
from .coding import Coder, Recipe
from .exact import MARGIN
from .facts import FactsFile, checksum, write_facts
from .rows import Items
from .segment import ROW, checksums

CODED_ROWS = 20_000
"""A segment of fewer rows is always searched exactly; that takes about a millisecond."""

BLOCK_ROWS = 8192


def write_segment(
    folder: Path, modality: Modality, items: Items, recipe: Recipe, *, base: bool
) -> Entry:
    """Write a segment's files; nothing names them yet."""
    from .scanner import write_vectors

    facts = write_file(folder, "facts", lambda path: write_facts(items.facts, path))
    coder = None
    if base and len(items.rows) > CODED_ROWS:
        coder = Coder(items.vectors, recipe)
    table, header = _table(items, recipe.mean, coder), recipe.mean.astype(np.float32).tobytes()
    # Of what SQLite gives back, which may be of another type than what it was given.
    table["facts"] = list(map(checksum, FactsFile(folder / facts.name, folder).all()))
    files = {
        "rows": write_file(folder, "rows", lambda path: path.write_bytes(header + table.tobytes())),
        "vectors": write_file(folder, "vectors", lambda path: write_vectors(items.vectors, path)),
        "facts": facts,
    }
    tuning = None
    if coder is not None:
        codes, tuning = coder.tuned()
        files["codes"] = write_file(folder, "codes", codes.write)
    return Entry(modality, base, len(items.rows), 0, files, tuning)


def write_live(folder: Path, live: Bool[np.ndarray, " rows"]) -> Mark:
    """Write which rows of a segment are still there."""
    return write_file(folder, "live", np.packbits(live, bitorder="little").tofile)


def _table(items: Items, mean: Float32[np.ndarray, " dim"], coder: Coder | None) -> np.ndarray:
    """What is known of each row; on the way every centred row is shown to a coder."""
    table = np.empty(len(items.rows), ROW)
    table["row"], table["updated"] = items.rows, items.updated
    table["crc"] = checksums(items.vectors)
    for start in range(0, len(table), BLOCK_ROWS):
        block = items.vectors[start : start + BLOCK_ROWS].astype(np.float32)
        block -= mean
        norms = np.sqrt(np.einsum("ij,ij->i", block, block))
        # Nearer than this, a score can only be computed from the vector itself.
        table["norm"][start : start + len(block)] = np.maximum(norms, MARGIN)
        if coder is not None:
            block *= np.where(norms > MARGIN, 1 / np.maximum(norms, MARGIN), 0)[:, None]
            coder.add(block, start=start)
    return table
