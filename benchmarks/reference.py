"""Making an encoder's reference: training items and texts, and limits chosen on them alone.

At most so many items of each modality are drawn by a seed, one of each group, so that nothing in a
cohort is related to its neighbours; texts are one caption of each group. Items of the validation
split are never looked at.

Limits. Nonsense is made by chance (`nonsense.drawn_texts`, noise). A query part is strange when it
is less familiar than 95% of nonsense; a modality of which more than a tenth of the reference items
were strange then, to the others, has no such rule (noise looks like textures, and sounds like
rain). In each direction from a modality of which nonsense can be made, the limit is the largest by
which 98% of the ten best hits of nonsense, sought in the cohort, are weak, but at least 0.5: what
half an unrelated item would match is not weak. Other directions get the middle of these limits.
Only training items and made queries have a say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from omni_encoder import Encoder, MediaItem, Modality, OmniError
from retrieval.calibrate import Calibrator, mean_of_nearest
from retrieval.compose import EncodedPart
from retrieval.reference import Cohort, Reference, direction

from .manifest import ManifestItem, load_items
from .nonsense import drawn_texts, noise_images, noise_sounds
from .space import Progress, Space, make_space
from .vectors import VectorCache

NONSENSE_STRANGE = 0.95
NONSENSE_WEAK = 0.98
MOST_STRANGE = 0.1
LEAST_LIMIT = 0.5
SEED = 0
DEPTH = 10


@dataclass(frozen=True, slots=True)
class ReferenceOptions:
    """How to make a reference.

    Attributes:
        items: At most so many of each modality; of texts twice as many.
        seed: Of what is drawn.
        progress: Called with what is being encoded, files done and files in all.
    """

    items: int = 512
    seed: int = SEED
    progress: Progress | None = None


def make_reference(
    manifest: Path,
    *,
    encoder: Encoder,
    split: Path,
    cache: Path | None = None,
    options: ReferenceOptions | None = None,
) -> Reference:
    """Draw the cohorts and choose the limits.

    Raises:
        OmniError: The manifest, the split or the cache can't be used, or nothing is left.
    """
    options = options or ReferenceOptions()
    kept = VectorCache(cache, encoder)
    held = {item.id for item in load_items(manifest, split=split)}
    training = [item for item in load_items(manifest) if item.id not in held]
    if not training:
        raise OmniError(f"all items of {manifest} are held out", hint="name the split of training")
    chosen, groups = _draw(training, options)
    space = make_space(chosen, encoder, kept, progress=options.progress)
    cohorts = {
        modality: Cohort(
            space.vectors[modality],
            np.array([groups[_group(item)] for item in items], dtype=np.int64),
        )
        for modality, items in space.items.items()
    }
    if kept.knows_text:
        captions = _captions(training, groups, options)
        vectors = kept.texts([caption for caption, _ in captions])
        cohorts[Modality.TEXT] = Cohort(vectors, np.array([group for _, group in captions]))
    kept.save()
    reference = Reference(encoder.spec.fingerprint, cohorts)
    made = nonsense(encoder, options.seed)
    reference = replace(reference, strange=_strange(reference, space, made))
    return replace(reference, limits=_limits(reference, space, made))


def nonsense(encoder: Encoder, seed: int) -> Mapping[Modality, Float32[np.ndarray, "queries dim"]]:
    """Vectors of meaningless queries to choose limits by."""
    texts = [MediaItem(Modality.TEXT, text) for text in drawn_texts(count=150, seed=seed)]
    made = {
        Modality.TEXT: texts,
        Modality.IMAGE: noise_images(count=24, seed=seed, side=224),
        Modality.AUDIO: noise_sounds(count=24, seed=seed, seconds=4.0),
    }
    known = {m: items for m, items in made.items() if m in encoder.spec.modalities}
    return {modality: encoder.encode(items) for modality, items in known.items()}


def _draw(
    training: Sequence[ManifestItem], options: ReferenceOptions
) -> tuple[list[ManifestItem], dict[str, int]]:
    """Items of every modality, one of each group, in the manifest's order; and numbered groups."""
    generator = np.random.default_rng([options.seed, 9])
    groups = {name: i for i, name in enumerate(dict.fromkeys(map(_group, training)))}
    chosen: set[str] = set()
    for modality in Modality:
        own = [item for item in training if item.modality is modality]
        taken: dict[str, str] = {}
        for number in map(int, generator.permutation(len(own))):
            taken.setdefault(_group(own[number]), own[number].id)
        chosen.update(list(taken.values())[: options.items])
    return [item for item in training if item.id in chosen], groups


