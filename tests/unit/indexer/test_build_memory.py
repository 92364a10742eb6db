"""What building a segment holds in memory, and that how items are read changes nothing in it."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
import pytest
from jaxtyping import Int64

from indexer import build
from indexer.cache_files import digest
from indexer.coding import Recipe
from indexer.rows import Items
from indexer.scanner import vectors_header
from indexer.where import FACTS
from omni_encoder import Modality

DIM = 32
MEAN = np.full(DIM, 0.01, np.float32)
RECIPE = Recipe(MEAN, 0.99, np.zeros((0, DIM), np.float32))


def items_at(rows: Int64[np.ndarray, " rows"], *, words: int) -> Items:
    """Items whose vectors and texts follow from their row numbers."""
    vectors = np.stack([np.random.default_rng(row).standard_normal(DIM) for row in rows.tolist()])
    known = dict.fromkeys(FACTS)
    facts = [
        known
        | {
            "id": f"{row}",
            "content": f"{row:032x}",
            "modality": "text",
            "part": 0,
            "mime": "text/plain",
        }
        | {"text": f"passage {row} " * words}
        for row in rows.tolist()
    ]
    values = [tuple(one[name] for name in FACTS) for one in facts]
    return Items(rows, rows + 1, vectors.astype(np.float16), values)


@dataclass(frozen=True)
class Made:
    """Items that are made when they are asked for."""

    rows: Int64[np.ndarray, " rows"]
    words: int = 1
    batch: int = 100

    def batches(self) -> Iterator[Items]:
        for start in range(0, len(self.rows), self.batch):
            yield items_at(self.rows[start : start + self.batch], words=self.words)


def peak_of(folder: Path, rows: int) -> int:
    folder.mkdir()
    tracemalloc.start()
    try:
        build.write_segment(folder, Modality.TEXT, Made(np.arange(rows), 200), RECIPE, base=True)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_ten_times_the_rows_take_some_bytes_a_row_and_not_their_texts(tmp_path: Path) -> None:
    peak_of(tmp_path / "warm", 10)
    few, many = peak_of(tmp_path / "few", 300), peak_of(tmp_path / "many", 3000)
    # A row's text has 2,400 bytes, and its vector 64.
    assert many - few < 2700 * 200


def test_files_are_the_same_however_the_items_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "CODED_ROWS", 200)
    rows = np.arange(0, 1500, 3)
    written: list[dict[str, str]] = []
    for number, items in enumerate((items_at(rows, words=1), Made(rows, batch=7), Made(rows))):
        folder = tmp_path / str(number)
        folder.mkdir()
        entry = build.write_segment(folder, Modality.TEXT, items, RECIPE, base=True)
        written.append({kind: digest(folder / mark.name) for kind, mark in entry.files.items()})
    assert written[0] == written[1] == written[2]
    assert set(written[0]) == {"rows", "vectors", "facts", "codes"}


@pytest.mark.parametrize("rows", [0, 1, 300])
def test_streamed_vectors_are_the_file_that_faiss_writes(tmp_path: Path, rows: int) -> None:
    vectors = np.random.default_rng(0).standard_normal((rows, DIM)).astype(np.float16)
    index = faiss.IndexScalarQuantizer(
        DIM, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.train(np.zeros((1, DIM), np.float32))
    if rows:
        index.add_sa_codes(vectors.view(np.uint8))
    faiss.write_index(index, str(tmp_path / "index"))
    assert vectors_header(rows, DIM) + vectors.tobytes() == (tmp_path / "index").read_bytes()
