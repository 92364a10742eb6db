"""Retrieval benchmarks: read a dataset, encode it once, rank every direction, state every figure.

Figures are those of `retrieval.evaluate.DirectionResult`, by name: `success@k` is what papers on
images and text call recall@k, `recall@10` is true recall. Folds (tasks of one name) are averaged
over folds, as the older COCO 1k protocol does. Every result says how many queries and candidates
there were, how many there should be, and what was missing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from omni_encoder import Encoder
from retrieval.evaluate import rank_vectors, rounded_scores, summarise
from retrieval.metrics import (
    Ranking,
    Ties,
    average_precision,
    first_rank,
    join,
    ndcg_at_k,
    rank_found,
    rank_places,
    recall_at_k,
    reciprocal_rank,
    success_at_k,
)

from .entry_vectors import PartVectors, embed_parts, task_vectors
from .examples import find_examples
from .protocol import Kind, Outcome, PerQuery, Request
from .reranked import reordered, unfit
from .searchers import EXACT, found_by
from .tasks import Dataset, Task
from .trec_files import write_trec
from .vectors import VectorCache

_BLOCK_SCORES = 8_000_000  # so many scores are held at once


@dataclass(frozen=True, slots=True)
class RetrievalBenchmark:
    """A dataset with its protocol.

    Attributes:
        name: What it is called on the command line.
        title: One line that says what it measures.
        layout: Which files must lie where, relative to the data folder.
        load: Reads the dataset from its folder, or from the file that a request names.
        version: Of the protocol; it changes whenever a figure could.
    """

    name: str
    title: str
    layout: str
    load: Callable[[Request], Dataset]
    version: int = 1

    @property
    def kind(self) -> Kind:
        """Its figures depend on data and encoder alone."""
        return "retrieval"

    def digest(self, request: Request) -> str:
        """See `Benchmark.digest`."""
        return self.load(request).digest

    def measure(self, request: Request) -> Outcome:
        """See `Benchmark.measure`."""
        dataset = self.load(request)
        encoder = request.encoder()
        if request.rerank is not None:
            request.rerank.check(encoder.spec)
        known, left_out = _known_tasks(dataset.tasks, encoder, request)
        tasks = [_limited(task, request.limit) for task in known]
        entries = [entry for task in tasks for entry in (*task.queries, *task.candidates)]
        cache = VectorCache(request.cache, encoder)
        vectors = embed_parts(entries, cache, progress=request.progress)
        measured, per_query, asked = measure_tasks(
            tasks, vectors, request, name=self.name, left_out=left_out
        )
        figures = {
            **_counts(dataset, vectors),
            "protocol": {
                "name": self.name,
                "version": self.version,
                "score": "cosine, centred by kind" if request.centre else "cosine",
                "composition": "unit vectors of an entry's parts are summed",
                "interval": "bootstrap 95%, queries resampled",
                **request.settings(),
            },
            "directions": measured,
            "left_out": left_out,
        }
        return Outcome(figures, per_query, asked)


def measure_tasks(
    tasks: Sequence[Task],
    vectors: PartVectors,
    request: Request,
    *,
    name: str = "benchmark",
    left_out: dict[str, str] | None = None,
) -> tuple[dict[str, dict[str, object]], PerQuery, dict[str, list[str]]]:
    """Rank every direction.

    Args:
        tasks: What is asked; tasks of one name are folds.
        vectors: Of their entries.
        request: How, and where to write run files.
        name: What run files are called by.
        left_out: Gets the directions that can't be measured, and why.

    Returns:
        By direction: figures, the figures of each query, and the ids of the queries.
    """
    measured: dict[str, dict[str, object]] = {}
    per_query: dict[str, dict[str, Float64[np.ndarray, " queries"]]] = {}
    asked: dict[str, list[str]] = {}
    for direction in dict.fromkeys(task.name for task in tasks):
        own = [task for task in tasks if task.name == direction and task.queries]
        folds = [fold for task in own if (fold := _decodable(task, vectors)).queries]
        if not folds:
            if left_out is not None:
                why = "nothing of it could be decoded" if own else "no query has an answer"
                left_out[direction] = why
            continue
        lists = [_found(fold, vectors, request) for fold in folds]
        rankings = [
            _rank(fold, vectors, request, found) for fold, found in zip(folds, lists, strict=True)
        ]
        measured[direction] = _figures(folds, rankings, request)
        measured[direction]["examples"] = find_examples(
            folds[0], vectors, rankings[0], request, found=lists[0]
        )
        per_query[direction] = _per_query(join(rankings), request.ties)
        asked[direction] = [entry.id for fold in folds for entry in fold.queries]
        if request.trec is not None:
            write_trec(request.trec, f"{name}.{direction}", folds, vectors, request, found=lists)
    return measured, per_query, asked


def _known_tasks(
    tasks: Sequence[Task], encoder: Encoder, request: Request
) -> tuple[list[Task], dict[str, str]]:
    """Tasks that can be measured, and why the others are left out."""
    known: list[Task] = []
    left_out: dict[str, str] = {}
    for task in tasks:
        unknown = task.modalities - set(encoder.spec.modalities)
        why = f"the encoder doesn't know {', '.join(sorted(unknown))}" if unknown else None
        if why is None and request.rerank is not None:
            why = unfit(task)
        if why is None:
            known.append(task)
        else:
            left_out[task.name] = why
    return known, left_out


def _limited(task: Task, limit: int | None) -> Task:
    if limit is None or limit >= len(task.queries):
        return task
    count = len(task.queries)
    return chosen_queries(task, [i * count // limit for i in range(limit)])


def chosen_queries(task: Task, chosen: Sequence[int]) -> Task:
    """The task with some of its queries only, by number."""
    return replace(
        task,
        queries=[task.queries[i] for i in chosen],
        relevant=[task.relevant[i] for i in chosen],
        own=None if task.own is None else task.own[list(chosen)],
        pools=None if task.pools is None else [task.pools[i] for i in chosen],
        groups={key: [values[i] for i in chosen] for key, values in task.groups.items()},
    )


def _decodable(task: Task, vectors: PartVectors) -> Task:
    """The task without what has no vector, and without queries that nothing answers any more."""
    good = [i for i, entry in enumerate(task.candidates) if vectors.knows(entry)]
    if len(good) < len(task.candidates):
        number = np.full(len(task.candidates) + 1, -1, dtype=np.int64)  # the last stands for -1
        number[good] = np.arange(len(good))
        task = replace(
            task,
            candidates=[task.candidates[i] for i in good],
            relevant=[_kept(number, places) for places in task.relevant],
            own=None if task.own is None else number[task.own],
            pools=None if task.pools is None else [_kept(number, pool) for pool in task.pools],
        )
    asked = [
        i for i, entry in enumerate(task.queries) if vectors.knows(entry) and len(task.relevant[i])
    ]
    return task if len(asked) == len(task.queries) else chosen_queries(task, asked)


def _kept(
    number: Int64[np.ndarray, " old"], places: Int64[np.ndarray, " places"]
) -> Int64[np.ndarray, " kept"]:
    renumbered = number[places]
    return renumbered[renumbered >= 0]


def _found(
    task: Task, vectors: PartVectors, request: Request
) -> list[Int64[np.ndarray, " hits"]] | None:
    """The first candidates of each query, where an index or a flow says which; else None."""
    if task.pools is not None or (request.index == EXACT and request.rerank is None):
        return None
    scored = task_vectors(task, vectors, centre=request.centre)
    lists = found_by(request.index, *scored, own=task.own)
    if request.rerank is None:
        return lists
    return reordered(task, lists, vectors, request.rerank, scored=scored, progress=request.progress)


def _rank(
    task: Task,
    vectors: PartVectors,
    request: Request,
    found: Sequence[Int64[np.ndarray, " hits"]] | None,
) -> Ranking:
    if found is not None:
        return rank_found(found, task.relevant, candidates=len(task.candidates), own=task.own)
    queries, candidates = task_vectors(task, vectors, centre=request.centre)
    if task.pools is not None:
        return join(
            [
                _rank_pool(queries[i], candidates, pool, task.relevant[i])
                for i, pool in enumerate(task.pools)
            ]
        )
    block = max(1, _BLOCK_SCORES // len(candidates))
    return rank_vectors(queries, candidates, task.relevant, own=task.own, block=block)


def _rank_pool(
    query: Float32[np.ndarray, " dim"],
    candidates: Float32[np.ndarray, "candidates dim"],
    pool: Int64[np.ndarray, " pool"],
    relevant: Int64[np.ndarray, " relevant"],
) -> Ranking:
    scores = rounded_scores(query[None], candidates[pool])
    return rank_places(scores, [np.flatnonzero(np.isin(pool, relevant))])


def _figures(
    folds: Sequence[Task], rankings: Sequence[Ranking], request: Request
) -> dict[str, object]:
    """The figures of one direction; over folds the mean of the folds' figures."""
    each = [
        summarise(ranking, ties=request.ties, seed=request.seed).as_json() for ranking in rankings
    ]
    figures: dict[str, object] = dict(each[0])
    if len(each) > 1:
        for name, value in each[0].items():
            if isinstance(value, int | float):
                values = [float(cast("float", fold[name])) for fold in each]
                figures[name] = float(np.mean(values))
        whole = summarise(join(rankings), ties=request.ties, seed=request.seed).as_json()
        figures["success@1_interval"] = whole["success@1_interval"]
        figures["folds"] = len(each)
        return figures
    for name, values in folds[0].groups.items():
        keys = sorted({key for row in values for key in row})
        figures[name] = {
            key: summarise(
                rankings[0].select(_asked(values, key)), ties=request.ties, seed=request.seed
            ).as_json()
            for key in keys
        }
    return figures


