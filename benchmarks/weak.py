"""How well the weak mark tells queries that mean nothing from hits that are right.

Question. Are the results of a nonsense query marked weak, and are true first hits spared?
Protocol. The collection is one modality of the manifest (or split), centred as search centres it.
True queries are those of `retrieval.evaluate.DIRECTIONS`; a first hit is true when it is relevant.
Nonsense queries are `nonsense.typed_texts`, noise pictures and noise sounds, none of which chose a
limit. Each asks for its ten best.
Reading. `nonsense_weak` is the share of results of nonsense that are weak (wanted: at least .95),
`true_kept` the share of true first hits that are not (wanted: at least .90), `wrong_weak` the
share of wrong first hits that are weak. `all` pools the results of all directions. `by_size` asks
the same of smaller collections, drawn at random: a limit that forgot the size would move. The last
line is JSON.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int64

from omni_encoder import Encoder, Modality
from retrieval.calibrate import Calibrator
from retrieval.compose import EncodedPart
from retrieval.evaluate import DIRECTIONS, Direction, bootstrap_interval, carries, distinct, shares
from retrieval.reference import Reference

from .manifest import load_items
from .nonsense import noise_images, noise_sounds, typed_texts
from .space import Progress, Space, make_space
from .vectors import VectorCache

SCHEMA = 1
DEPTH = 10
SEED = 1  # limits were chosen by noise of seed 0
_SIZES = (10, 50, 200)


@dataclass(slots=True)
class _Tally:
    """0 and 1 for each result."""

    nonsense: list[float] = field(default_factory=list[float])
    true: list[float] = field(default_factory=list[float])
    wrong: list[float] = field(default_factory=list[float])

    def add(self, other: "_Tally") -> None:
        self.nonsense += other.nonsense
        self.true += other.true
        self.wrong += other.wrong

    def as_json(self) -> dict[str, object]:
        found: dict[str, object] = {}
        if self.nonsense:
            found["nonsense_weak"] = float(np.mean(self.nonsense))
            found["nonsense_results"] = len(self.nonsense)
        if self.true:
            kept = 1 - np.array(self.true)
            found["true_kept"] = float(kept.mean())
            found["true_kept_interval"] = list(bootstrap_interval(kept, seed=0))
            found["true_first_hits"] = len(self.true)
        if self.wrong:
            found["wrong_weak"] = float(np.mean(self.wrong))
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """Queries or candidates: raw unit rows of one modality."""

    modality: Modality
    vectors: Float32[np.ndarray, "rows dim"]


def run(
    manifest: Path,
    *,
    encoder: Encoder,
    reference: Reference,
    split: Path | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Measure every direction, and nonsense in each.

    Raises:
        OmniError: The manifest, the split or the cache can't be used.
    """
    kept = VectorCache(cache, encoder)
    space = make_space(load_items(manifest, split=split), encoder, kept, progress=progress)
    calibrator = Calibrator(reference, space.centre_all)
    nothing = _nonsense(encoder, kept)
    kept.save()
    tallies: dict[str, _Tally] = {}
    sizes: dict[int, _Tally] = defaultdict(_Tally)
    for direction in DIRECTIONS:
        task = _task(direction, space, kept)
        if task is None or not calibrator.knows(direction.query):
            continue
        asked, candidates, relevant = task
        made = _Side(direction.query, nothing[direction.query])
        tally = _ask(calibrator, space, asked, candidates, relevant=relevant)
        tally.add(_ask(calibrator, space, made, candidates))
        tallies[direction.name] = tally
        for size in _SIZES:
            if size < len(candidates.vectors):
                drawn = np.random.default_rng([SEED, size]).permutation(len(candidates.vectors))
                few = _Side(candidates.modality, candidates.vectors[drawn[:size]])
                truth = relevant[:, drawn[:size]]
                sizes[size].add(_ask(calibrator, space, asked, few, relevant=truth))
                sizes[size].add(_ask(calibrator, space, made, few))
    kept.save()
    pooled = _Tally()
    for tally in tallies.values():
        pooled.add(tally)
    return {
        "schema": SCHEMA,
        "encoder": {"name": encoder.spec.name, "fingerprint": encoder.spec.fingerprint},
        "nonsense": {str(modality): len(rows) for modality, rows in nothing.items()},
        "reference": {str(m): len(cohort.groups) for m, cohort in reference.cohorts.items()},
        "directions": {name: t.as_json() for name, t in [*tallies.items(), ("all", pooled)]},
        "by_size": {str(size): tally.as_json() for size, tally in sorted(sizes.items())},
    }


