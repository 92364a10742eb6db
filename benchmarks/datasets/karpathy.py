"""Flickr30k and MS COCO in Karpathy's splits: images with about five sentences each.

Flickr30k test is 1,000 images and 5,000 sentences. COCO test is 5,000 images and 25,010 sentences;
open_clip and CLIP_benchmark rank all of them (`coco-5k`). The older 1k protocol cuts the test
images into five folds of 1,000 in the order of the file, takes the first five sentences of each,
and averages the folds' figures (`coco-1k`). Its figures are much higher: the two never mix.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omni_encoder import Modality

from ..protocol import Request
from ..retrieval_benchmark import RetrievalBenchmark
from ..tasks import Dataset, Entry, Task, both_ways
from .folder import DataFolder

FOLD_IMAGES = 1000
FOLD_SENTENCES = 5

_FLICKR_LAYOUT = (
    "dataset_flickr30k.json (Karpathy's splits, caption_datasets.zip) and the images of Flickr30k "
    "under flickr30k-images/"
)
_COCO_LAYOUT = (
    "dataset_coco.json (Karpathy's splits, caption_datasets.zip) and the images of MS COCO 2014 "
    "under val2014/ (and train2014/)"
)


@dataclass(frozen=True, slots=True)
class _Picture:
    entry: Entry
    sentences: Sequence[str]


def load_flickr30k(request: Request) -> Dataset:
    """The test split of Flickr30k."""
    folder = DataFolder("flickr30k", request, layout=_FLICKR_LAYOUT)
    pictures = _pictures(folder, "dataset_flickr30k.json", folders=("flickr30k-images", "images"))
    return _dataset(
        folder,
        _tasks(pictures),
        pictures,
        published={"images": 1000, "captions": 5000},
    )


def load_coco_5k(request: Request) -> Dataset:
    """The whole test split of COCO, with every sentence."""
    folder = DataFolder("coco-5k", request, layout=_COCO_LAYOUT)
    pictures = _pictures(folder, "dataset_coco.json", folders=("", "images"))
    return _dataset(
        folder, _tasks(pictures), pictures, published={"images": 5000, "captions": 25_010}
    )


def load_coco_1k(request: Request) -> Dataset:
    """Five folds of the test split of COCO, with five sentences for each image."""
    folder = DataFolder("coco-1k", request, layout=_COCO_LAYOUT)
    pictures = [
        _Picture(picture.entry, picture.sentences[:FOLD_SENTENCES])
        for picture in _pictures(folder, "dataset_coco.json", folders=("", "images"))
    ]
    tasks: list[Task] = []
    for start in range(0, len(pictures), FOLD_IMAGES):
        tasks += _tasks(pictures[start : start + FOLD_IMAGES])
    return _dataset(folder, tasks, pictures, published={"images": 5000, "captions": 25_000})


def _pictures(folder: DataFolder, file: str, *, folders: Sequence[str]) -> list[_Picture]:
    content = folder.mapping(folder.json(file), file)
    pictures: list[_Picture] = []
    for value in folder.list(folder.field(content, "images", file), file):
        row = folder.mapping(value, file)
        if row.get("split") != "test":
            continue
        name = str(folder.field(row, "filename", file))
        path = folder.media(name, *_places(row, name, folders))
        if path is not None:
            sentences = [
                str(folder.field(folder.mapping(sentence, file), "raw", file)).strip()
                for sentence in folder.list(folder.field(row, "sentences", file), file)
            ]
            pictures.append(_Picture(Entry.file(name, Modality.IMAGE, path), sentences))
    folder.check(may_vanish=False)
    return pictures


def _places(row: Mapping[str, object], name: str, folders: Sequence[str]) -> list[str]:
    inner = str(row.get("filepath") or "")
    places = [Path(folder, inner, name).as_posix() for folder in folders]
    return [*places, *(Path(folder, name).as_posix() for folder in folders)]


def _tasks(pictures: Sequence[_Picture]) -> list[Task]:
    sentences: list[Entry] = []
    pairs: list[tuple[int, int]] = []
    for number, picture in enumerate(pictures):
        for place, sentence in enumerate(picture.sentences):
            pairs.append((len(sentences), number))
            sentences.append(Entry.text(f"{picture.entry.id}#{place}", sentence))
    return both_ways(sentences, [picture.entry for picture in pictures], pairs, name="text->image")


def _dataset(
    folder: DataFolder,
    tasks: Sequence[Task],
    pictures: Sequence[_Picture],
    *,
    published: Mapping[str, int],
) -> Dataset:
    captions = sum(len(picture.sentences) for picture in pictures)
    return Dataset(
        tasks=tasks,
        counts={"images": len(pictures), "captions": captions},
        published=published,
        digest=folder.digest(),
        notes=["papers call success@k of this protocol recall@k"],
    )


FLICKR30K = RetrievalBenchmark(
    "flickr30k",
    "Flickr30k, Karpathy test: 1,000 images, 5,000 captions",
    _FLICKR_LAYOUT,
    load_flickr30k,
)
COCO_5K = RetrievalBenchmark(
    "coco-5k", "MS COCO, Karpathy test: 5,000 images, 25,010 captions", _COCO_LAYOUT, load_coco_5k
)
COCO_1K = RetrievalBenchmark(
    "coco-1k",
    "MS COCO, Karpathy test: the mean of five folds of 1,000 images",
    _COCO_LAYOUT,
    load_coco_1k,
)
