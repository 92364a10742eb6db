"""What imagining is worth: what is found with an item drawn from the query, and without it.

Protocol. Captions and the items that carry them, both ways, on any manifest: the collection is one
kind of media (or the distinct captions), centred as search centres it. An item of that kind is
drawn from each query, and its hits are fused with the query's own (`retrieval.imagine`).
Queries are cut in two halves at random; a half is ranked with the weight that did best on the
other half by mean reciprocal rank, the least of equals, so no query has a say in its own weight.
Each seed draws items and halves anew.

Reading. `query` is the encoder alone, `drawn` what is found by the drawn item alone, `another` by
that drawn for the next query (what drawn items find by chance), `fused` both. `differences` are
fused less query, with bootstrap 95% intervals over queries (means over seeds for each query).
`weights` says what the halves chose: 0 means that imagining does not pay.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from blake3 import blake3
from jaxtyping import Bool, Float32, Float64, Int64

from omni_encoder import Encoder, MediaItem, Modality
from retrieval.decoded import first_item
from retrieval.evaluate import carries, distinct, rounded_scores
from retrieval.imagine import CONSTANT, Drawer, fused
from retrieval.significance import compare

from .manifest import ManifestItem, load_items
from .space import Space, make_space
from .vectors import VectorCache

SCHEMA = 1
DEPTH = 100
WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
METRICS = ("success@1", "success@10", "mrr")
_SAVED_EVERY = 20


@dataclass(frozen=True, slots=True)
class Case:
    """One way to search: what is asked with, and what is found and drawn."""

    query: Modality
    target: Modality

    @property
    def name(self) -> str:
        """Such as `text->image`."""
        return f"{self.query}->{self.target}"


CASES = (
    Case(Modality.TEXT, Modality.IMAGE),
    Case(Modality.IMAGE, Modality.TEXT),
    Case(Modality.TEXT, Modality.AUDIO),
)


@dataclass(frozen=True, slots=True)
class ImagineOptions:
    """How to measure.

    Attributes:
        cases: Which ways to search.
        queries: At most so many a case, spread evenly.
        seeds: How often items and halves are drawn.
        progress: Called with what is done, how much and of how much.
    """

    cases: Sequence[Case] = CASES
    queries: int = 60
    seeds: int = 3
    progress: Callable[[str, int, int], None] | None = None

    def __post_init__(self) -> None:
        if self.queries < 2 or self.seeds < 1:
            raise ValueError(
                f"queries must be at least 2 and seeds 1, got {self.queries}, {self.seeds}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """One case: who asks, what may be found, and the truth."""

    asked: Sequence[str | Path]
    queries: Float32[np.ndarray, "queries dim"]
    candidates: Float32[np.ndarray, "candidates dim"]
    relevant: Bool[np.ndarray, "queries candidates"]


def run(
    manifest: Path,
    *,
    encoder: Encoder,
    drawer: Drawer,
    split: Path | None = None,
    cache: Path | None = None,
    options: ImagineOptions | None = None,
) -> dict[str, object]:
    """Measure each case, as far as the manifest has it.

    Args:
        manifest: A JSONL file beside its media.
        encoder: Makes all vectors.
        drawer: Draws.
        split: A JSON file; only its `validation` ids are evaluated.
        cache: A folder to keep vectors in, those of drawn items too.
        options: See `ImagineOptions`.

    Raises:
        OmniError: The manifest, the split or the cache can't be used, or files are missing.
    """
    options = options or ImagineOptions()
    kept = VectorCache(cache, encoder)
    space = make_space(load_items(manifest, split=split), encoder, kept, progress=options.progress)
    cases: dict[str, object] = {}
    for case in options.cases:
        task = _task(case, space, kept, options.queries)
        if task is not None:
            drawn = _Drawn(drawer, kept, space)
            cases[case.name] = _measure(case, task, drawn, options)
    kept.save()
    return {
        "schema": SCHEMA,
        "encoder": {"name": encoder.spec.name, "fingerprint": encoder.spec.fingerprint},
        "drawer": drawer.fingerprint,
        "protocol": {
            "seeds": options.seeds,
            "weights": list(WEIGHTS),
            "constant": CONSTANT,
            "depth": DEPTH,
        },
        "cases": cases,
    }


def _task(case: Case, space: Space, cache: VectorCache, queries: int) -> _Task | None:
    media = case.target if case.query is Modality.TEXT else case.query
    items: Sequence[ManifestItem] = space.items.get(media, ())
    captions = distinct([item.captions for item in items])
    if not captions:
        return None
    relevant = carries(captions, [item.captions for item in items])
    texts = space.centre_all(cache.texts(captions), Modality.TEXT)
    cache.save()
    files = space.centred(media)
    if case.query is Modality.TEXT:
        chosen = _spread(np.arange(len(captions)), queries)
        asked: list[str | Path] = [captions[i] for i in chosen.tolist()]
        return _Task(asked, texts[chosen], files, relevant[chosen])
    chosen = _spread(np.flatnonzero(relevant.any(axis=0)), queries)
    asked = [items[i].path for i in chosen.tolist()]
    return _Task(asked, files[chosen], texts, relevant.T[chosen])


def _spread(numbers: Int64[np.ndarray, " all"], count: int) -> Int64[np.ndarray, " some"]:
    """At most `count` of the numbers, spread evenly."""
    places = np.linspace(0, len(numbers) - 1, min(count, len(numbers))).round().astype(int)
    return numbers[np.unique(places)]


class _Drawn:
    """Vectors of what is drawn for queries, centred."""

    def __init__(self, drawer: Drawer, cache: VectorCache, space: Space) -> None:
        self._drawer, self._cache, self._space = drawer, cache, space
        self.seconds: list[float] = []

    def vector(self, asked: str | Path, kind: Modality, seed: int) -> Float32[np.ndarray, " dim"]:
        content = asked.encode() if isinstance(asked, str) else asked.read_bytes()
        digest = blake3(content).hexdigest()
        key = f"drawn:{self._drawer.fingerprint}:{kind}:{seed}:{digest}"

        def draw() -> MediaItem:
            if isinstance(asked, str):
                item = MediaItem(Modality.TEXT, asked)
            else:
                item = first_item(asked, self._drawer.layout)
            start = perf_counter()
            (drawn,) = self._drawer.draw([item], kind, count=1, seed=seed)
            self.seconds.append(perf_counter() - start)
            if len(self.seconds) % _SAVED_EVERY == 0:
                self._cache.save()
            return drawn

        return self._space.centre(self._cache.row(key, draw), kind)


def _measure(case: Case, task: _Task, drawn: _Drawn, options: ImagineOptions) -> dict[str, object]:
    count = len(task.asked)
    plain = _orders(task.queries, task.candidates)
    alone: list[Float64[np.ndarray, "queries metrics"]] = []
    another: list[Float64[np.ndarray, "queries metrics"]] = []
    ranked: list[Float64[np.ndarray, "queries metrics"]] = []
    weights: list[float] = []
    for seed in range(options.seeds):
        rows: list[Float32[np.ndarray, " dim"]] = []
        for number, asked in enumerate(task.asked, start=1):
            rows.append(drawn.vector(asked, case.target, seed))
            if options.progress is not None:
                done = seed * count + number
                options.progress(f"Drawing {case.name}", done, options.seeds * count)
        seen = _orders(np.stack(rows), task.candidates)
        figures = {
            weight: _figures(_fused(plain, seen, weight), task.relevant) for weight in WEIGHTS
        }
        alone.append(_figures(seen, task.relevant))
        another.append(_figures(np.roll(seen, 1, axis=0), task.relevant))
        first = np.random.default_rng(seed).permutation(count) < count // 2
        chosen = np.zeros((count, len(METRICS)))
        for half in (first, ~first):
            best = _best({w: values[~half] for w, values in figures.items()})
            weights.append(best)
            chosen[half] = figures[best][half]
        ranked.append(chosen)
    query = _figures(plain, task.relevant)
    fusion = np.mean(ranked, axis=0)
    return {
        "queries": count,
        "candidates": len(task.candidates),
        "query": _means(query),
        "drawn": _means(np.mean(alone, axis=0)),
        "another": _means(np.mean(another, axis=0)),
        "fused": _means(fusion),
        "differences": {
            metric: _difference(query[:, i], fusion[:, i]) for i, metric in enumerate(METRICS)
        },
        "by_seed": [_means(one) for one in ranked],
        "weights": weights,
        "seconds_a_query": float(np.median(drawn.seconds)) if drawn.seconds else None,
    }


def _orders(
    queries: Float32[np.ndarray, "queries dim"], candidates: Float32[np.ndarray, "candidates dim"]
) -> Int64[np.ndarray, "queries depth"]:
    scores = rounded_scores(queries, candidates)
    return np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH].astype(np.int64)


def _fused(
    plain: Int64[np.ndarray, "queries depth"],
    seen: Int64[np.ndarray, "queries depth"],
    weight: float,
) -> Int64[np.ndarray, "queries depth"]:
    pairs = zip(plain.tolist(), seen.tolist(), strict=True)
    depth = plain.shape[1]
    return np.array([fused(p, s, weight=weight)[:depth] for p, s in pairs], dtype=np.int64)


def _figures(
    orders: Int64[np.ndarray, "queries depth"], relevant: Bool[np.ndarray, "queries candidates"]
) -> Float64[np.ndarray, "queries metrics"]:
    """The metrics of every query; what is not in the list counts as not found."""
    found = np.take_along_axis(relevant, orders, axis=1)
    rank = np.where(found.any(axis=1), found.argmax(axis=1) + 1.0, np.inf)
    return np.stack([rank <= 1, rank <= 10, 1 / rank], axis=1).astype(np.float64)


def _best(figures: dict[float, Float64[np.ndarray, "queries metrics"]]) -> float:
    """The least of the best weights by the reciprocal rank: what does not pay is not used."""
    return max(figures, key=lambda weight: (round(figures[weight][:, 2].mean(), 12), -weight))


def _means(figures: Float64[np.ndarray, "queries metrics"]) -> dict[str, float]:
    return dict(zip(METRICS, figures.mean(axis=0).tolist(), strict=True))


def _difference(
    query: Float64[np.ndarray, " queries"], fusion: Float64[np.ndarray, " queries"]
) -> dict[str, object]:
    compared = compare(query, fusion)
    return {
        "difference": compared.difference,
        "interval": list(compared.interval),
        "p": compared.p,
    }
