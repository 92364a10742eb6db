"""MSR-VTT 1k-A: the 1,000 pairs of video and sentence of the JSFusion split.

Each video has one sentence here, so figures differ from those of the full test split. No score is
adjusted by the other queries (no dual softmax, no query bank).
"""

from omni_encoder import Modality

from ..protocol import Request
from ..retrieval_benchmark import RetrievalBenchmark
from ..tasks import Dataset, Entry
from .captioned import Captioned, captioned_dataset
from .folder import DataFolder

_LAYOUT = (
    "MSRVTT_JSFUSION_test.csv (key, vid_key, video_id, sentence) and the videos under videos/all/ "
    "(or MSRVTT_Videos/ or videos/) as VIDEO_ID.mp4"
)
_COLUMNS = ("video_id", "sentence")


def load(request: Request) -> Dataset:
    """The pairs of the split whose videos are there."""
    folder = DataFolder("msrvtt-1ka", request, layout=_LAYOUT)
    clips: list[Captioned] = []
    names = ("MSRVTT_JSFUSION_test.csv", "msrvtt_data/MSRVTT_JSFUSION_test.csv")
    for row in folder.table(*names, columns=_COLUMNS):
        video = row["video_id"]
        places = [
            f"{inner}/{video}{suffix}"
            for inner in ("videos/all", "MSRVTT_Videos", "videos")
            for suffix in (".mp4", ".webm", ".avi")
        ]
        path = folder.media(video, *places)
        if path is not None:
            entry = Entry.file(video, Modality.VIDEO, path)
            clips.append(Captioned(entry, [row["sentence"]]))
    folder.check(may_vanish=True)
    return captioned_dataset(
        folder,
        clips,
        modality="video",
        published={"clips": 1000, "captions": 1000},
        notes=["frames only: the sound of the videos is not used"],
    )


MSRVTT_1KA = RetrievalBenchmark(
    "msrvtt-1ka", "MSR-VTT 1k-A (JSFusion): 1,000 pairs of video and sentence", _LAYOUT, load
)
