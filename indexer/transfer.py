"""Taking a collection's vectors out, and bringing vectors in: Arrow, Parquet, NumPy, FAISS.

`parquet` and `arrow` are one file with a row for each item: its facts, its paths and its vector.
`numpy` and `faiss` are a folder with two files for each modality, `image.npy` or `image.faiss` and
`image.jsonl`, whose lines are the facts of the vectors in the same order.

What comes from outside is not trusted. Pickled arrays are refused, and of FAISS's files only flat
ones are taken, which are read here and never by FAISS.
"""

import json
import os
import shutil
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import cast
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3
from pyarrow import ipc

from omni_encoder import CollectionError, EncoderSpec, MediaError, Modality, Span
from omni_encoder.arrays import Float32
from omni_encoder.media import MediaInfo

from .catalogue import Catalogue, ContentKey, ContentRow
from .collection import Collection
from .manifest import has_table
from .rows import ItemRow
from .table import VectorTable
from .where import FACTS

_BATCH_ROWS = 1024
_FLAT = {b"IxFI", b"IxF2", b"IxFl"}
# Four bytes of kind, dimensions, count, two that are not used, whether trained, and the metric.
_FLAT_HEADER = struct.Struct("<4siqqqBi")
_MOST_DIMENSIONS = 65_536
_MOST_WHOLE = 2**31 - 1
"""The table's columns of whole numbers have 32 bits."""

_UNSOUND = (ValueError, KeyError, TypeError, ArithmeticError, MemoryError, struct.error)
"""What a file from outside can lead to."""


