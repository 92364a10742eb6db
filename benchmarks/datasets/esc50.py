"""ESC-50 zero-shot: which of 50 classes a sound is, by the prompt "This is a sound of CLASS".

Success@1 is the accuracy; `fold` gives it for each of the five folds, none of which is trained on.
Some models have trained on the Freesound recordings that the clips come from.
"""

from omni_encoder import Modality

from ..protocol import Request
from ..retrieval_benchmark import RetrievalBenchmark
from ..tasks import Dataset, Entry, one_way
from .folder import DataFolder

PROMPT = "This is a sound of {}"

_LAYOUT = "meta/esc50.csv (as published) and the clips under audio/"
_COLUMNS = ("filename", "fold", "category")


def load(request: Request) -> Dataset:
    """All clips."""
    folder = DataFolder("esc50", request, layout=_LAYOUT)
    rows = folder.table("meta/esc50.csv", columns=_COLUMNS)
    classes = sorted({row["category"] for row in rows})
    prompts = [Entry.text(name, PROMPT.format(name.replace("_", " "))) for name in classes]
    sounds: list[Entry] = []
    answers: list[list[int]] = []
    folds: list[tuple[str, ...]] = []
    for row in rows:
        path = folder.media(row["filename"], f"audio/{row['filename']}")
        if path is not None:
            sounds.append(Entry.file(row["filename"], Modality.AUDIO, path))
            answers.append([classes.index(row["category"])])
            folds.append((row["fold"],))
    folder.check(may_vanish=False)
    return Dataset(
        tasks=[one_way("audio->class", sounds, prompts, answers, groups={"fold": folds})],
        counts={"clips": len(sounds), "classes": len(classes)},
        published={"clips": 2000, "classes": 50},
        digest=folder.digest(),
        notes=[f"success@1 is the zero-shot accuracy; the prompt is {PROMPT.format('CLASS')!r}"],
    )


ESC50 = RetrievalBenchmark(
    "esc50", "ESC-50 zero-shot: 2,000 sounds, 50 classes (success@1 is accuracy)", _LAYOUT, load
)
