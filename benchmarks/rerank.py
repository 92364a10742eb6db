"""What re-ranking by the flow is worth: the first hits with it and without, on any manifest.

Protocol. Queries are the distinct captions of the target modality's items, candidates all of its
items, ranked by the cosine of centred vectors; an item is relevant when it carries the caption. The
first `top` of each query are scored by the likelihood of the query's words beside each (S1), or by
how much likelier the query makes each one's codes (S2, S3), and put in order by the blend of both
(S4). Queries are cut in two halves at random; a half is ranked with
the weight that did best on the other half, so no query has a say in its own weight. Each seed draws
halves and noise anew.

Reading. `cosine` is Success@1 without the flow, `blend` with it, `flow` by likelihood alone;
`difference` is blend less cosine, with the bootstrap 95% interval over queries (the mean over seeds
for each query). `weights` says what the halves chose: 0 means that the flow does not pay.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from jaxtyping import Bool, Float64, Int64

from omni_encoder import Encoder, MediaItem, Modality
from omni_encoder.item_codes import Coder, ItemCodes
from retrieval.decoded import first_item
from retrieval.evaluate import carries, centre, distinct
from retrieval.rerank import CodeJudge, Judge, blended
from retrieval.significance import compare

from .manifest import load_items
from .vectors import VectorCache

SCHEMA = 1
WEIGHTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
_BATCH = 16  # items whose codes are made at once
TARGETS = (Modality.IMAGE, Modality.AUDIO, Modality.VIDEO)


@dataclass(frozen=True, slots=True)
class RerankOptions:
    """How to measure.

    Attributes:
        top: How many candidates of a query are scored.
        limit: At most so many items of each modality; None takes all.
        queries: At most so many queries a direction, spread evenly; None asks all.
        seeds: How often halves and noise are drawn.
        progress: Called with what is done, how much and of how much.
    """

    top: int = 20
    limit: int | None = None
    queries: int | None = None
    seeds: int = 3
    progress: Callable[[str, int, int], None] | None = None

    def __post_init__(self) -> None:
        if self.top < 2 or self.seeds < 1:
            raise ValueError(f"top must be at least 2 and seeds 1, got {self.top}, {self.seeds}")


@dataclass(frozen=True, slots=True)
class ByCodes:
    """What judges by codes in place of vectors.

    Attributes:
        coder: Makes codes and priors; both see one noise.
        judge: Scores them.
    """

    coder: Coder
    judge: CodeJudge


# What judges candidates, by the seed of its noise.
Seeded = Callable[[int], Judge | ByCodes]


@dataclass(frozen=True, slots=True, eq=False)
class _Lists:
    """The first candidates of every query: scores, and which are relevant."""

    cosine: Float64[np.ndarray, "queries top"]
    flow: Float64[np.ndarray, "queries top"]
    relevant: Bool[np.ndarray, "queries top"]

    def success(self, weight: float) -> Float64[np.ndarray, " queries"]:
        """Success@1 of every query at one weight."""
        rows = zip(self.cosine, self.flow, strict=True)
        first = [int(np.argmax(blended(c, f, weight=weight))) for c, f in rows]
        return self.relevant[np.arange(len(first)), first].astype(np.float64)


def run(
    manifest: Path,
    *,
    encoder: Encoder,
    judge: Seeded,
    split: Path | None = None,
    cache: Path | None = None,
    options: RerankOptions | None = None,
) -> dict[str, object]:
    """Measure text->image, text->audio and text->video, as far as the manifest has them.

    Args:
        manifest: A JSONL file beside its media.
        encoder: Makes the first ranking.
        judge: Gives what scores candidates, by the seed of its noise. What has no codes is left
            out of a measurement by codes.
        split: A JSON file; only its `validation` ids are evaluated.
        cache: A folder to keep vectors in.
        options: See `RerankOptions`.

    Raises:
        OmniError: The manifest, the split or the cache can't be used, or files are missing.
    """
    options = options or RerankOptions()
    items = load_items(manifest, split=split, limit=options.limit)
    vectors = VectorCache(cache, encoder)
    directions: dict[str, object] = {}
    first = judge(0)
    for target in TARGETS:
        if isinstance(first, ByCodes) and target not in first.coder.modalities:
            continue
        chosen = [item for item in items if item.modality is target]
        embedded = vectors.files([item.path for item in chosen])
        bad = {failure.number for failure in embedded.failures}
        good = [number for number in range(len(chosen)) if number not in bad]
        captions = distinct([chosen[number].captions for number in good])
        if not captions:
            continue
        vectors.save()
        relevant = carries(captions, [chosen[number].captions for number in good])
        paths = [chosen[number].path for number in good]
        asked = vectors.texts(captions)
        found = _First(embedded.vectors[good], asked, relevant, captions, target, paths, encoder)
        directions[f"text->{target}"] = _measure(
            found, lambda seed: judge(seed) if seed else first, options
        )
    vectors.save()
    return {
        "schema": SCHEMA,
        "encoder": {"name": encoder.spec.name, "fingerprint": encoder.spec.fingerprint},
        "protocol": {"top": options.top, "seeds": options.seeds, "weights": list(WEIGHTS)},
        "directions": directions,
    }


@dataclass(frozen=True, slots=True, eq=False)
class _First:
    """One direction: vectors of candidates and captions, the truth, and what codes are made of."""

    candidates: np.ndarray
    asked: np.ndarray
    relevant: np.ndarray
    captions: Sequence[str]
    target: Modality
    paths: Sequence[Path]
    encoder: Encoder

    def scorer(
        self, judge: Judge | ByCodes, order: Int64[np.ndarray, "queries top"]
    ) -> Callable[[MediaItem, Int64[np.ndarray, " top"]], Float64[np.ndarray, " top"]]:
        """What scores some of the candidates; codes are made of all that `order` names."""
        if not isinstance(judge, ByCodes):
            kinds = [self.target] * order.shape[1]
            return lambda query, rows: judge(query, self.candidates[rows], kinds)
        layout, wanted = self.encoder.spec.layout, np.unique(order)
        codes: dict[int, ItemCodes] = {}
        for rows in np.array_split(wanted, -(-len(wanted) // _BATCH)):
            items = [first_item(self.paths[int(row)], layout) for row in rows]
            codes |= zip(map(int, rows), judge.coder.encode(items), strict=True)
        by_codes = judge.judge
        return lambda query, rows: by_codes(
            query, [codes[int(row)] for row in rows], [self.target] * len(rows)
        )


def _measure(found: _First, judge: Seeded, options: RerankOptions) -> dict[str, object]:
    top = min(options.top, len(found.candidates))
    count = min(options.queries or len(found.captions), len(found.captions))
    asked = np.unique(np.linspace(0, len(found.captions) - 1, count).round().astype(int))
    scores = centre(found.asked)[asked] @ centre(found.candidates).T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    cosine = np.take_along_axis(scores, order, axis=1).astype(np.float64)
    relevant = np.take_along_axis(found.relevant[asked], order, axis=1)
    captions = [found.captions[int(number)] for number in asked]
    plain = relevant[:, 0].astype(np.float64)
    ranked = np.zeros((options.seeds, len(asked)))
    alone = np.zeros((options.seeds, len(asked)))
    weights: list[float] = []
    seconds: list[float] = []
    for seed in range(options.seeds):
        flow = _judged(found, captions, order, judge(seed), options, seconds=seconds)
        success = {w: _Lists(cosine, flow, relevant).success(w) for w in WEIGHTS}
        alone[seed] = success[1.0]
        first = np.random.default_rng(seed).permutation(len(asked)) < len(asked) // 2
        for half in (first, ~first):
            best = _best({w: values[~half] for w, values in success.items()})
            weights.append(best)
            ranked[seed, half] = success[best][half]
    compared = compare(plain, ranked.mean(axis=0))
    return {
        "queries": len(asked),
        "candidates": len(found.candidates),
        "reachable": float(relevant.any(axis=1).mean()),
        "cosine": float(plain.mean()),
        "flow": float(alone.mean()),
        "blend": float(ranked.mean()),
        "difference": compared.difference,
        "interval": list(compared.interval),
        "p": compared.p,
        "by_seed": ranked.mean(axis=1).tolist(),
        "weights": weights,
        "seconds_a_query": float(np.median(seconds)),
    }


def _judged(
    found: _First,
    captions: Sequence[str],
    order: Int64[np.ndarray, "queries top"],
    judge: Judge | ByCodes,
    options: RerankOptions,
    *,
    seconds: list[float],
) -> Float64[np.ndarray, "queries top"]:
    """The flow's score of every candidate; what each query took is added to `seconds`."""
    flow, score = np.zeros(order.shape), found.scorer(judge, order)
    for row, caption in enumerate(captions):
        start = perf_counter()
        flow[row] = score(MediaItem(Modality.TEXT, caption), order[row])
        seconds.append(perf_counter() - start)
        if options.progress is not None:
            done, total = len(seconds), options.seeds * len(captions)
            options.progress(f"text->{found.target}", done, total)
    return flow


def _best(success: dict[float, Float64[np.ndarray, " queries"]]) -> float:
    """The least of the best weights: what does not pay is not used."""
    return max(success, key=lambda weight: (success[weight].mean(), -weight))
