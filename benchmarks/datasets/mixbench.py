"""MixBench: text queries over one corpus of texts, images and documents of both.

It measures the gap between modalities: an encoder that puts all texts nearer to a text than any
image can't find the images. Compare a run with `--centre` to one without. nDCG@10 is its figure.
"""

from collections.abc import Mapping

from omni_encoder import Modality

from ..protocol import Request
from ..retrieval_benchmark import RetrievalBenchmark
from ..tasks import Dataset, Entry, Task, one_way
from .folder import DataFolder

SUBSETS = ("MSCOCO", "Google_WIT", "VisualNews", "OVEN")

_LAYOUT = (
    "for each SUBSET of MSCOCO, Google_WIT, VisualNews and OVEN that is to be measured: "
    "SUBSET/queries.jsonl (query_id, text, image), SUBSET/mixed_corpus.jsonl (corpus_id, text, "
    "image) and SUBSET/qrels.tsv (query_id, corpus_id, score), with images relative to the folder "
    "or to the subset"
)


def load(request: Request) -> Dataset:
    """The subsets that are there."""
    folder = DataFolder("mixbench", request, layout=_LAYOUT)
    root = request.data
    assert root is not None  # DataFolder has looked
    present = [name for name in SUBSETS if (root / name / "mixed_corpus.jsonl").is_file()]
    if not present:
        folder.text(*(f"{name}/mixed_corpus.jsonl" for name in SUBSETS))  # says what is missing
    tasks = [_task(folder, name) for name in present]
    folder.check(may_vanish=False)
    counts = {
        f"{name} {what}": count
        for name, task in zip(present, tasks, strict=True)
        for what, count in (("queries", len(task.queries)), ("corpus", len(task.candidates)))
    }
    return Dataset(
        tasks=tasks,
        counts=counts,
        digest=folder.digest(),
        notes=["the figure of this benchmark is ndcg@10"],
    )


def _task(folder: DataFolder, name: str) -> Task:
    queries = _entries(folder, name, "queries.jsonl", key="query_id")
    corpus = _entries(folder, name, "mixed_corpus.jsonl", key="corpus_id")
    number = {entry.id: i for i, entry in enumerate(corpus)}
    answers: dict[str, list[int]] = {}
    files = (f"{name}/qrels.tsv", f"{name}/qrels/qrels.tsv")
    columns = ("query_id", "corpus_id", "score")
    for row in folder.table(*files, columns=columns, delimiter="\t"):
        if folder.number(row["score"], files[0]) > 0 and row["corpus_id"] in number:
            answers.setdefault(row["query_id"], []).append(number[row["corpus_id"]])
    return one_way(
        f"{name}: mixed", queries, corpus, [answers.get(entry.id, []) for entry in queries]
    )


def _entries(folder: DataFolder, subset: str, file: str, *, key: str) -> list[Entry]:
    entries: list[Entry] = []
    for row in folder.lines(f"{subset}/{file}"):
        entry = _entry(folder, subset, row, name=str(folder.field(row, key, file)))
        if entry.parts:
            entries.append(entry)
    return entries


def _entry(folder: DataFolder, subset: str, row: Mapping[str, object], *, name: str) -> Entry:
    entry = Entry(name, ())
    words, picture = row.get("text"), row.get("image")
    if isinstance(picture, str) and picture.strip():
        path = folder.media(picture, picture, f"{subset}/{picture}")
        if path is not None:
            entry += Entry.file("", Modality.IMAGE, path)
    if isinstance(words, str) and words.strip():
        entry += Entry.text("", words)
    return entry


MIXBENCH = RetrievalBenchmark(
    "mixbench", "MixBench: text finds texts, images and both in one corpus", _LAYOUT, load
)
