"""One's own collection: a manifest of annotated media; `bench quality` measures it too.

Protocol. Every direction of `retrieval.evaluate.DIRECTIONS` that the manifest has queries for, over
all items of the target modality. Text queries are the distinct captions of the other modality's
items, and an item is relevant when it carries the caption. Within a modality an item is relevant
when it has the query's label (the query itself left out); between media, when it has its `pair_id`.
`by_source` and `by_caption_kind` ask only the captions that an item of that source or kind carries,
over the same candidates. Compare `success@k` with `chance_success@k`, and never between manifests.
See `benchmarks.manifest` for the format.
"""

from collections.abc import Sequence

import numpy as np
from blake3 import blake3
from jaxtyping import Bool

from omni_encoder import Modality, OmniError
from retrieval.evaluate import DIRECTIONS, Direction, carries, distinct, shares

from ..manifest import ManifestItem, check_kinds, load_items
from ..protocol import Request
from ..retrieval_benchmark import RetrievalBenchmark
from ..tasks import Dataset, Entry, Task, one_way

_LAYOUT = (
    "a JSONL file beside its media, one object a line: id, modality and file, and where known "
    "captions, label, pair_id, source and caption_kind; --split FILE keeps the ids under its "
    '"validation"'
)


def load(request: Request) -> Dataset:
    """Every direction that the manifest has queries for."""
    if request.data is None or not request.data.is_file():
        where = "no manifest was named" if request.data is None else f"no file {request.data}"
        raise OmniError(f"manifest has no data: {where}", hint=f"--data names {_LAYOUT}")
    items = load_items(request.data, split=request.split)
    check_kinds(items)
    digest = blake3(request.data.read_bytes())
    for item in items:
        digest.update(f"{item.id}\0{item.path.stat().st_size}\0".encode())
    media = {
        modality: [item for item in items if item.modality is modality] for modality in Modality
    }
    return Dataset(
        tasks=[
            _task(direction, media[direction.query], media[direction.target])
            for direction in DIRECTIONS
        ],
        counts={f"{modality}s": len(found) for modality, found in media.items() if found},
        digest=digest.hexdigest(),
    )


def _task(
    direction: Direction, left: Sequence[ManifestItem], right: Sequence[ManifestItem]
) -> Task:
    name = direction.name
    if direction.rule == "caption":
        items = right if direction.query is Modality.TEXT else left
        captions = distinct([item.captions for item in items])
        carried = carries(captions, [item.captions for item in items])
        texts = [Entry.text(caption, caption) for caption in captions]
        if direction.query is not Modality.TEXT:
            return one_way(name, _entries(items), texts, _lists(carried.T))
        groups = {
            "by_source": _groups(carried, [item.source for item in items]),
            "by_caption_kind": _groups(carried, [item.caption_kind for item in items]),
        }
        return one_way(name, texts, _entries(items), _lists(carried), groups=groups)
    if direction.rule == "label":
        labels = [item.label for item in left]
        same = shares(labels, labels)
        np.fill_diagonal(same, val=False)
        numbers = list(range(len(left)))
        return one_way(name, _entries(left), _entries(left), _lists(same), own=numbers)
    paired = shares([item.pair_id for item in left], [item.pair_id for item in right])
    return one_way(name, _entries(left), _entries(right), _lists(paired))


def _entries(items: Sequence[ManifestItem]) -> list[Entry]:
    return [Entry.file(item.id, item.modality, item.path) for item in items]


def _lists(relevant: Bool[np.ndarray, "queries candidates"]) -> list[list[int]]:
    return [[int(number) for number in np.flatnonzero(row)] for row in relevant]


def _groups(
    carried: Bool[np.ndarray, "captions items"], keys: Sequence[str]
) -> list[tuple[str, ...]]:
    """For each caption the groups of the items that carry it."""
    return [tuple(sorted({keys[int(i)] for i in np.flatnonzero(row)})) for row in carried]


MANIFEST = RetrievalBenchmark(
    "manifest", "Your own annotated media: every direction that has an answer", _LAYOUT, load
)
