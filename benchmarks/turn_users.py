"""Simulated users of `benchmarks.turns`: what they know of an item, and what they say in a turn."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np

from omni_encoder.splits import group_key, read_manifest
from retrieval.turns import Turn

from .manifest import ManifestItem, load_items

Kind = Literal["words", "hits", "mixed"]
KINDS: tuple[Kind, ...] = ("words", "hits", "mixed")

# What captions made from templates begin with; it says nothing about the item.
_TEMPLATE = re.compile(
    r"^(an?|the) (photo|picture|drawing|emoji|animation|sound|voice saying|recording)( of)? "
    r"(an? |the )?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Target:
    """An item, and what is known of it.

    Attributes:
        item: As in the manifest.
        group: What it is split by.
        tags: Words about it; may be empty.
        category: Something that it has in common with many; None if unknown.
    """

    item: ManifestItem
    group: str
    tags: frozenset[str]
    category: str | None


@dataclass(frozen=True, slots=True)
class Words:
    """What a user says of an item: something vague, something more, and what its caption says."""

    vague: str
    more: str
    caption: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a user sees: the numbers of the items shown, best first, without the one looked for."""

    target: int
    shown: tuple[int, ...]


def load_targets(manifest: Path, split: Path | None) -> list[Target]:
    """The items of a manifest that have a caption.

    Raises:
        OmniError: As `load_items` raises it.
    """
    rows = {str(row["id"]): row for row in read_manifest(manifest)}
    items = load_items(manifest, split=split)
    return [_target(item, rows[item.id]) for item in items if item.captions]


def words_about(target: Target, generator: np.random.Generator) -> Words:
    """Draw what a user says about an item."""
    captions = target.item.captions
    core = _TEMPLATE.sub("", captions[int(generator.integers(len(captions)))]).strip(" .")
    half = " ".join(core.split()[: max(1, len(core.split()) // 2)])
    vague = sorted(target.tags | ({target.category} if target.category else set[str]()))
    chosen = [vague[int(i)] for i in generator.permutation(len(vague))[:2]]
    first, second = [*chosen, half, core][:2]
    return Words(first, second, core)


def next_turn(kind: Kind, number: int, words: Words, seen: Seen, targets: Sequence[Target]) -> Turn:
    """What a user says in a turn, counted from 1, after having seen some hits."""
    if number == 1:
        return Turn(text=words.vague)
    if kind == "words" or (kind == "mixed" and number == 3):
        return Turn(text=words.more if number == 2 else words.caption)
    target = targets[seen.target]
    likeness = [_likeness(target, targets[other]) for other in seen.shown]
    best = max(likeness, default=0)
    return Turn(more=(likeness.index(best) + 1,)) if best else Turn(less=(1,))


def _target(item: ManifestItem, row: Mapping[str, object]) -> Target:
    listed = [row.get("tags"), row.get("concepts")]
    tags = {str(tag) for tags in listed for tag in cast("list[object]", tags or [])}
    category = row.get("coarse_label") or row.get("category")
    return Target(item, group_key(row), frozenset(tags), str(category) if category else None)


def _likeness(one: Target, other: Target) -> int:
    """How alike two items are to somebody who knows what they show: 0 to 3."""
    if one.item.label is not None and one.item.label == other.item.label:
        return 3
    if one.category is not None and one.category == other.category:
        return 2
    return 1 if one.tags & other.tags else 0
