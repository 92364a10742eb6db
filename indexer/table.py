"""The vectors and what is known of every item: a LanceDB table, the truth of a collection.

Only this module and `code_table` import lancedb, through `lean_lancedb`, and what they import
pyarrow. That takes over a second, so whoever can do without it imports this module late.
"""

import time
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa

from omni_encoder import CollectionError, EncoderSpec, Modality, QueryError
from omni_encoder.arrays import Float16, Int64

from .catalogue import ContentKey, ContentRow
from .columns import cells, clean, filters, kinds_of, schema, to_vectors
from .lean import lean, limit_reading
from .lean_lancedb import Table, open_database
from .manifest import LANCE_NAME, digest_of, has_table, table_location, table_name
from .remote import remote_of
from .rows import MODALITIES, ItemRow, Items, Stamps
from .sums import Sums, Total
from .types import Version
from .where import FACTS

FRAGMENTS = 20
"""Past so many fragments reading gets slower; then they are merged."""

KEPT_FOR = timedelta(days=7)
"""How long earlier versions stay: for readers that still use one, and to go back to."""

_TAG = "run-"
_MINUTE_S = 60
_BATCH_ROWS = 1024
"""Lance reads several batches ahead; with more rows it is hardly faster, and holds them all."""
_STAMP_ROWS = 2**16
"""Stamps are a few bytes each, and reading a batch costs more than its rows."""
_FEW_ROWS = 500
"""So many rows are deleted by their numbers, which Lance finds without reading what they hold."""
_UPDATED = "_row_last_updated_at_version"
_STAMPS = ["_rowid", _UPDATED, "modality"]
_ITEM_COLUMNS = ["_rowid", _UPDATED, *FACTS, "vector"]


