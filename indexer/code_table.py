"""The codes and priors of items: a Lance table beside theirs, read when the flow re-ranks by codes.

It is extra: a row that is missing is made again from the item's file, and one too many is dropped.
So it has no versions to go back to, and nothing else waits for it.
"""

from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa

from omni_encoder import CollectionError, Modality
from omni_encoder.item_codes import ItemCodes

from .columns import cells, filters
from .entries import ContentKey
from .lean import lean, limit_reading
from .lean_lancedb import Table, open_database
from .manifest import CODES_PREFIX, LANCE_NAME, table_location

FRAGMENTS = 20
"""Past so many fragments they are merged."""

_KEPT_FOR = timedelta(hours=1)
"""A reader that has just opened the table may still want a file that was merged into another."""

_BATCH_ROWS = 4096
_SCHEMA = [
    pa.field("content", pa.string(), nullable=False),
    pa.field("modality", pa.string(), nullable=False),
    pa.field("part", pa.int32(), nullable=False),
    pa.field("books", pa.int8(), nullable=False),
    pa.field("codes", pa.list_(pa.uint16()), nullable=False),
    pa.field("prior", pa.float32(), nullable=False),
    pa.field("bound", pa.float32(), nullable=False),
]

Parts = Mapping[ContentKey, set[int]]


@dataclass(frozen=True, slots=True, eq=False)
class CodedPart:
    """The codes of one item."""

    key: ContentKey
    part: int
    codes: ItemCodes


class CodeTable:
    """The table of one generating model. Only a holder of the writer's lock may call what writes.

    Its methods raise `CollectionError` if it is damaged, or the store says no.
    """

    def __init__(self, directory: Path, fingerprint: str) -> None:
        """Open the table in a collection's directory, or make it when something is added.

        Args:
            directory: The collection's.
            fingerprint: Of what makes the codes.
        """
        self._name = f"{CODES_PREFIX}{fingerprint[:16]}"
        self._place = table_location(directory)
        limit_reading()
        with _sound(self._place):
            self._database = open_database(self._place)
            self._table: Table | None = None
            if self._name in self._tables():
                self._table = self._database.open_table(self._name)

    def append(self, parts: Sequence[CodedPart]) -> None:
        """Add the codes of some items, all or none."""
        columns: dict[str, list[object]] = {
            "content": [one.key.content for one in parts],
            "modality": [str(one.key.modality) for one in parts],
            "part": [one.part for one in parts],
            "books": [one.codes.codes.shape[1] for one in parts],
            "codes": [one.codes.codes.astype(np.uint16).ravel() for one in parts],
            "prior": [one.codes.prior for one in parts],
            "bound": [one.codes.bound for one in parts],
        }
        schema = pa.schema(_SCHEMA)
        with _sound(self._place):
            if self._table is None:
                self._table = self._database.create_table(self._name, schema=schema)
            self._table.add(pa.table(columns, schema=schema))

    def parts(self) -> Parts:
        """Which parts of which contents have codes."""
        found: dict[ContentKey, set[int]] = defaultdict(set)
        if self._table is None:
            return found
        names = ["content", "modality", "part"]
        with _sound(self._place):
            for batch in self._table.search().select(names).to_batches(batch_size=_BATCH_ROWS):
                rows = cells(pa.Table.from_batches([batch]), *names)
                for content, kind, part in cast("Iterator[tuple[str, str, int]]", rows):
                    found[ContentKey(content, Modality(kind))].add(part)
        return found

    def find(self, keys: Sequence[ContentKey]) -> list[CodedPart]:
        """All that is kept of some contents."""
        found: list[CodedPart] = []
        if self._table is None:
            return found
        names = [field.name for field in _SCHEMA]
        with _sound(self._place):
            for where in filters(keys):
                rows = cells(self._table.search().where(where).select(names).to_arrow(), *names)
                for row in cast(
                    "Iterator[tuple[str, str, int, int, list[int], float, float]]", rows
                ):
                    content, kind, part, books, codes, prior, bound = row
                    key = ContentKey(content, Modality(kind))
                    numbers = np.array(codes, dtype=np.int64).reshape(-1, books)
                    found.append(CodedPart(key, part, ItemCodes(numbers, prior, bound)))
        return found

    def delete(self, keys: Sequence[ContentKey]) -> None:
        """Drop all that is kept of some contents."""
        if self._table is not None:
            with _sound(self._place):
                for where in filters(keys):
                    self._table.delete(where)

    def compact(self) -> None:
        """Merge fragments if there are many."""
        if self._table is None:
            return
        with _sound(self._place):
            # It is a dict, whatever its annotation says.
            stats = cast("dict[str, dict[str, int]]", self._table.stats())
            if stats["fragment_stats"]["num_fragments"] > FRAGMENTS:
                with lean():
                    self._table.optimize(cleanup_older_than=_KEPT_FOR)

    @classmethod
    def drop_all(cls, directory: Path) -> None:
        """Drop the tables of all generating models."""
        cls(directory, "").drop_others()

    def drop_others(self) -> None:
        """Drop the tables of other generating models."""
        self._drop([name for name in self._tables() if name != self._name])

    def _drop(self, names: Sequence[str]) -> None:
        with _sound(self._place):
            for name in names:
                if name.startswith(CODES_PREFIX):
                    self._database.drop_table(name)

    def _tables(self) -> list[str]:
        return list(self._database.list_tables().tables)


@contextmanager
def _sound(place: Path | str) -> Generator[None, None, None]:
    """Whatever Lance says of damaged files or of a store that can't be written to."""
    try:
        yield
    except (ValueError, OSError, RuntimeError, LookupError, pa.ArrowException) as error:
        raise CollectionError(
            f"the codes in {place} can't be used: {' '.join(str(error).split())[:300]}",
            hint=f"delete {LANCE_NAME}/{CODES_PREFIX}*, and omnidex index --codes makes them again",
        ) from error
