"""M-BEIR, the tasks of InfoSeek and OVEN: a photo and a question find a passage.

In task 6 a candidate is a passage, in task 8 a passage with a photo. Each task ranks its local
pool. UniIR's table gives success@5 of it as Recall@5. Instructions are not added to the queries;
vectors of picture and text are summed, as its CLIP-SF does.
"""

from collections.abc import Mapping

from omni_encoder import Modality

from ..protocol import Request
from ..retrieval_benchmark import RetrievalBenchmark
from ..tasks import Dataset, Entry, Task, one_way
from .folder import DataFolder

# Task: queries and candidates, as published.
_TASKS: Mapping[str, tuple[int, int]] = {
    "infoseek_task6": (11_323, 611_651),
    "infoseek_task8": (17_593, 481_782),
    "oven_task6": (50_004, 676_667),
    "oven_task8": (14_741, 335_135),
}
_POOL_FIELDS = ("did", "txt", "img_path")
_QUERY_FIELDS = ("qid", "query_txt", "query_img_path")
_LAYOUT = (
    "query/test/mbeir_TASK_test.jsonl, cand_pool/local/mbeir_TASK_cand_pool.jsonl and the images "
    "of mbeir_images/ for each TASK of infoseek_task6, infoseek_task8, oven_task6 and oven_task8 "
    "that is to be measured"
)


def load(request: Request) -> Dataset:
    """The tasks whose query files are there."""
    folder = DataFolder("mbeir", request, layout=_LAYOUT)
    root = request.data
    assert root is not None  # DataFolder has looked
    present = [task for task in _TASKS if (root / _query_file(task)).is_file()]
    if not present:
        folder.text(*(_query_file(task) for task in _TASKS))  # says what is missing
    tasks = [_task(folder, name) for name in present]
    folder.check(may_vanish=False)
    counts: dict[str, int] = {}
    published: dict[str, int] = {}
    for name, task in zip(present, tasks, strict=True):
        counts |= {f"{name} queries": len(task.queries), f"{name} pool": len(task.candidates)}
        published |= {f"{name} queries": _TASKS[name][0], f"{name} pool": _TASKS[name][1]}
    absent = [task for task in _TASKS if task not in present]
    return Dataset(
        tasks=tasks,
        counts=counts,
        published=published,
        digest=folder.digest(),
        notes=[
            "UniIR reports success@5 of this protocol as Recall@5",
            *(f"{task} was not measured: {_query_file(task)} is not there" for task in absent),
        ],
    )


def _query_file(task: str) -> str:
    return f"query/test/mbeir_{task}_test.jsonl"


def _task(folder: DataFolder, name: str) -> Task:
    pool_file, query_file = f"cand_pool/local/mbeir_{name}_cand_pool.jsonl", _query_file(name)
    candidates = [entry for entry, _ in _entries(folder, pool_file, _POOL_FIELDS)]
    number = {entry.id: i for i, entry in enumerate(candidates)}
    queries: list[Entry] = []
    relevant: list[list[int]] = []
    for entry, row in _entries(folder, query_file, _QUERY_FIELDS):
        answers = map(str, folder.list(folder.field(row, "pos_cand_list", query_file), query_file))
        queries.append(entry)
        relevant.append([number[answer] for answer in answers if answer in number])
    return one_way(name, queries, candidates, relevant)


def _entries(
    folder: DataFolder, file: str, fields: tuple[str, str, str]
) -> list[tuple[Entry, Mapping[str, object]]]:
    """The entries of a file with their rows; those whose image is missing are left out."""
    id, text, image = fields
    entries: list[tuple[Entry, Mapping[str, object]]] = []
    for row in folder.lines(file):
        words, picture = row.get(text), row.get(image)
        entry = Entry(str(folder.field(row, id, file)), ())
        if picture:
            path = folder.media(str(picture), str(picture))
            if path is None:
                continue
            entry += Entry.file("", Modality.IMAGE, path)
        if isinstance(words, str) and words.strip():
            entry += Entry.text("", words)
        if entry.parts:
            entries.append((entry, row))
    return entries


MBEIR = RetrievalBenchmark(
    "mbeir", "M-BEIR: InfoSeek and OVEN, a photo and a question find a passage", _LAYOUT, load
)
