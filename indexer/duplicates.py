"""Files that hold the same, and files that hold nearly the same.

Nearly the same are items whose vectors are close. Pictures must also look the same by their
difference hash, and photos that a camera took at different moments are a burst, no duplicates.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from omni_encoder import MediaError, Modality
from omni_encoder.arrays import Float32

from .catalogue import Catalogue
from .collection import Collection
from .entries import ContentKey, Location
from .manifest import has_table

if TYPE_CHECKING:
    from omni_encoder.media_look import Look

_BLOCK_ROWS = 1024


class Likeness(StrEnum):
    """How alike the files of a group are."""

    EXACT = "exact"
    NEAR = "near"


@dataclass(frozen=True, slots=True)
class DuplicateOptions:
    """What counts as a duplicate.

    Attributes:
        near: Whether to look for near duplicates too, which decodes the pictures in question.
        bursts: Whether photos taken at different moments may be duplicates.
        least_cosine: How close the vectors of pictures must be, before they are looked at.
        least_cosine_others: How close the vectors of every part of other media must be.
        most_bits: In how many of 256 bits the difference hashes of two pictures may differ.
    """

    near: bool = True
    bursts: bool = False
    least_cosine: float = 0.9
    least_cosine_others: float = 0.99
    most_bits: int = 20

    def __post_init__(self) -> None:
        if self.most_bits < 0:
            raise ValueError(f"most_bits must not be negative, got {self.most_bits}")


@dataclass(frozen=True, slots=True)
class Copy:
    """One file of a group."""

    path: Path
    content: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Group:
    """Files that are duplicates of each other: the largest first, equal ones by path.

    Attributes:
        likeness: `exact` if all files hold the same bytes.
        modality: What they are.
        copies: At least two.
    """

    likeness: Likeness
    modality: Modality
    copies: tuple[Copy, ...]


def duplicates(
    collection: Collection,
    options: DuplicateOptions | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Group]:
    """Group the files of a collection that are duplicates of each other.

    Files that aren't there any more are left out of near duplicates if they can't be looked at.

    Args:
        collection: Where to look.
        options: What counts.
        progress: Called with how many pictures were looked at, and how many there are.

    Raises:
        CollectionError: The collection is damaged.
    """
    options = options or DuplicateOptions()
    catalogue = Catalogue.open_to_read(collection.directory)
    places: dict[ContentKey, list[Location]] = defaultdict(list)
    for key, place in catalogue.all_locations():
        places[key].append(place)
    catalogue.close()
    sets = _Sets(places)
    if options.near:
        for one, other in _near_pairs(collection, places, options, progress):
            sets.join(one, other)
    groups = [_group(keys, places) for keys in sets.all()]
    return sorted(
        (group for group in groups if len(group.copies) > 1), key=lambda group: group.copies[0].path
    )


class _Sets:
    """Disjoint sets of contents."""

    def __init__(self, keys: Mapping[ContentKey, object]) -> None:
        self._parents = {key: key for key in keys}

    def join(self, one: ContentKey, other: ContentKey) -> None:
        self._parents[self._root(one)] = self._root(other)

    def all(self) -> Iterator[list[ContentKey]]:
        members: dict[ContentKey, list[ContentKey]] = defaultdict(list)
        for key in self._parents:
            members[self._root(key)].append(key)
        yield from members.values()

    def _root(self, key: ContentKey) -> ContentKey:
        while self._parents[key] != key:
            self._parents[key] = self._parents[self._parents[key]]
            key = self._parents[key]
        return key


def _group(keys: Sequence[ContentKey], places: Mapping[ContentKey, list[Location]]) -> Group:
    copies = [
        Copy(Path(os.fsdecode(place.path)), key.content, place.size)
        for key in keys
        for place in places[key]
    ]
    copies.sort(key=lambda copy: (-copy.bytes, copy.path))
    likeness = Likeness.EXACT if len(keys) == 1 else Likeness.NEAR
    return Group(likeness, keys[0].modality, tuple(copies))


def _near_pairs(
    collection: Collection,
    places: Mapping[ContentKey, list[Location]],
    options: DuplicateOptions,
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[ContentKey, ContentKey]]:
    if not has_table(collection.directory, collection.spec):
        return
    from .table import VectorTable
    from .where import FACTS

    table = VectorTable.open(collection.directory, collection.spec)
    for modality in table.modalities():
        items = table.items(modality)
        parts: dict[ContentKey, dict[int, int]] = defaultdict(dict)  # the position of each part
        for position, facts in enumerate(items.facts):
            known = dict(zip(FACTS, facts, strict=True))
            key = ContentKey(str(known["content"]), modality)
            if key in places:
                parts[key][int(str(known["part"]))] = position
        vectors = items.vectors.astype(np.float32)
        keys = list(parts)
        is_picture = modality is Modality.IMAGE
        least = options.least_cosine if is_picture else options.least_cosine_others
        pairs = list(_close(keys, parts, vectors, least))
        if is_picture:
            yield from _looking_alike(pairs, places, options, progress)
        else:
            yield from pairs


def _close(
    keys: Sequence[ContentKey],
    parts: Mapping[ContentKey, Mapping[int, int]],
    vectors: Float32[np.ndarray, "items dim"],
    least: float,
) -> Iterator[tuple[ContentKey, ContentKey]]:
    """Pairs of contents with equally many parts, all of which are close."""
    by_length: dict[int, list[ContentKey]] = defaultdict(list)
    for key in keys:
        by_length[len(parts[key])].append(key)
    for length, alike in by_length.items():
        firsts = vectors[[parts[key][0] for key in alike]]
        for row, column in _close_rows(firsts, least):
            one, other = alike[row], alike[column]
            if all(
                vectors[parts[one][part]] @ vectors[parts[other][part]] >= least
                for part in range(1, length)
            ):
                yield one, other


def _close_rows(
    vectors: Float32[np.ndarray, "items dim"], least: float
) -> Iterator[tuple[int, int]]:
    """Pairs of close rows, the first before the second, in order; one block of scores at a time."""
    for start in range(0, len(vectors), _BLOCK_ROWS):
        found: list[tuple[int, int]] = []
        for beside in range(start, len(vectors), _BLOCK_ROWS):
            block = vectors[start : start + _BLOCK_ROWS] @ vectors[beside : beside + _BLOCK_ROWS].T
            for row, column in np.argwhere(block >= least).tolist():
                if start + row < beside + column:
                    found.append((start + row, beside + column))
        yield from sorted(found)


def _looking_alike(
    pairs: Sequence[tuple[ContentKey, ContentKey]],
    places: Mapping[ContentKey, list[Location]],
    options: DuplicateOptions,
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[ContentKey, ContentKey]]:
    keys = sorted({key for pair in pairs for key in pair})
    looks: dict[ContentKey, Look] = {}
    for number, key in enumerate(keys):
        look = _look(places[key])
        if look is not None:
            looks[key] = look
        if progress is not None:
            progress(number + 1, len(keys))
    for one, other in pairs:
        if one in looks and other in looks and _are_copies(looks[one], looks[other], options):
            yield one, other


def _look(places: Sequence[Location]) -> "Look | None":
    from omni_encoder.media_look import look_of

    for place in places:
        try:
            return look_of(Path(os.fsdecode(place.path)))
        except (MediaError, OSError):
            continue
    return None


def _are_copies(one: "Look", other: "Look", options: DuplicateOptions) -> bool:
    if one.distance(other) > options.most_bits:
        return False
    is_burst = one.taken and other.taken and one.taken != other.taken
    return options.bursts or not is_burst
