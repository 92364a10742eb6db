"""CIRR, validation split: a photo and what should be different find another photo.

`composed->image` ranks all images but the reference; `composed->subset` ranks the five others of
the query's set, which the authors call Recall_subset@k. The test split's answers are not published.
"""

from collections.abc import Mapping

import numpy as np

from omni_encoder import Modality

from ..protocol import Request
from ..retrieval_benchmark import RetrievalBenchmark
from ..tasks import Dataset, Entry, Task
from .folder import DataFolder

_LAYOUT = (
    "captions/cap.rc2.val.json and image_splits/split.rc2.val.json (as published, also inside a "
    "folder cirr/), and the images where the split says, such as dev/NAME.png"
)
_CAPTIONS = ("captions/cap.rc2.val.json", "cirr/captions/cap.rc2.val.json")
_SPLIT = ("image_splits/split.rc2.val.json", "cirr/image_splits/split.rc2.val.json")


def load(request: Request) -> Dataset:
    """The validation split."""
    folder = DataFolder("cirr", request, layout=_LAYOUT)
    places = folder.mapping(folder.json(*_SPLIT), _SPLIT[0])
    images: list[Entry] = []
    for name, place in places.items():
        path = folder.media(name, str(place), f"img_raw/{place}", f"cirr/img_raw/{place}")
        if path is not None:
            images.append(Entry.file(name, Modality.IMAGE, path))
    folder.check(may_vanish=False)
    rows = [
        folder.mapping(row, _CAPTIONS[0])
        for row in folder.list(folder.json(*_CAPTIONS), _CAPTIONS[0])
    ]
    number = {entry.id: i for i, entry in enumerate(images)}
    queries: list[Entry] = []
    relevant: list[np.ndarray] = []
    own: list[int] = []
    pools: list[np.ndarray] = []
    for row in rows:
        names = _names(folder, row, number)
        reference, target = number[names["reference"]], number[names["target"]]
        text = Entry.text("", str(folder.field(row, "caption", _CAPTIONS[0])))
        image = Entry(str(folder.field(row, "pairid", _CAPTIONS[0])), images[reference].parts)
        queries.append(image + text)
        relevant.append(np.array([target], dtype=np.int64))
        own.append(reference)
        members = [number[name] for name in _members(folder, row, number)]
        pools.append(np.array([member for member in members if member != reference], np.int64))
    left_out = np.array(own, dtype=np.int64)
    return Dataset(
        tasks=[
            Task("composed->image", queries, images, relevant, own=left_out),
            Task("composed->subset", queries, images, relevant, pools=pools),
        ],
        counts={"queries": len(queries), "images": len(images)},
        published={"queries": 4181, "images": 2297},
        digest=folder.digest(),
        notes=["papers call success@k of this protocol Recall@k and Recall_subset@k"],
    )


def _names(
    folder: DataFolder, row: Mapping[str, object], known: Mapping[str, int]
) -> dict[str, str]:
    file = _CAPTIONS[0]
    names = {
        "reference": str(folder.field(row, "reference", file)),
        "target": str(folder.field(row, "target_hard", file)),
    }
    for name in names.values():
        if name not in known:
            raise folder.damaged(file, f"{name} is not in {_SPLIT[0]}")
    return names


def _members(folder: DataFolder, row: Mapping[str, object], known: Mapping[str, int]) -> list[str]:
    group = folder.mapping(folder.field(row, "img_set", _CAPTIONS[0]), _CAPTIONS[0])
    members = [
        str(name)
        for name in folder.list(folder.field(group, "members", _CAPTIONS[0]), _CAPTIONS[0])
    ]
    for name in members:
        if name not in known:
            raise folder.damaged(_CAPTIONS[0], f"{name} is not in {_SPLIT[0]}")
    return members


CIRR = RetrievalBenchmark(
    "cirr", "CIRR validation: an image and a change find an image, 4,181 queries", _LAYOUT, load
)
