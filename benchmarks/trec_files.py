"""Run and qrels files of a benchmark's directions."""

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np

from retrieval.evaluate import rounded_scores
from retrieval.trec import FoundList, best, write_qrels, write_run

from .entry_vectors import PartVectors, centred
from .protocol import Request
from .tasks import Task

DEPTH = 1000
_BLOCK = 64


def write_trec(
    folder: Path, name: str, folds: Sequence[Task], vectors: PartVectors, request: Request
) -> None:
    """Write `NAME.run` and `NAME.qrels`, with a number before the suffix where there are folds."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, task in enumerate(folds):
        stem = name.replace("->", "-to-") + (f".{number}" if len(folds) > 1 else "")
        names = [entry.id for entry in task.candidates]
        queries = [entry.id for entry in task.queries]
        write_qrels(folder / f"{stem}.qrels", queries, task.relevant, names)
        write_run(folder / f"{stem}.run", _found(task, vectors, request), names)


def _found(task: Task, vectors: PartVectors, request: Request) -> Generator[FoundList]:
    queries, candidates = vectors.of(task.queries), vectors.of(task.candidates)
    if request.centre:
        queries = centred(queries, [entry.kind for entry in task.queries])
        candidates = centred(candidates, [entry.kind for entry in task.candidates])
    for start in range(0, len(queries), _BLOCK):
        scores = rounded_scores(queries[start : start + _BLOCK], candidates)
        for i, row in enumerate(scores, start):
            pool = None if task.pools is None else task.pools[i]
            if pool is not None:
                outside = np.full(len(row), -np.inf, dtype=np.float32)
                outside[pool] = row[pool]
                row = outside  # noqa: PLW2901 -- what is outside the pool is not ranked
            own = -1 if task.own is None else int(task.own[i])
            depth = DEPTH if pool is None else len(pool)
            chosen = best(row, task.relevant[i], k=depth, own=own)
            yield FoundList(task.queries[i].id, chosen, row[chosen])
