"""AudioCaps, test split: clips of ten seconds with five captions each.

The published test.csv has 4,875 captions of 975 clips. Clips vanish from the web, so papers
evaluate on what is left (883 to 975): a figure means nothing without its n.
"""

from omni_encoder import Modality

from ..protocol import Request
from ..retrieval_benchmark import RetrievalBenchmark
from ..tasks import Dataset, Entry
from .captioned import Captioned, captioned_dataset
from .folder import DataFolder

_LAYOUT = (
    "test.csv (audiocap_id, youtube_id, start_time, caption) and the clips as test/YOUTUBE_ID.wav "
    "(or .flac, .mp3, .mp4; YYOUTUBE_ID and YOUTUBE_ID_START are found too)"
)
_COLUMNS = ("youtube_id", "start_time", "caption")
_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".mp4")


def load(request: Request) -> Dataset:
    """The test split."""
    folder = DataFolder("audiocaps", request, layout=_LAYOUT)
    captions: dict[tuple[str, str], list[str]] = {}
    for row in folder.table("test.csv", "dataset/test.csv", columns=_COLUMNS):
        captions.setdefault((row["youtube_id"], row["start_time"]), []).append(row["caption"])
    clips: list[Captioned] = []
    for (video, start), texts in captions.items():
        stems = (video, f"Y{video}", f"{video}_{start}", f"Y{video}_{start}")
        places = [
            f"{inner}{stem}{suffix}"
            for inner in ("test/", "audio/test/", "audio/", "")
            for stem in stems
            for suffix in _SUFFIXES
        ]
        path = folder.media(video, *places)
        if path is not None:
            clips.append(Captioned(Entry.file(f"{video}_{start}", Modality.AUDIO, path), texts))
    folder.check(may_vanish=True)
    return captioned_dataset(
        folder, clips, modality="audio", published={"clips": 975, "captions": 4875}
    )


AUDIOCAPS = RetrievalBenchmark(
    "audiocaps", "AudioCaps test: text to sound and back, five captions a clip", _LAYOUT, load
)
