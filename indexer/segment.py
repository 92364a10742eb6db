"""A segment of the cache: some items of one modality, searched exactly or by their codes.

What a search gives is a short list: every item that may be among the best, with an estimate of its
score and how wrong that can be. The caller computes the final scores from the stored vectors.

Scores are cosines after a mean was subtracted. The mean moves while data are added, but what is
stored here are the vectors as the encoder made them, and their distances from the mean of the day
when the segment was written. With v a vector, m that mean, q the query and m' today's mean, the
score is (q.v - q.m') / |v - m'|, and |v - m'| differs from |v - m| by |m - m'| at most. So a
moving mean makes the short list longer and never wrong.
"""

import os
import zlib
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from math import ceil, log
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np

from omni_encoder.arrays import Bool, Float16, Float32, Int64, UInt32

from .asking import Asked, Chosen, ShortList, kth
from .cache_files import CacheDamaged, Entry, Tuning, check, read_whole
from .facts import FactsFile
from .scanner import Codes, Found, Rotated, Vectors
from .where import Condition

ROW = np.dtype(
    [("row", "<i8"), ("updated", "<i8"), ("crc", "<u4"), ("norm", "<f4"), ("facts", "<u4")]
)
"""Of each item: row number, version of its last change, the vector's checksum and distance from
the mean, and the checksum of its facts.

The file of rows begins with the mean itself."""

EXACT_ROWS = 4000
"""So many rows are scanned exactly in less time than codes would take."""

MIN_SCANNED = 1000
LEAST_NORM = 0.2
"""If all rows are further than this from the mean, one bound of rounding is near enough for all."""
ROTATE_AFTER = 2
"""From the third exact search of a process on, the vectors are held in memory for it."""
ROTATE_BYTES = 4 * 2**30


@runtime_checkable
class ExactScan(Protocol):
    """Rows held in memory, on whatever device."""

    @property
    def error(self) -> float:
        """How wrong an estimated score can be."""
        ...

    def largest(
        self, query: Float32[np.ndarray, " dim"], count: int, mask: Bool[np.ndarray, " rows"] | None
    ) -> Found:
        """The rows with the largest estimated scores, best first."""
        ...


