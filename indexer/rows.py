"""Items as they go into the table and come out of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Bool, Float16, Float32, Int64

from omni_encoder import Span
from omni_encoder.media import MediaInfo

from .entries import ContentKey


@dataclass(frozen=True, slots=True, eq=False)
class ItemRow:
    """A new item: one part of a content, with its vector."""

    key: ContentKey
    part: int
    last: bool
    span: Span | None
    text: str | None
    info: MediaInfo
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
class Items:
    """Items of one modality, by ascending row number."""

    rows: Int64[np.ndarray, " items"]
    updated: Int64[np.ndarray, " items"]
    vectors: Float16[np.ndarray, "items dim"]
    facts: Sequence[tuple[object, ...]]

    def chosen(self, mask: Bool[np.ndarray, " items"]) -> "Items":
        """Some of them."""
        facts = [self.facts[i] for i in np.flatnonzero(mask).tolist()]
        return Items(self.rows[mask], self.updated[mask], self.vectors[mask], facts)

    def joined(self, others: "Items") -> "Items":
        """These and others together."""
        rows = np.concatenate([self.rows, others.rows])
        order = np.argsort(rows, kind="stable")
        facts = [*self.facts, *others.facts]
        return Items(
            rows[order],
            np.concatenate([self.updated, others.updated])[order],
            np.concatenate([self.vectors, others.vectors])[order],
            [facts[i] for i in cast("list[int]", order.tolist())],
        )
