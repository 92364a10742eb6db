"""Clotho v2.1, evaluation split: 1,045 clips of 15 to 30 seconds, five captions each."""

from omni_encoder import Modality

from ..protocol import Request
from ..retrieval_benchmark import RetrievalBenchmark
from ..tasks import Dataset, Entry
from .captioned import Captioned, captioned_dataset
from .folder import DataFolder

_LAYOUT = (
    "clotho_captions_evaluation.csv (file_name, caption_1 .. caption_5) and the clips under "
    "evaluation/, as clotho_audio_evaluation.7z unpacks them"
)
# As Zenodo states it for record 4783391 (v2.1), quoted by soundata's loader `dcase23_task6a` and by
# aac-datasets; the file is the same in v1 and v2.
MD5 = {"clotho_captions_evaluation.csv": "1b16b9e57cf7bdb7f13a13802aeb57e2"}
_COLUMNS = ("file_name", *(f"caption_{number}" for number in range(1, 6)))


def load(request: Request) -> Dataset:
    """The evaluation split."""
    folder = DataFolder("clotho", request, layout=_LAYOUT, md5=MD5)
    clips: list[Captioned] = []
    for row in folder.table("clotho_captions_evaluation.csv", columns=_COLUMNS):
        name = row["file_name"]
        places = (f"evaluation/{name}", f"clotho_audio_files/evaluation/{name}", name)
        path = folder.media(name, *places)
        if path is not None:
            texts = [row[column] for column in _COLUMNS[1:]]
            clips.append(Captioned(Entry.file(name, Modality.AUDIO, path), texts))
    folder.check(may_vanish=False)
    return captioned_dataset(
        folder, clips, modality="audio", published={"clips": 1045, "captions": 5225}
    )


CLOTHO = RetrievalBenchmark(
    "clotho", "Clotho v2.1 evaluation: 1,045 sounds, 5,225 captions", _LAYOUT, load
)
