"""The sums of a table's vectors, kept beside the catalogue so that a small change costs little.

Stored vectors are float16, which are multiples of 2**-24. Sums of fewer than 2**28 of them are
exact in float64, so what is added bit by bit equals what would be summed anew.
"""

import sqlite3
from collections.abc import Mapping, Sequence

import numpy as np

from omni_encoder import Modality
from omni_encoder.arrays import Float16, Float64, Int8

from .rows import MODALITIES, ItemRow

SUMS_SCHEMA = """
CREATE TABLE sums (
    modality TEXT PRIMARY KEY, version_digest TEXT NOT NULL,
    items INTEGER NOT NULL, total BLOB NOT NULL
) WITHOUT ROWID;
"""

Sums = Mapping[Modality, tuple[int, Float64[np.ndarray, " dim"]]]
"""How many items of each modality there are, and the sum of their vectors."""


class Total:
    """Sums of vectors, batch by batch."""

    def __init__(self) -> None:
        self._sums: dict[Modality, tuple[int, Float64[np.ndarray, " dim"]]] = {}

    def add(
        self, vectors: Float16[np.ndarray, "items dim"], kinds: Int8[np.ndarray, " items"]
    ) -> None:
        """Count some vectors in, whose kinds are positions in `MODALITIES`."""
        for number, modality in enumerate(MODALITIES):
            chosen = vectors[kinds == number]
            if len(chosen):
                count, before = self._sums.get(modality, (0, 0))
                total = before + chosen.sum(axis=0, dtype=np.float64)
                self._sums[modality] = (count + len(chosen), total)

    def sums(self) -> Sums:
        """What there was of each modality."""
        return dict(sorted(self._sums.items()))


def with_rows(sums: Sums, rows: Sequence[ItemRow]) -> Sums:
    """The sums after some rows were appended, as float16."""
    new = dict(sums)
    for modality in {row.key.modality for row in rows}:
        vectors = np.stack([row.vector for row in rows if row.key.modality is modality])
        total = vectors.astype(np.float16).sum(axis=0, dtype=np.float64)
        if modality in new:
            items, before = new[modality]
            new[modality] = (items + len(vectors), before + total)
        else:
            new[modality] = (len(vectors), total)
    return dict(sorted(new.items()))


def without(sums: Sums, gone: Sums) -> Sums:
    """The sums after some rows, of which these are the sums, were deleted."""
    new = dict(sums)
    for modality, (items, total) in gone.items():
        left = new[modality][0] - items
        if left:
            new[modality] = (left, new[modality][1] - total)
        else:
            del new[modality]
    return new


def read_sums(connection: sqlite3.Connection, version_digest: str) -> Sums | None:
    """What was kept; None if it is of another version of the table."""
    query = "SELECT modality, items, total FROM sums WHERE version_digest = ? ORDER BY modality"
    found = connection.execute(query, (version_digest,)).fetchall()
    if not found:
        return None
    return {Modality(name): (items, np.frombuffer(total)) for name, items, total in found}


def write_sums(connection: sqlite3.Connection, version_digest: str, sums: Sums) -> None:
    """Keep the sums of a version of the table; to be called in a transaction."""
    connection.execute("DELETE FROM sums")
    connection.executemany(
        "INSERT INTO sums VALUES (?, ?, ?, ?)",
        [
            (str(name), version_digest, items, total.tobytes())
            for name, (items, total) in sums.items()
        ],
    )
