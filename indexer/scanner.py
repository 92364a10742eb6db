"""FAISS: exact scans over stored vectors, and fast scans over 4-bit codes that point to them.

This is the only module that imports faiss. A file that is opened here must come from this cache:
its hash was checked, because FAISS trusts what it reads.
"""

import struct
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import faiss
import numpy as np

from omni_encoder.arrays import Bool, Float16, Float32, Float64, Int64

BLOCK_ROWS = 8192
TRAINING_ROWS = 10_000
"""More teach 16 centroids a number nothing: FAISS itself looks at 4,096 of them."""
TRAINING_ROUNDS = 5
"""Ten take twice as long, and spare a query 7% of the candidates: a hundredth of its time."""
IVF_ROWS = 2_000_000
"""From here on the codes lie in lists, and a query looks into some of them only."""

_COUNT, _COUNT_AT = struct.Struct("<q"), 8
"""Where FAISS has the number of rows: behind its name for the kind of index, and the dimension."""

Found = tuple[Int64[np.ndarray, " found"], Float32[np.ndarray, " found"]]


def vectors_header(rows: int, dim: int) -> bytes:
    """What a FAISS index of half-precision rows begins with; the rows are all that follows."""
    index = faiss.IndexScalarQuantizer(
        dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.train(np.zeros((1, dim), np.float32))
    header = bytearray(faiss.serialize_index(index))  # of no rows; only two numbers differ
    _COUNT.pack_into(header, _COUNT_AT, rows)
    _COUNT.pack_into(header, len(header) - _COUNT.size, rows * dim * 2)
    return bytes(header)


def list_count(rows: int) -> int:
    """Among how many lists the codes of so many rows are divided."""
    return 1 if rows < IVF_ROWS else int(4 * rows**0.5)


def training_rows(rows: int) -> int:
    """How many of so many rows the codes are learnt from; a list wants 40 of them."""
    return min(rows, max(TRAINING_ROWS, 40 * list_count(rows)))


class Vectors:
    """Half-precision rows on disk, mapped into memory."""

    def __init__(self, path: Path, *, rows: int, dim: int) -> None:
        self.index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        if self.index.ntotal != rows or self.index.d != dim:
            raise ValueError(f"{path} holds other vectors than it should")
        faiss.omp_set_num_threads(1)  # more only spin: one query is one thread's work
        # The rows are what the file ends with.
        offset = path.stat().st_size - rows * dim * 2
        self.rows: Float16[np.ndarray, "rows dim"] = np.zeros((0, dim), np.float16)
        if rows:
            mapped = np.memmap(path, np.float16, "r", offset=offset, shape=(rows, dim))
            self.rows = mapped.view(np.ndarray)  # a plain array picks rows faster

    def largest(
        self, query: Float32[np.ndarray, " dim"], count: int, mask: Bool[np.ndarray, " rows"] | None
    ) -> Found:
        """The rows with the largest inner products, exact but for float32 rounding."""
        with _chosen(mask) as parameters:
            scores, rows = self.index.search(query[None], count, params=parameters)
        found = rows[0] >= 0
        return rows[0][found], scores[0][found]

    def blocks(self) -> Iterator[tuple[int, Float32[np.ndarray, "block dim"]]]:
        """All rows as float32, and where each block begins."""
        for start in range(0, len(self.rows), BLOCK_ROWS):
            codes = np.ascontiguousarray(self.rows[start : start + BLOCK_ROWS])
            yield start, self.index.sa_decode(codes.view(np.uint8))


class Codes:
    """Four bits for every few axes of each row: enough to find candidates by.

    The axes are those along which the rows differ most, turned among each other at random. Without
    the turn a few numbers would stand for nearly all of what tells rows apart, and the others for
    next to nothing.
    """

    def __init__(self, index: "faiss.IndexPreTransform", vectors: Vectors | None = None) -> None:
        self._index = index
        self._axes: Float32[np.ndarray, "kept dim"] | None = None
        codes = faiss.downcast_index(index.index)
        assert isinstance(codes, faiss.IndexIVFPQFastScan)  # `train` made it, `open` looked
        self._codes = codes
        self._vectors = vectors
        self._refined = None if vectors is None else faiss.IndexRefine(index, vectors.index)
        self._asked: _Parameters | None = None

    @classmethod
    def train(
        cls,
        sample: Float32[np.ndarray, "sample dim"],
        axes: Float32[np.ndarray, "kept dim"],
        *,
        rows: int,
        numbers: int,
    ) -> "Codes":
        """Learn a code for rows like those of a sample.

        Args:
            sample: Unit rows, at least 16 of them.
            axes: What of a row is looked at: orthogonal unit vectors.
            rows: How many rows will be added.
            numbers: How many 4-bit numbers stand for a row.
        """
        kept, dim = axes.shape
        quantizer = faiss.IndexFlatIP(kept)
        inner = faiss.IndexIVFPQFastScan(
            quantizer, kept, list_count(rows), numbers, 4, faiss.METRIC_INNER_PRODUCT
        )
        inner.by_residual = False
        inner.pq.cp.niter = TRAINING_ROUNDS
        turn = faiss.LinearTransform(dim, kept)
        faiss.copy_array_to_vector(np.ascontiguousarray(axes).ravel(), turn.A)
        turn.is_trained = True
        inner.train(sample @ axes.T)
        inner.pq.sync_transposed_centroids()  # encodes a fifth faster
        index = faiss.IndexPreTransform(turn, inner)
        made = cls(index)
        made._axes = axes
        return made

    @classmethod
    def open(cls, path: Path, vectors: Vectors) -> "Codes":
        """Open the codes of some vectors."""
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        if (
            not isinstance(index, faiss.IndexPreTransform)
            or not isinstance(faiss.downcast_index(index.index), faiss.IndexIVFPQFastScan)
            or (index.ntotal, index.d) != vectors.rows.shape
        ):
            raise ValueError(f"{path} has codes of other vectors")
        return cls(index, vectors)

    @property
    def lists(self) -> int:
        """Among how many lists the codes are divided."""
        return self._codes.nlist

    @property
    def axes(self) -> int:
        """How many axes of a row are coded."""
        return self._codes.d

    @property
    def numbers(self) -> int:
        """How many 4-bit numbers stand for a row."""
        return self._codes.pq.M

    def add(self, rows: Float32[np.ndarray, "rows dim"]) -> None:
        """Append the codes of some rows."""
        assert self._axes is not None  # codes from a file are never added to
        # numpy's product is four times as fast as that of FAISS's wheel.
        self._codes.add(rows @ self._axes.T)
        self._index.ntotal = self._codes.ntotal

    def write(self, path: Path) -> None:
        """Write the codes to a file."""
        faiss.write_index(self._index, str(path))

    def rank(
        self, queries: Float32[np.ndarray, "queries dim"], count: int, *, probes: int
    ) -> Int64[np.ndarray, "queries count"]:
        """The rows that look best by their codes alone; -1 where there are no more."""
        parameters = _Parameters(probes, None).base
        return self._index.search(queries, count, params=parameters)[1]

    def call(self, count: int, *, probes: int) -> Callable[[Float32[np.ndarray, " dim"]], object]:
        """FAISS's own call of what `candidates` does without a mask: the least a search costs."""
        assert self._refined is not None  # codes that are searched belong to vectors
        refined, asked = self._refined, _Parameters(probes, None)
        return lambda query: refined.search(query[None], count, params=asked.refined)

    def candidates(
        self,
        query: Float32[np.ndarray, " dim"],
        count: int,
        mask: Bool[np.ndarray, " rows"] | None,
        *,
        probes: int,
    ) -> Found:
        """The rows that look best by their codes, with their inner products from the vectors."""
        assert self._refined is not None  # codes that are searched belong to vectors
        asked = self._asked
        if asked is None or asked.mask is not mask or asked.probes != probes:
            asked = self._asked = _Parameters(probes, mask)
        # FAISS's own wrapper, which looks at arguments and makes these arrays, takes 25 us.
        query = np.ascontiguousarray(query, np.float32)
        assert query.shape == (self._index.d,)
        scores, rows = np.empty(count, np.float32), np.empty(count, np.int64)
        into = faiss.swig_ptr(scores), faiss.swig_ptr(rows)
        # The stubs leave it out: FAISS moves what SWIG made there when it is imported.
        self._refined.search_c(  # pyright: ignore[reportAttributeAccessIssue]
            1, faiss.swig_ptr(query), count, *into, asked.refined
        )
        if rows[-1] >= 0:  # those that are missing come last
            return rows, scores
        found = rows >= 0
        return rows[found], scores[found]


class _Parameters:
    """How codes are searched. SWIG keeps no reference to what a field is set to, so this does."""

    def __init__(self, probes: int, mask: Bool[np.ndarray, " rows"] | None) -> None:
        self.probes = probes
        self.mask = mask
        self._selector = None if mask is None else _selector(mask)
        self._lists = faiss.SearchParametersIVF()
        self._lists.nprobe = probes
        self._lists.sel = self._selector
        self.base = faiss.SearchParametersPreTransform()
        self.base.index_params = self._lists
        self.refined = faiss.IndexRefineSearchParameters()
        self.refined.k_factor = 1.0
        self.refined.base_index_params = self.base


def leading_axes(
    sample: Float32[np.ndarray, "sample dim"],
) -> tuple[Float32[np.ndarray, "dim dim"], Float64[np.ndarray, " dim"]]:
    """The axes along which rows differ, as rows, and what share of their squares lies on each."""
    covariance = (sample.T @ sample).astype(np.float64)
    energies, axes = np.linalg.eigh(covariance)
    shares = np.maximum(energies[::-1], 0) / max(float(energies.sum()), 1e-30)
    return np.ascontiguousarray(axes[:, ::-1].T.astype(np.float32)), shares


def turned(axes: Float32[np.ndarray, "kept dim"], *, seed: int) -> Float32[np.ndarray, "kept dim"]:
    """Other axes of the same space, at random, so that each holds as much as any other."""
    generator = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(generator.standard_normal((len(axes), len(axes))))
    return turn.astype(np.float32) @ axes


class Rotated:
    """Exact search in memory that stops reading a row when it can't be among the best.

    Rows are turned so that their first dimensions hold most of what tells them apart (Panorama).
    """

    LEVELS = 8

    @property
    def error(self) -> float:
        """How wrong a score can be: float32 rounding."""
        return 1e-5

    def __init__(self, rows: Float32[np.ndarray, "rows dim"]) -> None:
        axes, _ = leading_axes(rows[:: max(1, len(rows) // TRAINING_ROWS)])
        self._axes = np.ascontiguousarray(axes.T)
        self._index = faiss.IndexFlatIPPanorama(rows.shape[1], self.LEVELS)
        for start in range(0, len(rows), BLOCK_ROWS):
            self._index.add(rows[start : start + BLOCK_ROWS] @ self._axes)

    def largest(
        self, query: Float32[np.ndarray, " dim"], count: int, mask: Bool[np.ndarray, " rows"] | None
    ) -> Found:
        """The rows with the largest inner products, exact but for float32 rounding."""
        turned = (query @ self._axes)[None]
        with _chosen(mask) as parameters:
            scores, rows = self._index.search(turned, count, params=parameters)
        found = rows[0] >= 0
        return rows[0][found], scores[0][found]


@contextmanager
def _chosen(
    mask: Bool[np.ndarray, " rows"] | None,
) -> Generator["faiss.SearchParameters | None", None, None]:
    """Parameters that let a search find some rows only, for as long as the context lasts."""
    if mask is None:
        yield None
        return
    selector = _selector(mask)
    parameters = faiss.SearchParameters()
    parameters.sel = selector
    yield parameters
    del selector


def _selector(mask: Bool[np.ndarray, " rows"]) -> "faiss.IDSelectorBitmap":
    bits = np.packbits(mask, bitorder="little")
    # The stub tells the C++ signature; FAISS's own wrapper takes an array and keeps it.
    return faiss.IDSelectorBitmap(bits)  # pyright: ignore[reportCallIssue]
