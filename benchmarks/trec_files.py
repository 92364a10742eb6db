"""Run and qrels files of a benchmark's directions."""

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from retrieval.evaluate import rounded_scores
from retrieval.trec import FoundList, best, write_qrels, write_run

from .entry_vectors import PartVectors, task_vectors
from .protocol import Request
from .tasks import Task

DEPTH = 1000
_BLOCK = 64


def write_trec(
    folder: Path,
    name: str,
    folds: Sequence[Task],
    vectors: PartVectors,
    request: Request,
    *,
    found: Sequence[Sequence[Int64[np.ndarray, " hits"]] | None],
) -> None:
    """Write `NAME.run` and `NAME.qrels`, with a number before the suffix where there are folds.

    `found` has the lists of hits of each fold, where an index made them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, (task, lists) in enumerate(zip(folds, found, strict=True)):
        stem = name.replace("->", "-to-") + (f".{number}" if len(folds) > 1 else "")
        names = [entry.id for entry in task.candidates]
        queries = [entry.id for entry in task.queries]
        write_qrels(folder / f"{stem}.qrels", queries, task.relevant, names)
        made = _ranked(task, vectors, request) if lists is None else _listed(task, lists)
        write_run(folder / f"{stem}.run", made, names)


def _listed(task: Task, lists: Sequence[Int64[np.ndarray, " hits"]]) -> Generator[FoundList]:
    for query, hits in zip(task.queries, lists, strict=True):
        yield FoundList(query.id, hits, np.arange(len(hits), 0, -1, dtype=np.float32))


def _ranked(task: Task, vectors: PartVectors, request: Request) -> Generator[FoundList]:
    queries, candidates = task_vectors(task, vectors, centre=request.centre)
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
