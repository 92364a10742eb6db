"""A few queries of a direction with what they found: some that went well and some that failed."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from retrieval.evaluate import SCORE_STEP, rounded_scores
from retrieval.metrics import Ranking, first_rank
from retrieval.trec import best

from .entry_vectors import PartVectors, task_vectors
from .protocol import Request
from .tasks import Entry, Task

EACH = 3
SHOWN = 5


def find_examples(
    task: Task,
    vectors: PartVectors,
    ranking: Ranking,
    request: Request,
    *,
    found: Sequence[Int64[np.ndarray, " hits"]] | None = None,
) -> list[dict[str, object]]:
    """Up to `EACH` queries with a relevant candidate at rank 1 and up to `EACH` of the others.

    Which ones is drawn at random, so that nobody picks the pretty ones. `found` has the lists of
    hits, where an index made them.
    """
    ranks = first_rank(ranking)
    generator = np.random.default_rng(request.seed)
    good = _drawn(np.flatnonzero(ranks == 1), generator)
    bad = _drawn(np.flatnonzero(ranks > 1), generator)
    chosen = [*good, *bad]
    queries, candidates = task_vectors(task, vectors, centre=request.centre)
    shown: list[dict[str, object]] = []
    for i in chosen:
        pool = np.arange(len(candidates)) if task.pools is None else task.pools[i]
        row = np.full(len(candidates), -2 / SCORE_STEP, dtype=np.float32)
        row[pool] = rounded_scores(queries[i : i + 1], candidates[pool])[0]
        own = -1 if task.own is None else int(task.own[i])
        if found is None:
            hits = best(row, task.relevant[i], k=min(SHOWN, len(pool)), own=own)
        else:
            hits = found[i][:SHOWN]
        shown.append(
            {
                "query": _shown(task.queries[i]),
                "first_relevant_rank": float(ranks[i]),
                "hits": [
                    {
                        **_shown(task.candidates[hit]),
                        "score": float(row[hit]) * SCORE_STEP,
                        "relevant": bool(np.isin(hit, task.relevant[i])),
                    }
                    for hit in map(int, hits)
                ],
            }
        )
    return shown


def _drawn(numbers: Int64[np.ndarray, " some"], generator: np.random.Generator) -> Sequence[int]:
    chosen = generator.choice(numbers, size=min(EACH, len(numbers)), replace=False)
    return [int(number) for number in sorted(chosen)]


def _shown(entry: Entry) -> dict[str, object]:
    return {
        "id": entry.id,
        "parts": [
            {"modality": str(part.modality), "content": str(part.content)} for part in entry.parts
        ],
    }
