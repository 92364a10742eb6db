"""Making an encoder's reference: training items and texts, and limits chosen on them alone.

At most so many items of each modality are drawn by a seed, one of each group, so that nothing in a
cohort is related to its neighbours; texts are one caption of each group. Items of the validation
split are never looked at.

Limits. Nonsense is made by chance (`nonsense.drawn_texts`, noise). A query part is strange when it
is less familiar than 95% of nonsense; a modality of which more than a tenth of the reference items
were strange then, to the others, has no such rule (noise looks like textures, and sounds like
rain). In each direction from a modality of which nonsense can be made, the limit is the largest by
which a share of the ten best hits of nonsense, sought in the cohort, are weak, but at least 0.5:
what half an unrelated item would match is not weak. Other directions get the middle of these
limits. Only training items and made queries have a say.

The share. 95% is wanted of nonsense that nobody has seen, which is of other kinds than what is made
here, so a limit by which 95% of the latter are weak lets more than 5% pass. How much more is
measured: each kind is judged by limits that were chosen without it. The share is the least by which
95% of all results are weak then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from omni_encoder import Encoder, MediaItem, Modality, OmniError
from retrieval.calibrate import Calibrator, CentreAll, mean_of_nearest
from retrieval.reference import Cohort, Reference, direction

from .manifest import ManifestItem, load_items
from .nonsense import KINDS, drawn_texts, noise_images, noise_sounds
from .space import Progress, make_space
from .vectors import VectorCache

NONSENSE_STRANGE = 0.95
NONSENSE_WEAK = 0.95
SHARES = np.arange(950, 1000) / 1000
MOST_STRANGE = 0.1
LEAST_LIMIT = 0.5
SEED = 0
DEPTH = 10

Made = Mapping[Modality, Float32[np.ndarray, "queries dim"]]
"""Vectors of meaningless queries."""


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
    return with_limits(reference, space.centre_all, made)


def with_limits(reference: Reference, centre_all: CentreAll, made: Made) -> Reference:
    """A reference with limits that are chosen on its cohorts and nonsense."""
    calibrator = Calibrator(reference, centre_all)
    told = {
        asked: _told(reference, calibrator, asked, centre_all(vectors, asked))
        for asked, vectors in made.items()
    }
    share = _share(list(told.values()))
    limits = {
        direction(asked, found): limit
        for asked, one in told.items()
        for found, limit in one.limits(one.everything, share).items()
    }
    middle = float(np.median(list(limits.values()))) if limits else 0.0
    for asked in reference.cohorts:
        for found in reference.cohorts:
            limits.setdefault(direction(asked, found), middle)
    strange = {m: one.strange(one.everything) for m, one in told.items() if one.may_be_strange}
    return replace(reference, limits=limits, strange=strange)


def nonsense(encoder: Encoder, seed: int) -> Made:
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


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """What is known of the made nonsense of one modality.

    Attributes:
        kinds: Of each query.
        familiar: The familiarity of each.
        expected: By the modality that is found: how many unrelated items of the cohort would score
            as high as each of a query's best hits.
        most: By the modality that is found: how many items the cohort has.
        may_be_strange: Whether few enough reference items are strange by the limit of all queries.
    """

    kinds: Int64[np.ndarray, " queries"]
    familiar: Float64[np.ndarray, " queries"]
    expected: Mapping[Modality, Float64[np.ndarray, "queries depth"]]
    most: Mapping[Modality, int]
    may_be_strange: bool

    @property
    def everything(self) -> Bool[np.ndarray, " queries"]:
        """All queries."""
        return np.ones(len(self.kinds), dtype=bool)

    def strange(self, chosen: Bool[np.ndarray, " queries"]) -> float:
        """Below which familiarity a query is strange, by some of the queries."""
        limit = float(np.quantile(self.familiar[chosen], NONSENSE_STRANGE))
        return limit if self.may_be_strange else -np.inf

    def limits(self, chosen: Bool[np.ndarray, " queries"], share: float) -> dict[Modality, float]:
        """The largest limits by which enough of the hits of some of the queries are weak."""
        return {
            found: _limit(self._left(found, chosen)[chosen], share, most=self.most[found])
            for found in self.expected
        }

    def weak(self, share: float) -> Bool[np.ndarray, " hits"]:
        """Whether hits are weak by limits that were chosen without the kind of their query."""
        judged: list[Bool[np.ndarray, "queries depth"]] = []
        for kind in np.unique(self.kinds):
            others = self.kinds != kind
            for found, limit in self.limits(others, share).items():
                judged.append(self._left(found, others)[~others] > limit)
        return np.concatenate([one.ravel() for one in judged])

    def _left(
        self, found: Modality, chosen: Bool[np.ndarray, " queries"]
    ) -> Float64[np.ndarray, "queries depth"]:
        """What is expected; infinity for strange queries, whose hits are weak in any case."""
        strange = self.familiar < self.strange(chosen)
        return np.where(strange[:, None], np.inf, self.expected[found])


def _told(
    reference: Reference,
    calibrator: Calibrator,
    asked: Modality,
    queries: Float32[np.ndarray, "queries dim"],
) -> _Told:
    cohorts = reference.cohorts
    rows, groups = calibrator.rows(asked), cohorts[asked].groups
    familiar = mean_of_nearest(queries @ rows.T)
    among = rows @ rows.T
    among[groups[:, None] == groups[None]] = -1
    limit = float(np.quantile(familiar, NONSENSE_STRANGE))
    expected: dict[Modality, Float64[np.ndarray, "queries depth"]] = {}
    for found in cohorts:
        best = np.sort(queries @ calibrator.rows(found).T, axis=1)[:, ::-1][:, :DEPTH]
        above = calibrator.tail(asked, found).above(best.ravel().astype(np.float64))
        expected[found] = above.reshape(best.shape) * len(calibrator.rows(found))
    return _Told(
        np.arange(len(queries)) % KINDS[asked],
        familiar,
        expected,
        {found: len(cohort.groups) for found, cohort in cohorts.items()},
        may_be_strange=bool((mean_of_nearest(among) < limit).mean() <= MOST_STRANGE),
    )


def _share(told: Sequence[_Told]) -> float:
    """The least share by which enough of the nonsense of kinds that had no say is weak."""
    for share in SHARES.tolist():
        if np.concatenate([one.weak(share) for one in told]).mean() >= NONSENSE_WEAK:
            return share
    return float(SHARES[-1])


def _limit(expected: Float64[np.ndarray, "queries depth"], share: float, *, most: int) -> float:
    """The largest limit by which so many hits are weak."""
    limit = float(np.quantile(expected, 1 - share, method="lower"))
    return max(limit, LEAST_LIMIT) if np.isfinite(limit) else float(most)
