"""How well an encoder's vectors find what belongs together, on any annotated manifest.

Protocol. Every direction of `retrieval.evaluate.DIRECTIONS` that the manifest has queries for is
measured over all items of the target modality, by the cosine of the encoder's raw vectors; a file
of several parts has the normalised mean of its parts. Text queries are the distinct captions of the
other modality's items, and an item is relevant when it carries the caption. Within a modality an
item is relevant when it has the query's label (the query itself left out); between media, when it
has its `pair_id`. Ties count as worst case. Items marked `low_content` are left out.

Reading. `success@k` is the share of queries with a relevant candidate among the first k; compare it
with `chance_success@k`, which depends on the number of candidates, and never between manifests.
`success@1_interval` is a bootstrap 95% interval. `by_source` and `by_caption_kind` ask only the
captions that an item of that source or kind carries, over the same candidates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from blake3 import blake3
from jaxtyping import Bool, Float32, Int64

from omni_encoder import Encoder, Modality
from retrieval.evaluate import (
    DIRECTIONS,
    Direction,
    carries,
    centre,
    distinct,
    rank_vectors,
    shares,
    summarise,
)
from retrieval.metrics import Ties

from .manifest import ManifestItem, load_items
from .vectors import VectorCache

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class QualityOptions:
    """How to measure.

    Attributes:
        limit: At most so many items of each modality, spread evenly; None takes all.
        centre: Subtract from queries and from candidates their own mean first, which closes the
            gap between modalities; the protocol's figures are without.
        ties: How equal scores are ranked, see `retrieval.metrics`.
        seed: Of the bootstrap.
        progress: Called with what is being encoded, files done and files in all.
    """

    limit: int | None = None
    centre: bool = False
    ties: Ties = "worst"
    seed: int = 0
    progress: Callable[[str, int, int], None] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Media:
    """The items of one modality that could be decoded, with their vectors and captions."""

    items: Sequence[ManifestItem]
    vectors: Float32[np.ndarray, "items dim"]
    captions: Sequence[str]
    caption_vectors: Float32[np.ndarray, "captions dim"]


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """One direction's queries, candidates and truth; only queries with an answer are in it."""

    queries: Float32[np.ndarray, "queries dim"]
    candidates: Float32[np.ndarray, "candidates dim"]
    relevant: Bool[np.ndarray, "queries candidates"]
    own: Int64[np.ndarray, " queries"] | None = None


def run(
    manifest: Path,
    *,
    encoder: Encoder,
    split: Path | None = None,
    cache: Path | None = None,
    options: QualityOptions | None = None,
) -> dict[str, object]:
    """Measure every direction of a manifest.

    Args:
        manifest: A JSONL file beside its media, see `benchmarks.manifest`.
        encoder: What is measured. Directions of modalities that it doesn't know are left out.
        split: A JSON file; only its `validation` ids are evaluated.
        cache: A folder to keep vectors in, so that a second run encodes nothing.
        options: See `QualityOptions`.

    Returns:
        A JSON object; its `directions` map names such as `text->image` to figures.

    Raises:
        OmniError: The manifest, the split or the cache can't be used, or files are missing.
    """
    options = options or QualityOptions()
    items = load_items(manifest, split=split, limit=options.limit)
    known = [item for item in items if item.modality in encoder.spec.modalities]
    vectors = VectorCache(cache, encoder)
    failed: list[dict[str, str]] = []
    media = {
        modality: _embed(
            [item for item in known if item.modality is modality],
            vectors,
            report=_reporter(options, modality),
            failed=failed,
        )
        for modality in encoder.spec.modalities
        if modality is not Modality.TEXT
    }
    vectors.save()
    measured: dict[str, object] = {}
    left_out: dict[str, str] = {}
    for direction in DIRECTIONS:
        unknown = {direction.query, direction.target} - set(encoder.spec.modalities)
        if unknown:
            left_out[direction.name] = f"the encoder doesn't know {', '.join(sorted(unknown))}"
            continue
        figures = _measure(direction, media, options)
        if figures is None:
            left_out[direction.name] = "the manifest has no query with an answer"
        else:
            measured[direction.name] = figures
    return {
        "schema": SCHEMA,
        "encoder": {"name": encoder.spec.name, "fingerprint": encoder.spec.fingerprint},
        "manifest": {
            "blake3": blake3(manifest.read_bytes()).hexdigest(),
            "items": len(known) - len(failed),
            "unknown_modality": len(items) - len(known),
            "failed": failed,
        },
        "split": None if split is None else {"blake3": blake3(split.read_bytes()).hexdigest()},
        "protocol": {
            "score": "centred cosine" if options.centre else "cosine",
            "centred": options.centre,
            "ties": options.ties,
            "limit": options.limit,
            "interval": "bootstrap 95%, queries resampled",
        },
        "directions": measured,
        "left_out": left_out,
    }