class Form(StrEnum):
    """How vectors lie outside a collection."""

    PARQUET = "parquet"
    ARROW = "arrow"
    NUMPY = "numpy"
    FAISS = "faiss"


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Some items of one modality: a dict of facts and paths for each, and unit rows."""

    facts: Sequence[Mapping[str, object]]
    vectors: Float32[np.ndarray, "items dim"]


def export(collection: Collection, target: Path, form: Form) -> int:
    """Write all items of a collection.

    Args:
        collection: What to write.
        target: A file for `parquet` and `arrow`, a folder for the others; it must not exist.
        form: How to write it.

    Returns:
        How many items were written.

    Raises:
        CollectionError: The target exists or can't be written, or the collection is damaged.
    """
    if os.path.lexists(target):
        raise CollectionError(f"{target} exists already", hint="name another file or folder")
    parts = list(_parts(collection))
    unfinished = target.with_name(f".{target.name}-{uuid4().hex[:8]}")
    try:
        if form in (Form.PARQUET, Form.ARROW):
            _write_table(parts, collection, unfinished, form)
        else:
            unfinished.mkdir(parents=True)
            for part in parts:
                _write_folder(part, unfinished, form)
        unfinished.rename(target)
    except OSError as error:
        said = os.strerror(error.errno) if error.errno else error.strerror or str(error)
        raise CollectionError(f"can't write {target}: {said}") from error
    finally:  # after the renaming there is nothing to delete
        shutil.rmtree(unfinished, ignore_errors=True)
        with suppress(OSError):
            unfinished.unlink()
    return sum(len(part.facts) for part in parts)


@dataclass(frozen=True, slots=True)
class Imported:
    """What was brought in.

    Attributes:
        items: How many items were added.
        incomplete: How many contents were left out because some of their parts are missing.
    """

    items: int
    incomplete: int


def bring_in(source: Path, collection: Collection, form: Form) -> Imported:
    """Add the items of a file or folder to a collection; those that are there already stay.

    Items keep the content that they are said to have; without one, the vector itself stands for
    it. Paths are not taken over: a file belongs to a collection when it has been indexed. So that
    its parts are all there then, a content is taken whole or not at all: `parts` says how many it
    has, and without that they must be numbered from 0 on.

    Args:
        source: What `export` wrote, or something of the same form.
        collection: Where they go. Its encoder must be the one that made the vectors.
        form: How they lie there.

    Raises:
        CollectionError: Vectors are of another length, not finite, or the file isn't sound.
        MediaError: There is no such file.
    """
    if not source.exists():
        raise MediaError(f"there is no file {source}", reason="missing")
    try:
        parts = list(_read(source, form))
    except (*_UNSOUND, OSError, pa.ArrowException) as error:
        raise CollectionError(
            f"{source} can't be read as {form}: {error}",
            hint="docs/collection.md describes the forms",
        ) from error
    rows = [row for part in parts for row in _rows(part, collection.spec, source)]
    added, incomplete = 0, 0
    with collection.writing("import") as writer:
        known = writer.catalogue.contents()
        groups: dict[ContentKey, list[ItemRow]] = {}
        wanted: dict[ContentKey, int] = {}
        for row, parts_in_all in rows:
            groups.setdefault(row.key, []).append(row)
            wanted[row.key] = max(parts_in_all, wanted.get(row.key, 1))
        for key, group in groups.items():
            if key in known:
                continue
            whole = _whole_content(group)
            if len(whole) < wanted[key] or whole[-1].part != len(whole) - 1:
                incomplete += 1
                continue
            writer.add(whole)
            writer.enter_content(ContentRow(key, len(whole), partial=False))
            added += len(whole)
            if writer.waiting()[0] >= _BATCH_ROWS:
                writer.commit()
    return Imported(added, incomplete)


def _parts(collection: Collection) -> Iterator[_Part]:
    if not has_table(collection.directory, collection.spec):
        return
    catalogue = Catalogue.open_to_read(collection.directory)
    table = VectorTable.open(collection.directory, collection.spec, pinned=True)
    for modality in table.modalities():
        items = table.items(modality)
        facts: list[Mapping[str, object]] = []
        listed = [dict(zip(FACTS, values, strict=True)) for values in items.facts]
        parts = Counter(str(known["content"]) for known in listed)
        for known in listed:
            content = str(known["content"])
            found = catalogue.locations(ContentKey(content, modality))
            paths = [one.path.decode("utf-8", "replace") for one in found]
            facts.append(known | {"parts": parts[content], "paths": paths})
        yield _Part(facts, items.vectors.astype(np.float32))
    catalogue.close()


def _write_table(parts: Sequence[_Part], collection: Collection, target: Path, form: Form) -> None:
    columns: dict[str, list[object]] = {
        name: [one[name] for part in parts for one in part.facts]
        for name in (*FACTS, "parts", "paths")
    }
    vectors = [vector for part in parts for vector in part.vectors]
    kinds = {"TEXT": pa.string(), "INTEGER": pa.int64(), "REAL": pa.float64()}
    fields = [pa.field(name, kinds[kind]) for name, kind in FACTS.items()]
    fields += [
        pa.field("parts", pa.int64()),
        pa.field("paths", pa.list_(pa.string())),
        pa.field("vector", pa.list_(pa.float32(), collection.spec.dim)),
    ]
    spec = collection.spec
    metadata: dict[bytes | str, bytes | str] = {
        "encoder": spec.name,
        "fingerprint": spec.fingerprint,
    }
    table = pa.table(columns | {"vector": vectors}, schema=pa.schema(fields, metadata=metadata))
    if form is Form.PARQUET:
        pq.write_table(table, target)
        return
    with pa.OSFile(str(target), "wb") as file, ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _write_folder(part: _Part, folder: Path, form: Form) -> None:
    name = str(part.facts[0]["modality"])
    with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as lines:
        for facts in part.facts:
            lines.write(json.dumps(facts, ensure_ascii=False) + "\n")
    if form is Form.NUMPY:
        np.save(folder / f"{name}.npy", part.vectors, allow_pickle=False)
        return
    rows, dim = part.vectors.shape
    with (folder / f"{name}.faiss").open("wb") as file:
        # FAISS's flat index by inner product (metric 0), which `faiss.read_index` opens.
        file.write(_FLAT_HEADER.pack(b"IxFI", dim, rows, 1 << 20, 1 << 20, 1, 0))
        file.write(struct.pack("<Q", rows * dim))
        file.write(part.vectors.astype("<f4").tobytes())


def _read(source: Path, form: Form) -> Iterator[_Part]:
    if form in (Form.PARQUET, Form.ARROW):
        yield _read_table(source, form)
        return
    for path in sorted(source.glob(f"*.{'npy' if form is Form.NUMPY else 'faiss'}")):
        vectors = _load(path) if form is Form.NUMPY else read_flat(path)
        # Not `splitlines`, which also splits at characters that JSON leaves as they are.
        lines = path.with_suffix(".jsonl").read_text("utf-8").split("\n")
        facts = [cast("dict[str, object]", json.loads(line)) for line in lines if line.strip()]
        yield _Part(facts, np.asarray(vectors, dtype=np.float32))


def _load(path: Path) -> Float32[np.ndarray, "rows dim"]:
    # Mapped: then a header that promises more than there is is refused before memory is asked for.
    mapped = cast("np.ndarray", np.load(path, mmap_mode="r", allow_pickle=False))
    return np.array(mapped, dtype=np.float32)


def _read_table(source: Path, form: Form) -> _Part:
    if form is Form.PARQUET:
        table = pq.read_table(source)
    else:
        with pa.memory_map(str(source)) as file:
            table = ipc.open_file(file).read_all()
    rows = cast("list[list[float]]", table["vector"].to_pylist())
    facts = cast("list[dict[str, object]]", table.drop_columns(["vector"]).to_pylist())
    return _Part(facts, np.array(rows, dtype=np.float32).reshape(len(rows), -1 if rows else 0))


def read_flat(path: Path) -> Float32[np.ndarray, "rows dim"]:
    """The vectors of a FAISS file that holds a flat index, without any code of FAISS's.

    Raises:
        ValueError: It holds something else, or is not as long as it says.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(_FLAT_HEADER.size)
        kind, dim, rows, *_ = _FLAT_HEADER.unpack(header)
        if kind not in _FLAT:
            raise ValueError("only flat FAISS indexes are taken, such as IndexFlatIP")
        (count,) = struct.unpack("<Q", file.read(8))
        expected = _FLAT_HEADER.size + 8 + 4 * count
        if not 0 < dim <= _MOST_DIMENSIONS or rows < 0 or count != rows * dim:
            raise ValueError("its header contradicts itself")
        if size != expected:
            raise ValueError(f"it has {size} bytes instead of {expected}")
        return np.frombuffer(file.read(), dtype="<f4").reshape(rows, dim)


