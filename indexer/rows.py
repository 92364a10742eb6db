"""Items as they go into the table and come out of it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from omni_encoder import Span
from omni_encoder.media import MediaInfo

from .catalogue import ContentKey


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