def _nonsense(
    encoder: Encoder, cache: VectorCache
) -> dict[Modality, Float32[np.ndarray, "rows dim"]]:
    empty = np.zeros((0, cache.dim), np.float32)
    known = encoder.spec.modalities
    images = noise_images(count=24, seed=SEED, side=320) if Modality.IMAGE in known else []
    sounds = noise_sounds(count=24, seed=SEED, seconds=6.0) if Modality.AUDIO in known else []
    return {
        Modality.TEXT: cache.texts(typed_texts()) if cache.knows_text else empty,
        Modality.IMAGE: encoder.encode(images) if images else empty,
        Modality.AUDIO: encoder.encode(sounds) if sounds else empty,
        Modality.VIDEO: empty,
    }


def _task(
    direction: Direction, space: Space, cache: VectorCache
) -> tuple[_Side, _Side, Bool[np.ndarray, "queries candidates"]] | None:
    """Queries, candidates and truth of a direction; None if nothing answers anything."""
    kinds = {direction.query, direction.target} - {Modality.TEXT}
    if not kinds <= space.items.keys() or (Modality.TEXT in (direction.query, direction.target)) > (
        cache.knows_text
    ):
        return None
    if direction.rule == "caption":
        (media,) = kinds
        items = space.items[media]
        captions = distinct([item.captions for item in items])
        carried = carries(captions, [item.captions for item in items])
        texts = _Side(Modality.TEXT, cache.texts(captions))
        files = _Side(media, space.vectors[media])
        if direction.query is Modality.TEXT:
            return texts, files, carried
        asked = carried.any(axis=0)
        return _Side(media, files.vectors[asked]), texts, carried.T[asked]
    left, right = space.items[direction.query], space.items[direction.target]
    same = direction.rule == "label"
    keys = [[i.label if same else i.pair_id for i in side] for side in (left, right)]
    relevant = shares(keys[0], keys[1])
    if same:
        np.fill_diagonal(relevant, val=False)
    asked = relevant.any(axis=1)
    if not asked.any():
        return None
    queries = _Side(direction.query, space.vectors[direction.query][asked])
    return queries, _Side(direction.target, space.vectors[direction.target]), relevant[asked]


def _ask(
    calibrator: Calibrator,
    space: Space,
    asked: _Side,
    candidates: _Side,
    *,
    relevant: Bool[np.ndarray, "queries candidates"] | None = None,
) -> _Tally:
    """Judge ten hits of each nonsense query, or the first of each true one."""
    tally = _Tally()
    if not len(asked.vectors):
        return tally
    queries = space.centre_all(asked.vectors, asked.modality)
    scores = queries @ space.centre_all(candidates.vectors, candidates.modality).T
    # A query that is a candidate itself finds itself: its cosine is 1 up to rounding.
    if asked.modality is candidates.modality:
        scores[scores > 1 - 1e-5] = -1
    depth = DEPTH if relevant is None else 1
    order: Int64[np.ndarray, "queries depth"] = np.argsort(-scores, axis=1, kind="stable")
    items = {candidates.modality: len(candidates.vectors)}
    for number, places in enumerate(order[:, :depth].tolist()):
        found: Sequence[tuple[float, Modality]] = [
            (float(scores[number, place]), candidates.modality) for place in places
        ]
        strange = calibrator.strange([EncodedPart(asked.modality, asked.vectors[number])])
        judged = calibrator.judge(asked.modality, found, items=items, strange=strange)
        weak = [float(judgement is not None and judgement.weak) for judgement in judged]
        if relevant is None:
            tally.nonsense += weak
        else:
            (tally.true if relevant[number, places[0]] else tally.wrong).extend(weak)
    return tally