class VectorTable:
    """The table of one encoder. Only a holder of the writer's lock may call what writes."""

    def __init__(self, table: Table, spec: EncoderSpec, path: Path) -> None:
        self._table = table
        self._path = path
        self._spec = spec
        self._schema = schema(spec)
        self._dim = spec.dim

    @classmethod
    def open(
        cls, directory: Path, spec: EncoderSpec, *, create: bool = False, pinned: bool = False
    ) -> "VectorTable":
        """Open the table of an encoder in a collection's directory.

        Args:
            directory: The collection's directory.
            spec: The encoder.
            create: Whether to make the table if there is none.
            pinned: Whether it stays as it is now, whatever is written to it meanwhile.

        Raises:
            CollectionError: There is none, it is damaged, or another encoder made it.
        """
        name = table_name(spec)
        path, place = directory / LANCE_NAME, table_location(directory)
        limit_reading()
        try:
            database = open_database(place, pinned=pinned)
            if create and not has_table(directory, spec):
                # Row numbers that survive deletes and merges, which only creation can ask for.
                options = {"new_table_enable_stable_row_ids": "true"}
                table = database.create_table(name, schema=schema(spec), storage_options=options)
            else:
                table = database.open_table(name)
            if pinned:
                table.checkout(table.version)
            found = (table.schema.metadata or {}).get(b"fingerprint", b"").decode()
        except (ValueError, OSError, RuntimeError) as error:
            remote = remote_of(directory)
            if remote is not None:
                raise remote.unreachable(error) from error
            raise CollectionError(
                f"can't open the vectors in {place}: {error}",
                hint="restore the folder from a backup, or index into a new collection",
            ) from error
        if found != spec.fingerprint:
            raise CollectionError(
                f"the vectors in {place} are from the encoder {found or 'of unknown name'}",
                hint="index into a new collection",
            )
        return cls(table, spec, path)

    @property
    def version(self) -> int:
        """A number that grows with every change."""
        return self._table.version

    def append(self, rows: Sequence[ItemRow]) -> None:
        """Add items, all or none."""
        columns: dict[str, list[object]] = {
            "id": [f"{row.key.content}.{row.key.modality}.{row.part}" for row in rows],
            "content": [row.key.content for row in rows],
            "modality": [str(row.key.modality) for row in rows],
            "part": [row.part for row in rows],
            "last": [row.last for row in rows],
            "partial": [row.info.partial for row in rows],
            "start_s": [row.span.start if row.span else None for row in rows],
            "end_s": [row.span.end if row.span else None for row in rows],
            "mime": [row.info.mime for row in rows],
            "title": [clean(row.info.title) for row in rows],
            "caption": [clean(row.info.caption) for row in rows],
            "text": [clean(row.text) for row in rows],
            "width": [row.info.width for row in rows],
            "height": [row.info.height for row in rows],
            "duration": [row.info.duration for row in rows],
        }
        vectors = np.stack([row.vector for row in rows]).astype(np.float16)
        self._table.add(pa.table({**columns, "vector": list(vectors)}, schema=self._schema))

    def delete(self, keys: Sequence[ContentKey]) -> int:
        """Delete all items of some contents.

        Returns:
            How many items were deleted.
        """
        before = self._table.count_rows()
        for where in filters(keys):
            self._table.delete(where)
        return before - self._table.count_rows()

    def take_out(self, keys: Sequence[ContentKey]) -> Sums:
        """Delete all items of a few contents.

        Returns:
            How many items of each modality there were, and the sum of their vectors.
        """
        total, numbers = Total(), list[int]()
        for batch in self._batches(["_rowid", "modality", "vector"], keys):
            total.add(to_vectors(batch, self._dim), kinds_of(batch))
            if len(numbers) <= _FEW_ROWS:
                numbers += cast("list[int]", batch["_rowid"].to_pylist())
        if len(numbers) > _FEW_ROWS:
            self.delete(keys)
        elif numbers:
            self._table.delete(f"_rowid IN ({', '.join(map(str, numbers))})")
        return total.sums()

    def set_captions(self, captions: Mapping[ContentKey, str | None]) -> int:
        """Replace the captions of some contents, all or none; vectors stay as they are.

        Returns:
            How many contents had another caption before.
        """
        changed: list[pa.Table] = []
        for where in filters(list(captions)):
            found = self._table.search().where(where).to_arrow()
            wanted: list[str | None] = []
            differs: list[bool] = []
            for content, kind, caption in cells(found, "content", "modality", "caption"):
                wanted.append(clean(captions[ContentKey(str(content), Modality(str(kind)))]))
                differs.append(wanted[-1] != caption)
            place = found.column_names.index("caption")
            updated = found.set_column(place, "caption", pa.array(wanted, pa.string()))
            changed.append(updated.filter(pa.array(differs, pa.bool_())))
        rows = pa.concat_tables(changed)
        if rows.num_rows:
            self._table.merge_insert("id").when_matched_update_all().execute(rows)
        return len({*cells(rows, "content", "modality")})

    def inventory(self) -> tuple[list[ContentRow], list[ContentKey]]:
        """The contents whose parts are all there, and those that miss some or have one twice."""
        parts: dict[ContentKey, list[int]] = defaultdict(list)
        ends: dict[ContentKey, ContentRow] = {}
        names = ["content", "modality", "part", "last", "partial"]
        for batch in self._batches(names):
            found = cast("Iterator[tuple[str, str, int, bool, bool]]", cells(batch, *names))
            for content, kind, part, last, partial in found:
                key = ContentKey(content, Modality(kind))
                parts[key].append(part)
                if last:
                    ends[key] = ContentRow(key, part + 1, partial)
        complete = [
            ends[key]
            for key, numbers in parts.items()
            if key in ends and sorted(numbers) == list(range(ends[key].parts))
        ]
        whole = {row.key for row in complete}
        return complete, [key for key in parts if key not in whole]

    def sums(self) -> Sums:
        """How many items of each modality there are, and the sum of their vectors."""
        total = Total()
        for batch in self._batches(["modality", "vector"]):
            total.add(to_vectors(batch, self._dim), kinds_of(batch))
        return total.sums()

    def version_digest(self) -> str:
        """What tells the current version from another one of the same number."""
        return self._digest(self.version)

    def has_version(self, version: int, digest: str) -> bool:
        """Whether a version is one of this table's, and is still kept."""
        return digest != "" and self._digest(version) == digest

    def row_stamps(self) -> Stamps:
        """What tells the rows apart, and which of them have changed."""
        with _readable(self._path):
            query = self._table.search().with_row_id(with_row_id=True).select(_STAMPS)
            # In one piece, as each conversion takes as long as that of a thousand rows.
            found = query.to_batches(batch_size=_STAMP_ROWS).read_all()
        rows, updated = (found[name].to_numpy().astype(np.int64) for name in _STAMPS[:2])
        kinds = kinds_of(found)
        if np.all(rows[:-1] < rows[1:]):
            return Stamps(rows, updated, kinds, in_order=True)
        order = np.argsort(rows, kind="stable")
        return Stamps(rows[order], updated[order], kinds[order], in_order=False)

    def modalities(self) -> list[Modality]:
        """The modalities of which there are items."""
        with _readable(self._path):
            return [kind for kind in MODALITIES if self._table.count_rows(f"modality = '{kind}'")]

    def items(self, modality: Modality) -> Items:
        """All items of one modality, by ascending row number."""
        with _readable(self._path):
            query = self._table.search().with_row_id(with_row_id=True).select(_ITEM_COLUMNS)
            return self._to_items(query.where(f"modality = '{modality}'").to_arrow())

    def stream(
        self, rows: Int64[np.ndarray, " rows"], *, all_of: Modality | None = None
    ) -> Iterator[Items]:
        """Some items, a bounded number at a time.

        Args:
            rows: Their numbers, ascending.
            all_of: They are all items of this modality, and lie in this order: then they are read
                front to back, in less than half the time.

        Raises:
            CollectionError: The table can't be read, or the rows aren't those that are there.
        """
        done = 0
        with _readable(self._path):
            for found in self._taken(rows) if all_of is None else self._scanned(all_of):
                items = self._to_items(found)
                if not np.array_equal(items.rows, rows[done : done + len(items.rows)]):
                    raise LookupError("rows are not where they were")
                done += len(items.rows)
                yield items
            if done < len(rows):
                raise LookupError(f"there are {done} rows of {len(rows)}")

    def some_vectors(self, modality: Modality, count: int) -> Float16[np.ndarray, "some dim"]:
        """The vectors of some items of a modality, those that are read fastest."""
        with _readable(self._path):
            query = self._table.search().select(["vector"]).where(f"modality = '{modality}'")
            return to_vectors(query.limit(count).to_arrow(), self._dim)

    def compact(self, *, most: int = FRAGMENTS) -> None:
        """Merge fragments if there are more than `most`, and drop versions that are too old."""
        # It is a dict, whatever its annotation says.
        stats = cast("dict[str, dict[str, int]]", self._table.stats())
        if stats["fragment_stats"]["num_fragments"] <= most:
            return
        tags, oldest = self._table.tags, time.time() - KEPT_FOR.total_seconds()
        made = {int(one["version"]): one["timestamp"] for one in self._table.list_versions()}
        for name, version in self._tags().items():
            # Lance refuses to clean up as long as a tag is on what it would drop.
            if version not in made or made[version].timestamp() < oldest + _MINUTE_S:
                tags.delete(name)
        with lean():
            self._table.optimize(cleanup_older_than=KEPT_FOR)

    def keep_version(self) -> None:
        """Mark the current version as the end of a run, for `history`."""
        name = f"{_TAG}{self.version}"
        try:  # asking for the others first would take as long again
            self._table.tags.create(name, self.version)
        except RuntimeError:
            if name not in self._tags():
                raise

    def history(self) -> list[Version]:
        """The versions that are kept, newest first."""
        with _readable(self._path):
            kept = set(self._tags().values())
            listed = self._table.list_versions()
        return [
            Version(
                number=int(one["version"]),
                made=one["timestamp"].timestamp(),
                items=int(one["metadata"]["total_rows"]),
                current=int(one["version"]) == self.version,
            )
            for one in sorted(listed, key=lambda one: -int(one["version"]))
            if int(one["version"]) in kept | {self.version}
        ]

    def must_keep(self, version: int) -> None:
        """Make sure that an earlier version can be gone back to.

        Raises:
            QueryError: It isn't one of those that are kept.
        """
        kept = [one.number for one in self.history()]
        if version not in kept:
            raise QueryError(
                f"there is no version {version} to go back to",
                hint=f"omnidex history lists them: {', '.join(map(str, kept))}",
            )

    def restore(self, version: int) -> None:
        """Make the rows of an earlier version, which is kept, the current ones."""
        self._table.restore(version)

    def _tags(self) -> dict[str, int]:
        """The versions at which runs have ended, by their tags."""
        names = [name for name in self._table.tags.list() if name.startswith(_TAG)]
        return {name: int(name.removeprefix(_TAG)) for name in names}

    def _digest(self, version: int) -> str:
        return digest_of(self._path.parent, self._spec, version)

    def _taken(self, rows: Int64[np.ndarray, " rows"]) -> Iterator[pa.Table]:
        for start in range(0, len(rows), _BATCH_ROWS):
            numbers = cast("list[int]", rows[start : start + _BATCH_ROWS].tolist())
            yield self._table.take_row_ids(numbers).select(_ITEM_COLUMNS).to_arrow()

    def _scanned(self, modality: Modality) -> Iterator[pa.Table]:
        query = self._table.search().with_row_id(with_row_id=True).select(_ITEM_COLUMNS)
        chosen = query.where(f"modality = '{modality}'")
        for batch in chosen.to_batches(batch_size=_BATCH_ROWS):
            yield pa.Table.from_batches([batch])

    def _to_items(self, found: pa.Table) -> Items:
        rows = found["_rowid"].to_numpy().astype(np.int64)
        if not np.all(rows[:-1] < rows[1:]):
            found = found.take(np.argsort(rows, kind="stable"))
        return Items(
            rows=found["_rowid"].to_numpy().astype(np.int64),
            updated=found[_UPDATED].to_numpy().astype(np.int64),
            vectors=to_vectors(found, self._dim),
            facts=list(cells(found, *FACTS)),
        )

    def _batches(
        self, columns: list[str], keys: Sequence[ContentKey] | None = None
    ) -> Iterator[pa.Table]:
        """Some columns of all items, or of those of some contents, as tables of bounded size."""
        with _readable(self._path):
            for where in [None] if keys is None else filters(keys):
                query = self._table.search().with_row_id(with_row_id="_rowid" in columns)
                query = query.select(columns)
                chosen = query if where is None else query.where(where)
                for batch in chosen.to_batches(batch_size=_BATCH_ROWS):
                    yield pa.Table.from_batches([batch])


@contextmanager
def _readable(path: Path) -> Generator[None, None, None]:
    """Whatever Lance says of damaged files, whose kind of error depends on the damage."""
    try:
        yield
    except (ValueError, OSError, RuntimeError, LookupError, pa.ArrowException) as error:
        raise CollectionError(
            f"the vectors in {path} can't be read, they are damaged: {error}",
            hint="restore the folder from a backup, or index again into a new folder:"
            " omnidex index -c NEW PATH",
        ) from error