class Segment:
    """An open segment."""

    def __init__(self, entry: Entry, folder: Path, directory: Path, dim: int) -> None:
        """Open nothing yet.

        Args:
            entry: What it is made of.
            folder: The cache's folder.
            directory: The collection's directory.
            dim: How long a vector is.
        """
        self.entry = entry
        self._folder = folder
        self._directory = directory
        self._dim = dim
        self._exact_searches = 0
        self._held: tuple[tuple[bytes, str], ExactScan] | None = None
        self._sound = bytearray(entry.rows)
        self._facts_sound = False
        self._published = [
            (str(folder / mark.name), (mark.bytes, mark.mtime_ns), mark)
            for mark in entry.files.values()
        ]
        self._moved: tuple[Float32[np.ndarray, " dim"], float] | None = None
        self._chosen: Chosen | None = None

    def open(self) -> None:
        """Open its files, so that they stay readable when another process deletes them.

        Raises:
            CacheDamaged: It isn't what was published.
        """
        self.check()
        assert len(self.rows) == len(self.vectors.rows)
        assert self.live is None or len(self.live) == len(self.rows)
        assert len(self.mean) == self._dim
        assert self.entry.tuning is None or self.codes.lists
        self.facts.at(np.zeros(1, np.int64), self.rows[:1])

    def check(self, *, thorough: bool = False) -> None:
        """Make sure that its files are what was published.

        Raises:
            CacheDamaged: They aren't.
        """
        for path, published, mark in self._published:
            if not thorough:  # asked before every query, so without objects for paths
                with suppress(OSError):
                    status = os.stat(path)  # noqa: PTH116
                    if (status.st_size, status.st_mtime_ns) == published:
                        continue
            check(self._folder, mark, thorough=thorough)

    @cached_property
    def _rows_file(self) -> bytes:
        return read_whole(self._folder, self.entry.files["rows"])

    @cached_property
    def table(self) -> np.ndarray:
        """What is known of each row, of the type `ROW`, by ascending row number."""
        return np.frombuffer(self._rows_file, dtype=ROW, offset=4 * self._dim)

    @cached_property
    def rows(self) -> Int64[np.ndarray, " rows"]:
        """The row number of each position, ascending."""
        return np.ascontiguousarray(self.table["row"])

    @cached_property
    def sums(self) -> UInt32[np.ndarray, " rows"]:
        """The checksum of each vector."""
        return np.ascontiguousarray(self.table["crc"])

    @cached_property
    def norms(self) -> Float32[np.ndarray, " rows"]:
        """How far each vector is from `mean`."""
        return np.ascontiguousarray(self.table["norm"])

    @cached_property
    def _least(self) -> float:
        return float(self.norms.min()) if len(self.norms) else 0

    @cached_property
    def live(self) -> Bool[np.ndarray, " rows"] | None:
        """Which rows are still there; None if all are."""
        if "live" not in self.entry.files:
            return None
        bits = np.frombuffer(read_whole(self._folder, self.entry.files["live"]), dtype=np.uint8)
        return np.unpackbits(bits, count=self.entry.rows, bitorder="little").astype(bool)

    @cached_property
    def mean(self) -> Float32[np.ndarray, " dim"]:
        """The mean that the codes and the norms of `table` belong to."""
        return np.frombuffer(self._rows_file, dtype=np.float32, count=self._dim)

    @cached_property
    def vectors(self) -> Vectors:
        """The vectors as they are stored."""
        try:
            return Vectors(self._path("vectors"), rows=self.entry.rows, dim=self._dim)
        except (RuntimeError, ValueError, OSError) as error:
            raise CacheDamaged(str(error)) from error

    @cached_property
    def codes(self) -> Codes:
        """The codes; a segment has them if its entry has a tuning."""
        try:
            return Codes.open(self._path("codes"), self.vectors)
        except (RuntimeError, ValueError, OSError) as error:
            raise CacheDamaged(str(error)) from error

    @cached_property
    def facts(self) -> FactsFile:
        """What is known of the items."""
        sums = np.ascontiguousarray(self.table["facts"])
        return FactsFile(self._path("facts"), self._directory, sums)

    def raw(self, positions: Int64[np.ndarray, " chosen"]) -> Float16[np.ndarray, "chosen dim"]:
        """The stored vectors at some positions, each checked once.

        Raises:
            CacheDamaged: One isn't what was stored.
        """
        found = self.vectors.rows[positions]
        sound = self._sound
        for i, position in enumerate(cast("list[int]", positions.tolist())):
            if not sound[position]:
                if zlib.crc32(found[i].data) != self.sums[position]:
                    raise CacheDamaged("a vector has changed")
                sound[position] = 1
        return found

    def select(self, condition: Condition) -> Bool[np.ndarray, " rows"]:
        """For which items a condition holds.

        Raises:
            QueryError: The condition can't be evaluated.
            CacheDamaged: What is known of the items isn't what was published.
        """
        self.check_facts()
        chosen = np.zeros(self.entry.rows, dtype=bool)
        chosen[self.facts.positions(condition)] = True
        return chosen

    def check_facts(self) -> None:
        """Hash the file of facts once: a filter reads all of it, and has no checksums.

        Raises:
            CacheDamaged: It isn't what was published.
        """
        if not self._facts_sound:
            check(self._folder, self.entry.files["facts"], thorough=True)
            self._facts_sound = True

    def shortlist(self, asked: Asked, mask: Bool[np.ndarray, " rows"] | None) -> ShortList:
        """The items that may be among the nearest.

        Args:
            asked: What to look for.
            mask: Which rows pass the filters; None stands for all. Deleted rows never do.
        """
        chosen = self._choose(mask)
        mask, left = chosen.mask, chosen.count
        if not left:
            return ShortList(np.zeros(0, np.int64), np.zeros(0, np.float32), 0)
        tuning = self.entry.tuning
        if not asked.exact and tuning is not None and left > EXACT_ROWS:
            count = min(candidates(tuning, asked.k), self.entry.rows)
            found = self.codes.candidates(asked.query, count, mask, probes=tuning.probes)
            if len(found[0]) >= min(asked.k, left):
                return self._listed(found, asked).cut(asked.k)
        return self._exact(asked, mask, left)

    def _choose(self, mask: Bool[np.ndarray, " rows"] | None) -> Chosen:
        """The rows that pass filters and aren't deleted; remembered, as filters come again."""
        if self._chosen is None or self._chosen.asked is not mask:
            both = mask
            if self.live is not None:
                both = self.live if mask is None else mask & self.live
            count = self.entry.rows if both is None else int(np.count_nonzero(both))
            self._chosen = Chosen(mask, both, count)
        return self._chosen

    def _exact(self, asked: Asked, mask: Bool[np.ndarray, " rows"] | None, left: int) -> ShortList:
        self._exact_searches += 1
        often = self.entry.rows > EXACT_ROWS and self._exact_searches > ROTATE_AFTER
        if often or asked.device != "cpu":
            found = self._in_memory(asked, mask, left)
            if found is not None:
                return found
        count = min(left, max(MIN_SCANNED, 8 * asked.k, self.entry.rows // 100))
        positions, products = self.vectors.largest(asked.query, count, mask)
        listed = self._listed((positions, products), asked)
        if len(positions) == left:
            return listed.cut(asked.k)
        # What the scan left out has a smaller product, but may be nearer to the mean.
        best = kth(listed.scores, asked.k) - listed.error
        offset = float(asked.query @ asked.mean)
        bounds = (float(products[-1]) - offset) / self.norms
        possible = bounds + self._errors(1, self.norms, asked.mean) >= best
        possible[positions] = False
        if mask is not None:
            possible &= mask
        more = np.flatnonzero(possible)
        if not len(more):
            return listed.cut(asked.k)
        products_of_more = self._products(asked.query, more)
        return self._listed(
            (np.concatenate([positions, more]), np.concatenate([products, products_of_more])), asked
        ).cut(asked.k)

    def _in_memory(
        self, asked: Asked, mask: Bool[np.ndarray, " rows"] | None, left: int
    ) -> ShortList | None:
        """Exact search in memory; None if too many scores are equal, or nearly."""
        if self.entry.rows * self._dim * 4 > ROTATE_BYTES:
            return None
        key = (asked.mean.tobytes(), asked.device)
        if self._held is None or self._held[0] != key:
            self._held = (key, _scan(self._centred(asked.mean), asked.device))
        scan = self._held[1]
        # The fewer are wanted, the sooner a row is given up; equal scores take more.
        more = (6, asked.k + 100) if asked.device == "cpu" else (asked.k + 2000,)
        for count in (min(left, asked.k + one) for one in more):
            positions, scores = scan.largest(asked.query, count, mask)
            if count == left or scores[-1] < kth(scores, asked.k) - 2 * scan.error:
                return ShortList(positions, scores, scan.error).cut(asked.k)
        return None

    def _centred(self, mean: Float32[np.ndarray, " dim"]) -> Float32[np.ndarray, "rows dim"]:
        from .exact import centre_rows

        rows = np.empty((self.entry.rows, self._dim), np.float32)
        for start, block in self.vectors.blocks():
            rows[start : start + len(block)] = centre_rows(block, mean)
        return rows

    def _listed(self, found: Found, asked: Asked) -> ShortList:
        positions, products = found
        norms = self.norms.take(positions)
        scores = products - np.float32(asked.query @ asked.mean)
        scores /= norms
        # One bound for all, because after a scan of codes each step here costs ten microseconds.
        least = self._least
        if least < LEAST_NORM:
            least = float(np.minimum.reduce(norms))
        largest = float(np.abs(scores).max()) if self._distance(asked.mean) else 0
        return ShortList(positions, scores, float(self._errors(largest, least, asked.mean)))

    def _errors(
        self,
        score: float,
        norms: Float32[np.ndarray, " rows"] | float,
        mean: Float32[np.ndarray, " dim"],
    ) -> Float32[np.ndarray, " rows"] | float:
        """How wrong an estimated score can be: by float32 rounding, and because the mean moved."""
        rounding = 1e-5 + 4e-6 / norms + 1e-6 / (norms * norms)
        moved = self._distance(mean)
        if not moved:
            return rounding
        share = moved / norms
        error = rounding + score * share / np.maximum(1 - share, 0.5)
        return np.where(share < 0.5, error, 4)

    def _distance(self, mean: Float32[np.ndarray, " dim"]) -> float:
        """How far a mean is from that of the norms."""
        if self._moved is None or self._moved[0] is not mean:
            self._moved = (mean, float(np.linalg.norm(mean - self.mean)))
        return self._moved[1]

    def _products(
        self, query: Float32[np.ndarray, " dim"], positions: Int64[np.ndarray, " chosen"]
    ) -> Float32[np.ndarray, " chosen"]:
        if len(positions) * 4 < self.entry.rows:
            return self.vectors.rows[positions].astype(np.float32) @ query
        products = np.concatenate([block @ query for _, block in self.vectors.blocks()])
        return products[positions]

    def _path(self, kind: str) -> Path:
        return check(self._folder, self.entry.files[kind])


def _scan(rows: Float32[np.ndarray, "rows dim"], device: str) -> ExactScan:
    if device == "cpu":
        return Rotated(rows)
    from omni_encoder.torch_scan import TorchScan

    return TorchScan(rows, device.removeprefix("torch:"))


def candidates(tuning: Tuning, k: int) -> int:
    """How many candidates the `k` nearest need, on the curve through what was measured."""
    few, many = tuning.candidates_10, tuning.candidates_100
    slope = log(many / few) / log(10)
    return max(ceil(few * (max(k, 10) / 10) ** slope), 2 * k)


def checksums(vectors: Float16[np.ndarray, "rows dim"]) -> Sequence[int]:
    """What `Segment.raw` compares."""
    width = 2 * vectors.shape[1]
    data = np.ascontiguousarray(vectors).view(np.uint8).reshape(-1).data
    return [zlib.crc32(data[start : start + width]) for start in range(0, len(data), width)]