def _rows(part: _Part, spec: EncoderSpec, source: Path) -> Iterator[tuple[ItemRow, int]]:
    """The items of a part, checked, each with how many parts its content is said to have."""
    vectors, dim = part.vectors, spec.dim
    if not part.facts and not vectors.size:
        return
    if vectors.ndim != 2 or vectors.shape != (len(part.facts), dim):
        raise CollectionError(
            f"{source} has vectors of the shape {vectors.shape} for {len(part.facts)} items",
            hint=f"this collection takes one vector of {dim} numbers for each item",
        )
    norms = np.linalg.norm(vectors, axis=1)
    if not np.all(np.isfinite(norms) & (norms > 0)):
        raise CollectionError(f"{source} has vectors that are zero or not finite")
    for facts, vector in zip(part.facts, vectors / norms[:, None], strict=True):
        try:
            row = _row(facts, vector.astype(np.float32))
            if row.key.modality not in spec.modalities:
                raise ValueError(f"the encoder {spec.name} can't encode {row.key.modality}")
            yield row, _whole(facts.get("parts")) or 1
        except _UNSOUND as error:
            raise CollectionError(
                f"{source} has an item that can't be understood: {error}",
                hint="an item needs a modality at least: text, image, audio or video",
            ) from error


def _row(facts: Mapping[str, object], vector: Float32[np.ndarray, " dim"]) -> ItemRow:
    modality = Modality(str(facts["modality"]))
    content = str(facts.get("content") or blake3(vector.tobytes()).hexdigest(length=16))
    if len(content) != 32 or set(content) - set("0123456789abcdef"):
        raise ValueError(f"{content!r} is no content, which has 32 hexadecimal digits")
    start, end = facts.get("start_s"), facts.get("end_s")
    info = MediaInfo(
        modality,
        str(facts.get("mime") or "application/octet-stream"),
        title=_text(facts.get("title")),
        caption=_text(facts.get("caption")),
        width=_whole(facts.get("width")),
        height=_whole(facts.get("height")),
        duration=_real(facts.get("duration")),
    )
    return ItemRow(
        key=ContentKey(content, modality),
        part=_whole(facts.get("part")) or 0,
        last=True,
        span=None if start is None or end is None else Span(_real(start) or 0.0, _real(end) or 0.0),
        text=_text(facts.get("text")),
        info=info,
        vector=vector,
    )


def _whole_content(rows: Sequence[ItemRow]) -> list[ItemRow]:
    """The parts of one content in order, each once, the last one marked."""
    first = {row.part: row for row in reversed(rows)}
    last = max(first)
    return [replace(first[part], last=part == last) for part in sorted(first)]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _whole(value: object) -> int | None:
    if value is None:
        return None
    number = int(cast("int", value))
    if abs(number) > _MOST_WHOLE:
        raise ValueError(f"{number} has more than 32 bits")
    return number


def _real(value: object) -> float | None:
    return None if value is None else float(cast("float", value))
