"""Queries of several parts, made of annotations that people made for other purposes.

    name + picture -> picture     a name and a picture in one style; the other styles answer
    name + picture -> video       the same; the animated emoji answers
    name + picture -> audio       a thing's name and picture; the sounds with its pair id answer
    name + sound -> picture       a thing's name and sound; the pictures with its pair id answer
    picture + tag -> picture      a picture with tag A, not B, and the word B; what has both answers
    tag + tag -> picture          the words A and B; what has both answers
    tag - tag -> picture          the word A, and not the word B; what has A and not B answers

Pictures for the tag tasks, and which pairs of tags are asked, are drawn by a seed.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from omni_encoder import Modality

from .manifest import ManifestItem
from .tasks import Part

PAIRS = 300
"""At most so many pairs of tags for each seed."""
_ANSWERS = 2  # at least
_COMMON = 60  # a tag of more items says too little


@dataclass(frozen=True, slots=True)
class ComposedQuery:
    """A query of several parts.

    Attributes:
        parts: Texts and files, each with its weight's sign: 1 is wanted, -1 is not.
        answers: Numbers of the candidates that answer it.
        own: The candidate that is a part of the query and isn't ranked, or -1.
        unwanted: Numbers of the candidates that what isn't wanted is said of.
    """

    parts: tuple[tuple[Part, int], ...]
    answers: tuple[int, ...]
    own: int = -1
    unwanted: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ComposedTask:
    """Queries of one form.

    Attributes:
        name: Such as `text+image->video`.
        target: What is ranked: all items of this modality.
        queries: What is asked.
        parts: What each part is, in the queries' order.
    """

    name: str
    target: Modality
    queries: Sequence[ComposedQuery] = field(default_factory=list[ComposedQuery])
    parts: tuple[str, ...] = ()


def read_tags(manifest: Path) -> dict[str, frozenset[str]]:
    """The tags of a manifest's items by id, in lower case."""
    tags: dict[str, frozenset[str]] = {}
    for line in manifest.read_text(encoding="utf-8").splitlines():
        if line.strip():
            row: dict[str, object] = json.loads(line)
            given = cast("list[object]", row.get("tags") or [])
            tags[str(row["id"])] = frozenset(str(tag).strip().lower() for tag in given)
    return tags


def pair_tasks(items: Mapping[Modality, Sequence[ManifestItem]]) -> list[ComposedTask]:
    """The tasks in which both parts stand for the same thing; nothing is drawn."""
    forms = (
        (Modality.IMAGE, Modality.IMAGE),
        (Modality.IMAGE, Modality.VIDEO),
        (Modality.IMAGE, Modality.AUDIO),
        (Modality.AUDIO, Modality.IMAGE),
    )
    tasks: list[ComposedTask] = []
    for given, target in forms:
        queries = _pair_queries(items.get(given, ()), items.get(target, ()), same=given is target)
        name = f"name+{_word(given)}->{_word(target)}"
        tasks.append(ComposedTask(name, target, queries, ("name", _word(given))))
    return tasks


def tag_tasks(
    items: Sequence[ManifestItem], tags: Mapping[str, frozenset[str]], *, seed: int
) -> list[ComposedTask]:
    """The tasks of two tags over images."""
    generator = np.random.default_rng([seed, 8])
    carriers: dict[str, set[int]] = defaultdict(set)
    for number, item in enumerate(items):
        for tag in tags.get(item.id, ()):
            carriers[tag].add(number)
    usable = sorted(tag for tag, found in carriers.items() if 2 * _ANSWERS <= len(found) <= _COMMON)
    both: list[tuple[str, str]] = []
    apart: list[tuple[str, str]] = []
    for a in usable:
        for b in usable:
            shared = len(carriers[a] & carriers[b])
            left = len(carriers[a]) - shared
            if a != b and shared >= _ANSWERS and left >= _ANSWERS:
                both.append((a, b))
                if shared >= left / 2:  # else leaving B out says little
                    apart.append((a, b))
    seen: list[ComposedQuery] = []
    words: list[ComposedQuery] = []
    without: list[ComposedQuery] = []
    for a, b in _drawn(both, generator):
        answers = tuple(sorted(carriers[a] & carriers[b]))
        own = int(generator.choice(sorted(carriers[a] - carriers[b])))
        picture = Part(Modality.IMAGE, items[own].path)
        seen.append(ComposedQuery(((_text(b), 1), (picture, 1)), answers, own))
        words.append(ComposedQuery(((_text(a), 1), (_text(b), 1)), answers))
    for a, b in _drawn(apart, generator):
        answers = tuple(sorted(carriers[a] - carriers[b]))
        parts = ((_text(a), 1), (_text(b), -1))
        without.append(ComposedQuery(parts, answers, unwanted=tuple(sorted(carriers[b]))))
    return [
        ComposedTask("tag+picture->picture", Modality.IMAGE, seen, ("tag", "picture")),
        ComposedTask("tag+tag->picture", Modality.IMAGE, words, ("tag", "other tag")),
        ComposedTask("tag-tag->picture", Modality.IMAGE, without, ("tag", "unwanted tag")),
    ]


def _pair_queries(
    given: Sequence[ManifestItem], targets: Sequence[ManifestItem], *, same: bool
) -> list[ComposedQuery]:
    members: dict[str, list[int]] = defaultdict(list)
    for number, item in enumerate(targets):
        if item.pair_id is not None:
            members[item.pair_id].append(number)
    queries: list[ComposedQuery] = []
    for number, item in enumerate(given):
        own = number if same else -1
        answers = tuple(n for n in members.get(item.pair_id or "", ()) if n != own)
        if answers and item.captions:
            parts = ((_text(item.captions[0]), 1), (Part(item.modality, item.path), 1))
            queries.append(ComposedQuery(parts, answers, own))
    return queries


def _drawn(
    pairs: Sequence[tuple[str, str]], generator: np.random.Generator
) -> list[tuple[str, str]]:
    order = generator.permutation(len(pairs))[:PAIRS]
    return [pairs[int(number)] for number in order]


def _text(text: str) -> Part:
    return Part(Modality.TEXT, text)


def _word(modality: Modality) -> str:
    return {Modality.IMAGE: "picture", Modality.AUDIO: "sound"}.get(modality, str(modality))