def _asked(values: Sequence[tuple[str, ...]], key: str) -> Bool[np.ndarray, " queries"]:
    return np.array([key in row for row in values], dtype=bool)


def _per_query(ranking: Ranking, ties: Ties) -> dict[str, Float64[np.ndarray, " queries"]]:
    return {
        "success@1": success_at_k(ranking, k=1, ties=ties),
        "success@5": success_at_k(ranking, k=5, ties=ties),
        "success@10": success_at_k(ranking, k=10, ties=ties),
        "recall@10": recall_at_k(ranking, k=10, ties=ties),
        "map": average_precision(ranking, ties=ties),
        "mrr": reciprocal_rank(ranking, ties=ties),
        "ndcg@10": ndcg_at_k(ranking, k=10, ties=ties),
        "rank": first_rank(ranking, ties=ties).astype(np.float64),
    }


def _counts(dataset: Dataset, vectors: PartVectors) -> dict[str, object]:
    wrong = {
        name: {"found": dataset.counts.get(name, 0), "published": count}
        for name, count in dataset.published.items()
        if dataset.counts.get(name, 0) != count
    }
    return {
        "n": dict(dataset.counts),
        "published_n": dict(dataset.published),
        "differs_from_published": wrong,
        "checksums": dict(dataset.checksums),
        "missing": {"count": len(dataset.missing), "first": list(dataset.missing[:10])},
        "failed": [
            {"file": _file_name(path), "reason": failure.reason, "message": failure.message}
            for path, failure in vectors.failures.items()
        ],
        "notes": list(dataset.notes),
    }


def _file_name(path: Path) -> str:
    return path.as_posix()
