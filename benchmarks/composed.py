"""How well queries of several parts are answered, by two composers, beside each part alone.

Question. Does a query of several parts find more than its best part, and which composer finds
more?
Protocol. The queries of `composed_queries`, over all items of the target modality in the manifest
(or split), by the cosine of centred vectors. Rows: each part alone, `arithmetic`, and `joint` if
the encoder reads sequences. Ties count as worst case. What is drawn is drawn by three seeds.
Reading. `ndcg@10` and `success@1` are means over queries, and over seeds; `spread` is the range
over seeds. `unwanted@10` is the share of the first ten that are what the query doesn't want.
Compare rows of one task only. `against` gives paired differences with a bootstrap 95% interval
over all queries of all seeds, and a paired randomisation test. The last line is JSON.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64

from omni_encoder import Encoder, JointEncoder, Modality, OmniError
from retrieval.compose import UNWANTED, Arithmetic, Composer, EncodedPart, Joint
from retrieval.evaluate import rank_vectors
from retrieval.metrics import ndcg_at_k, success_at_k
from retrieval.significance import compare

from .composed_queries import ComposedQuery, ComposedTask, pair_tasks, read_tags, tag_tasks
from .manifest import load_items
from .space import Progress, Space, make_space
from .tasks import Part
from .vectors import VectorCache

SCHEMA = 1
SEEDS = (0, 1, 2)
_METRICS = ("ndcg@10", "success@1")
_UNWANTED = "unwanted@10"
_FIRST = 10


@dataclass(frozen=True, slots=True)
class ComposedOptions:
    """How to measure.

    Attributes:
        unwanted: The weight of what is not wanted, above 0.
        seeds: Of what is drawn.
        limit: At most so many items of each modality.
        progress: Called with what is being encoded, files done and files in all.
    """

    unwanted: float = UNWANTED
    seeds: tuple[int, ...] = SEEDS
    limit: int | None = None
    progress: Progress | None = None


Row = Mapping[str, Float64[np.ndarray, " queries"]]
Made = Sequence[tuple[ComposedQuery, Sequence[EncodedPart]]]


def run(
    manifest: Path,
    *,
    encoder: Encoder,
    split: Path | None = None,
    cache: Path | None = None,
    options: ComposedOptions | None = None,
) -> dict[str, object]:
    """Measure every task that the manifest has queries for.

    Raises:
        OmniError: The manifest, the split or the cache can't be used, or it has no such queries.
    """
    options = options or ComposedOptions()
    kept = VectorCache(cache, encoder)
    items = load_items(manifest, split=split, limit=options.limit)
    space = make_space(items, encoder, kept, progress=options.progress)
    tags = read_tags(manifest)
    images = space.items.get(Modality.IMAGE, ())
    fixed = pair_tasks(space.items)
    drawn = [tag_tasks(images, tags, seed=seed) for seed in options.seeds]
    turns = [[task] for task in fixed] + [list(folds) for folds in zip(*drawn, strict=True)]
    measurer = _Measurer(space, encoder, kept, options)
    figures: dict[str, object] = {}
    for folds in turns:
        if folds[0].target in encoder.spec.modalities and all(fold.queries for fold in folds):
            figures[folds[0].name] = measurer.figures(folds)
    kept.save()
    if not figures:
        raise OmniError(
            f"{manifest} has no composed queries",
            hint="they are made of items that share a pair_id, and of tags",
        )
    return {
        "schema": SCHEMA,
        "encoder": {"name": encoder.spec.name, "fingerprint": encoder.spec.fingerprint},
        "items": {str(m): len(found) for m, found in space.items.items()},
        "unwanted_weight": options.unwanted,
        "seeds": list(options.seeds),
        "tasks": figures,
    }


class _Measurer:
    """Composes and ranks the queries of one space."""

    def __init__(
        self, space: Space, encoder: Encoder, cache: VectorCache, options: ComposedOptions
    ) -> None:
        self._space, self._cache, self._options = space, cache, options
        self._composers: dict[str, Composer] = {"arithmetic": Arithmetic(space.centre)}
        if isinstance(encoder, JointEncoder):
            self._composers["joint"] = Joint(space.centre, encoder)
        self._files = {
            item.path: row
            for modality, found in space.items.items()
            for item, row in zip(found, space.vectors[modality], strict=True)
        }

    def figures(self, folds: Sequence[ComposedTask]) -> dict[str, object]:
        """The rows of a task, over its folds, and the differences between them."""
        measured = [self._rows(fold) for fold in folds]
        names = list(measured[0])
        rows = {name: _summary([fold[name] for fold in measured]) for name in names}
        joined = {
            name: {m: np.concatenate([f[name][m] for f in measured]) for m in measured[0][name]}
            for name in names
        }
        alone = [name for name in names if name not in self._composers]
        best = max(alone, key=lambda name: float(joined[name]["ndcg@10"].mean()))
        against: dict[str, object] = {
            f"{name} - {best}": _difference(joined[best], joined[name]) for name in self._composers
        }
        if "joint" in self._composers:
            against["joint - arithmetic"] = _difference(joined["arithmetic"], joined["joint"])
        return {
            "queries": len(joined[names[0]]["ndcg@10"]),
            "folds": len(folds),
            "candidates": len(self._space.items[folds[0].target]),
            "rows": rows,
            "against": against,
        }

    def _rows(self, task: ComposedTask) -> dict[str, Row]:
        made = self._encoded(task.queries)
        candidates = self._space.centred(task.target)
        rows: dict[str, Row] = {}
        for number, name in enumerate(task.parts):
            if all(parts[number].weight > 0 for _, parts in made):
                vectors = [Arithmetic(self._space.centre).compose([p[number]]) for _, p in made]
                rows[f"{name} alone"] = _judge(np.stack(vectors), candidates, task.queries)
        for name, composer in self._composers.items():
            vectors = [composer.compose(parts) for _, parts in made]
            rows[name] = _judge(np.stack(vectors), candidates, task.queries)
        return rows

    def _encoded(self, queries: Sequence[ComposedQuery]) -> Made:
        texts = [str(p.content) for query in queries for p, _ in query.parts if _is_text(p)]
        vectors = dict(zip(texts, self._cache.texts(texts), strict=True))
        return [
            (query, [self._part(part, sign, vectors) for part, sign in query.parts])
            for query in queries
        ]

    def _part(
        self, part: Part, sign: int, texts: Mapping[str, Float32[np.ndarray, " dim"]]
    ) -> EncodedPart:
        weight = 1.0 if sign > 0 else -self._options.unwanted
        if isinstance(part.content, str):
            return EncodedPart(part.modality, texts[part.content], weight, text=part.content)
        return EncodedPart(part.modality, self._files[part.content], weight)


def _is_text(part: Part) -> bool:
    return part.modality is Modality.TEXT


def _judge(
    vectors: Float32[np.ndarray, "queries dim"],
    candidates: Float32[np.ndarray, "items dim"],
    queries: Sequence[ComposedQuery],
) -> Row:
    ranking = rank_vectors(
        vectors,
        candidates,
        [np.array(query.answers, dtype=np.int64) for query in queries],
        own=np.array([query.own for query in queries], dtype=np.int64),
    )
    figures: Mapping[str, Callable[[], Float64[np.ndarray, " queries"]]] = {
        "ndcg@10": lambda: ndcg_at_k(ranking, k=10),
        "success@1": lambda: success_at_k(ranking, k=1),
    }
    row = {name: figures[name]() for name in _METRICS}
    if queries[0].unwanted:
        first = np.argsort(-(vectors @ candidates.T), axis=1, kind="stable")[:, :_FIRST]
        row[_UNWANTED] = np.array(
            [np.isin(f, q.unwanted).mean() for f, q in zip(first, queries, strict=True)]
        )
    return row


def _summary(folds: Sequence[Row]) -> dict[str, object]:
    means = {name: [float(fold[name].mean()) for fold in folds] for name in folds[0]}
    summary: dict[str, object] = {name: float(np.mean(values)) for name, values in means.items()}
    if len(folds) > 1:
        summary["spread"] = {n: max(values) - min(values) for n, values in means.items()}
    return summary


def _difference(a: Row, b: Row) -> dict[str, object]:
    found = {name: compare(a[name], b[name]) for name in a}
    return {
        name: {"difference": c.difference, "interval": list(c.interval), "p": c.p}
        for name, c in found.items()
    }
