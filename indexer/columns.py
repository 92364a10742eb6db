"""The columns of a collection's table: their types, and Arrow's data as numpy has it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from omni_encoder import EncoderSpec, Modality
from omni_encoder.arrays import Float16, Int8

from .entries import ContentKey
from .rows import MODALITIES

KEYS_PER_FILTER = 500


def schema(spec: EncoderSpec) -> pa.Schema:
    """What a table of an encoder's vectors holds."""
    fields = [
        pa.field("id", pa.string(), nullable=False),
        pa.field("content", pa.string(), nullable=False),
        pa.field("modality", pa.string(), nullable=False),
        pa.field("part", pa.int32(), nullable=False),
        pa.field("last", pa.bool_(), nullable=False),
        pa.field("partial", pa.bool_(), nullable=False),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
        pa.field("mime", pa.string(), nullable=False),
        pa.field("title", pa.string()),
        pa.field("caption", pa.string()),
        pa.field("text", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("duration", pa.float64()),
        pa.field("vector", pa.list_(pa.float16(), spec.dim), nullable=False),
    ]
    return pa.schema(fields, metadata={"fingerprint": spec.fingerprint, "encoder": spec.name})


def filters(keys: Sequence[ContentKey]) -> Iterator[str]:
    """SQL filters that together choose the items of some contents."""
    by_modality: dict[Modality, list[str]] = defaultdict(list)
    for key in keys:
        by_modality[key.modality].append(f"'{key.content}'")
    for modality, contents in by_modality.items():
        for start in range(0, len(contents), KEYS_PER_FILTER):
            listed = ", ".join(contents[start : start + KEYS_PER_FILTER])
            yield f"modality = '{modality}' AND content IN ({listed})"


def cells(table: pa.Table, *names: str) -> Iterator[tuple[object, ...]]:
    """Some columns, row by row."""
    return zip(*(cast("list[object]", table[name].to_pylist()) for name in names), strict=True)


def kinds_of(table: pa.Table | pa.RecordBatch) -> Int8[np.ndarray, " items"]:
    """What the items are, as positions in `MODALITIES`."""
    return (
        pc.index_in(table["modality"], pa.array([str(kind) for kind in MODALITIES]))
        .to_numpy()
        .astype(np.int8)
    )


def to_vectors(table: pa.Table, dim: int) -> Float16[np.ndarray, "items dim"]:
    """The column of vectors."""
    chunks = table["vector"].chunks
    flat = [np.asarray(pc.list_flatten(chunk)) for chunk in chunks]
    return np.concatenate([np.zeros(0, np.float16), *flat]).reshape(-1, dim)


def clean(text: str | None) -> str | None:
    """The text without lone surrogates, which UTF-8 doesn't have."""
    return None if text is None else text.encode("utf-8", "replace").decode()
