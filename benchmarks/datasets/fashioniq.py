"""FashionIQ, validation split: a garment and two remarks find another garment.

The two remarks are joined by "and". Each of the three kinds ranks the images of its own published
split, the reference included, as the original evaluation does.
"""

import numpy as np

from omni_encoder import Modality

from ..protocol import Request
from ..retrieval_benchmark import RetrievalBenchmark
from ..tasks import Dataset, Entry, Task
from .folder import DataFolder

KINDS = ("dress", "shirt", "toptee")

_LAYOUT = (
    "captions/cap.KIND.val.json and image_splits/split.KIND.val.json for dress, shirt and toptee "
    "(as published), and the images as images/ID.jpg or .png"
)


def load(request: Request) -> Dataset:
    """The validation split of all kinds."""
    folder = DataFolder("fashioniq", request, layout=_LAYOUT)
    images = {kind: _images(folder, kind) for kind in KINDS}
    folder.check(may_vanish=True)
    tasks = [_task(folder, kind, images[kind]) for kind in KINDS]
    return Dataset(
        tasks=tasks,
        counts={
            "queries": sum(len(task.queries) for task in tasks),
            "images": sum(map(len, images.values())),
        },
        published={"queries": 6016, "images": 15_536},
        missing=folder.missing,
        digest=folder.digest(),
        notes=["papers report success@10 and success@50 of this protocol as Recall"],
    )


def _images(folder: DataFolder, kind: str) -> list[Entry]:
    file = f"image_splits/split.{kind}.val.json"
    entries: list[Entry] = []
    for name in map(str, folder.list(folder.json(file), file)):
        places = [f"images/{name}{suffix}" for suffix in (".jpg", ".png", ".jpeg")]
        path = folder.media(name, *places)
        if path is not None:
            entries.append(Entry.file(name, Modality.IMAGE, path))
    return entries


def _task(folder: DataFolder, kind: str, images: list[Entry]) -> Task:
    file = f"captions/cap.{kind}.val.json"
    number = {entry.id: i for i, entry in enumerate(images)}
    queries: list[Entry] = []
    relevant: list[np.ndarray] = []
    for place, value in enumerate(folder.list(folder.json(file), file)):
        row = folder.mapping(value, file)
        reference = str(folder.field(row, "candidate", file))
        target = str(folder.field(row, "target", file))
        remarks = folder.list(folder.field(row, "captions", file), file)
        if reference not in number or target not in number:
            continue  # one of the two has vanished
        text = " and ".join(str(remark).strip(" .?!,").lower() for remark in remarks)
        image = Entry(f"{kind}-{place}", images[number[reference]].parts)
        queries.append(image + Entry.text("", text))
        relevant.append(np.array([number[target]], dtype=np.int64))
    return Task(f"composed->{kind}", queries, images, relevant)


FASHIONIQ = RetrievalBenchmark(
    "fashioniq", "FashionIQ validation: a garment and two remarks find a garment", _LAYOUT, load
)
