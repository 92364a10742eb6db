"""VGGSound, test split: which sound belongs to which video, and which class to which.

Sound and frames of one clip are a pair, so chance is one in n. Clips vanish: the field evaluates on
what is left, such as 696 pairs. A file `pairs.txt` with one YOUTUBE_ID_START a line keeps to a
given list.
"""

from omni_encoder import Modality

from ..protocol import Request
from ..retrieval_benchmark import RetrievalBenchmark
from ..tasks import Dataset, Entry, Task, both_ways
from .folder import DataFolder

_LAYOUT = (
    "vggsound.csv (as published, without header: youtube_id, start, label, split), and for each "
    "clip video/YOUTUBE_ID_START.mp4 and audio/YOUTUBE_ID_START.wav, START with six digits"
)
_COLUMNS = ("video", "start", "label", "split")
_TEST_CLIPS = 15_446


def load(request: Request) -> Dataset:
    """The pairs of the test split that are there."""
    folder = DataFolder("vggsound", request, layout=_LAYOUT)
    rows = folder.table("vggsound.csv", columns=_COLUMNS, header=False)
    chosen: set[str] | None = None
    if request.data is not None and (request.data / "pairs.txt").is_file():
        chosen = set(folder.text("pairs.txt").split())
    sounds: list[Entry] = []
    videos: list[Entry] = []
    labels: list[str] = []
    for row in rows:
        name = f"{row['video']}_{int(folder.number(row['start'], 'vggsound.csv')):06d}"
        if row["split"] != "test" or (chosen is not None and name not in chosen):
            continue
        video = folder.media(name, f"video/{name}.mp4", f"video/{name}.webm")
        if video is None:
            continue
        sound = folder.media(name, *(f"audio/{name}{end}" for end in (".wav", ".flac", ".mp3")))
        if sound is not None:
            sounds.append(Entry.file(f"{name}.audio", Modality.AUDIO, sound))
            videos.append(Entry.file(f"{name}.video", Modality.VIDEO, video))
            labels.append(row["label"])
    folder.check(may_vanish=True)
    return Dataset(
        tasks=_tasks(sounds, videos, labels),
        counts={"pairs": len(sounds), "classes": len(set(labels))},
        published={"pairs": _TEST_CLIPS if chosen is None else len(chosen), "classes": 309},
        missing=folder.missing,
        digest=folder.digest(),
        notes=["text is the name of the class, and every clip of the class answers it"],
    )


def _tasks(sounds: list[Entry], videos: list[Entry], labels: list[str]) -> list[Task]:
    classes = [Entry.text(label, label) for label in sorted(set(labels))]
    number = {entry.id: i for i, entry in enumerate(classes)}
    named = [(number[label], i) for i, label in enumerate(labels)]
    same = [(i, i) for i in range(len(sounds))]
    return [
        *both_ways(sounds, videos, same, name="audio->video"),
        *both_ways(classes, sounds, named, name="text->audio"),
        *both_ways(classes, videos, named, name="text->video"),
    ]


VGGSOUND = RetrievalBenchmark(
    "vggsound", "VGGSound test: sound to video and back, and classes to both", _LAYOUT, load
)
