"""Items as they go into the table and come out of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from omni_encoder import Modality, Span
from omni_encoder.arrays import Float16, Float32, Int8, Int64

from .entries import ContentKey

if TYPE_CHECKING:
    from omni_encoder.media import MediaInfo

MODALITIES = tuple(Modality)


@dataclass(frozen=True, slots=True, eq=False)
class ItemRow:
    """A new item: one part of a content, with its vector."""

    key: ContentKey
    part: int
    last: bool
    span: Span | None
    text: str | None
    info: "MediaInfo"
    vector: Float32[np.ndarray, " dim"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the table knows of an item, but for its vector."""

    row: int
    id: str
    key: ContentKey
    part: int
    span: Span | None
    mime: str
    title: str | None
    caption: str | None
    text: str | None
    width: int | None
    height: int | None
    duration: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Stamps:
    """All rows of a table, by ascending number.

    Attributes:
        rows: Their numbers.
        updated: The versions of their last change.
        kinds: What they are, as positions in `MODALITIES`.
        in_order: Whether they lie in this order, so that reading front to back gives it.
    """

    rows: Int64[np.ndarray, " items"]
    updated: Int64[np.ndarray, " items"]
    kinds: Int8[np.ndarray, " items"]
    in_order: bool

    def of(self, modality: Modality) -> Int64[np.ndarray, " some"]:
        """The numbers of the rows of one modality."""
        return self.rows[self.kinds == MODALITIES.index(modality)]


@runtime_checkable
class ItemSource(Protocol):
    """Items of one modality that need not be in memory all at once."""

    @property
    def rows(self) -> Int64[np.ndarray, " items"]:
        """Their row numbers, ascending."""
        ...

    def batches(self) -> Iterator["Items"]:
        """All of them, a bounded number at a time."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """Items of one modality, by ascending row number; an `ItemSource` of itself."""

    rows: Int64[np.ndarray, " items"]
    updated: Int64[np.ndarray, " items"]
    vectors: Float16[np.ndarray, "items dim"]
    facts: Sequence[tuple[object, ...]]

    def batches(self) -> Iterator["Items"]:
        """All of them at once."""
        yield self