def _reporter(options: QualityOptions, modality: Modality) -> Callable[[int, int], None] | None:
    """Tells `options.progress` of files of one modality, or nobody."""
    progress = options.progress
    return None if progress is None else lambda done, total: progress(str(modality), done, total)


def _embed(
    items: Sequence[ManifestItem],
    cache: VectorCache,
    *,
    report: Callable[[int, int], None] | None,
    failed: list[dict[str, str]],
) -> _Media:
    """The media of one modality; items that can't be decoded go into `failed` instead."""
    embedded = cache.files(
        [item.path for item in items],
        advance=None if report is None else lambda done: report(done, len(items)),
    )
    bad = {failure.number for failure in embedded.failures}
    failed += [
        {"id": items[failure.number].id, "reason": failure.reason, "message": failure.message}
        for failure in embedded.failures
    ]
    good = [number for number in range(len(items)) if number not in bad]
    captions = distinct([items[number].captions for number in good]) if cache.knows_text else []
    return _Media(
        items=[items[number] for number in good],
        vectors=embedded.vectors[good],
        captions=captions,
        caption_vectors=cache.texts(captions),
    )


def _measure(
    direction: Direction, media: dict[Modality, _Media], options: QualityOptions
) -> dict[str, object] | None:
    """The figures of one direction, or None when it has no query with an answer."""
    task = _task(direction, media)
    if not len(task.queries):
        return None
    queries, candidates = task.queries, task.candidates
    if options.centre:
        queries, candidates = centre(queries), centre(candidates)
    ranking = rank_vectors(queries, candidates, task.relevant, own=task.own)
    figures = summarise(ranking, ties=options.ties, seed=options.seed).as_json()
    if direction.query is not Modality.TEXT:
        return figures
    items = media[direction.target].items
    for name, keys in (
        ("by_source", [item.source for item in items]),
        ("by_caption_kind", [item.caption_kind for item in items]),
    ):
        asked = {key: task.relevant @ shares(keys, [key])[:, 0] for key in dict.fromkeys(keys)}
        figures[name] = {
            key: summarise(ranking.select(wanted), ties=options.ties, seed=options.seed).as_json()
            for key, wanted in sorted(asked.items())
            if wanted.any()
        }
    return figures


def _task(direction: Direction, media: dict[Modality, _Media]) -> _Task:
    if direction.rule == "caption":
        texts_first = direction.query is Modality.TEXT
        side = media[direction.target if texts_first else direction.query]
        carried = carries(side.captions, [item.captions for item in side.items])
        if texts_first:
            return _Task(side.caption_vectors, side.vectors, carried)
        asked = carried.any(axis=0)
        return _Task(side.vectors[asked], side.caption_vectors, carried.T[asked])
    left, right = media[direction.query], media[direction.target]
    if direction.rule == "label":
        labels = [item.label for item in left.items]
        relevant = shares(labels, labels)
        np.fill_diagonal(relevant, val=False)
        asked = relevant.any(axis=1)
        return _Task(left.vectors[asked], left.vectors, relevant[asked], np.flatnonzero(asked))
    relevant = shares([item.pair_id for item in left.items], [item.pair_id for item in right.items])
    asked = relevant.any(axis=1)
    return _Task(left.vectors[asked], right.vectors, relevant[asked])