def _captions(
    training: Sequence[ManifestItem], groups: Mapping[str, int], options: ReferenceOptions
) -> list[tuple[str, int]]:
    """One caption of each group, no text twice."""
    generator = np.random.default_rng([options.seed, 10])
    first: dict[str, int] = {}
    seen: set[int] = set()
    for number in map(int, generator.permutation(len(training))):
        item = training[number]
        group = groups[_group(item)]
        if group not in seen and item.captions:
            seen.add(group)
            first.setdefault(str(generator.choice(np.array(item.captions))), group)
    return list(first.items())[: 2 * options.items]


def _group(item: ManifestItem) -> str:
    if item.pair_id is not None:
        return f"pair:{item.pair_id}"
    return f"label:{item.label}@{item.source}" if item.label is not None else f"id:{item.id}"


def _strange(
    reference: Reference, space: Space, made: Mapping[Modality, Float32[np.ndarray, "queries dim"]]
) -> dict[Modality, float]:
    """Below which familiarity a part is strange, by modality, where that is worth its cost."""
    calibrator = Calibrator(reference, space.centre_all)
    chosen: dict[Modality, float] = {}
    for modality, vectors in made.items():
        rows, groups = calibrator.rows(modality), reference.cohorts[modality].groups
        nothing = mean_of_nearest(space.centre_all(vectors, modality) @ rows.T)
        among = rows @ rows.T
        among[groups[:, None] == groups[None]] = -1
        limit = float(np.quantile(nothing, NONSENSE_STRANGE))
        if (mean_of_nearest(among) < limit).mean() <= MOST_STRANGE:
            chosen[modality] = limit
    return chosen


def _limits(
    reference: Reference, space: Space, made: Mapping[Modality, Float32[np.ndarray, "queries dim"]]
) -> dict[str, float]:
    """The limit of every direction."""
    calibrator = Calibrator(reference, space.centre_all)
    limits: dict[str, float] = {}
    for asked, vectors in made.items():
        queries = space.centre_all(vectors, asked)
        strange = np.array([calibrator.strange([EncodedPart(asked, row)]) for row in vectors])
        for found in reference.cohorts:
            limit = _limit(calibrator, found, queries, asked=asked, strange=strange)
            limits[direction(asked, found)] = limit
    middle = float(np.median(list(limits.values()))) if limits else 0.0
    for asked in reference.cohorts:
        for found in reference.cohorts:
            limits.setdefault(direction(asked, found), middle)
    return limits


def _limit(
    calibrator: Calibrator,
    found: Modality,
    queries: Float32[np.ndarray, "queries dim"],
    *,
    asked: Modality,
    strange: Bool[np.ndarray, " queries"],
) -> float:
    """The largest limit by which enough of nonsense is weak."""
    rows = calibrator.rows(found)
    best = np.sort(queries[~strange] @ rows.T, axis=1)[:, ::-1][:, :DEPTH]
    expected = calibrator.tail(asked, found).above(best.ravel().astype(np.float64)) * len(rows)
    # Hits of strange queries are weak in any case; they count among those that are.
    expected = np.append(expected, np.full(DEPTH * int(strange.sum()), np.inf))
    limit = float(np.quantile(expected, 1 - NONSENSE_WEAK, method="lower"))
    return max(limit, LEAST_LIMIT) if np.isfinite(limit) else float(len(rows))
