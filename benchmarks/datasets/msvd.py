"""MSVD, test split: 670 videos with about forty English sentences each.

Every sentence is a query. The sentences are read from the published text file; the pickled copies
that circulate are never opened.
"""

from omni_encoder import Modality

from ..protocol import Request
from ..retrieval_benchmark import RetrievalBenchmark
from ..tasks import Dataset, Entry
from .captioned import Captioned, captioned_dataset
from .folder import DataFolder

_LAYOUT = (
    "AllVideoDescriptions.txt (as published: VIDEO_START_END sentence), test_list.txt (670 names) "
    "and the videos under YouTubeClips/"
)


def load(request: Request) -> Dataset:
    """The videos of the test list that are there."""
    folder = DataFolder("msvd", request, layout=_LAYOUT)
    wanted = [line.strip() for line in folder.text("test_list.txt").splitlines() if line.strip()]
    sentences: dict[str, list[str]] = {name: [] for name in wanted}
    for line in folder.text("AllVideoDescriptions.txt").splitlines():
        name, _, sentence = line.strip().partition(" ")
        if not name.startswith("#") and name in sentences and sentence.strip():
            sentences[name].append(sentence.strip())
    clips: list[Captioned] = []
    for name in wanted:
        places = [
            f"{inner}/{name}{suffix}"
            for inner in ("YouTubeClips", "MSVD_Videos", "videos")
            for suffix in (".avi", ".mp4")
        ]
        path = folder.media(name, *places)
        if path is not None:
            clips.append(Captioned(Entry.file(name, Modality.VIDEO, path), sentences[name]))
    folder.check(may_vanish=True)
    return captioned_dataset(
        folder,
        clips,
        modality="video",
        published={"clips": 670, "captions": 27_763},
        notes=["frames only: the videos have no sound"],
    )


MSVD = RetrievalBenchmark("msvd", "MSVD test: 670 videos, every sentence a query", _LAYOUT, load)
