"""Imagining an answer: the model draws an item from the query, which is then searched by as well.

The order by the query and the order by what was drawn become one by reciprocal rank fusion
(Cormack, Clarke and Buettcher 2009): with p and d the ranks of an item, it gets
1 / (c + p) + w / (c + d). What stands in one order only gets nothing for the other. Scores stay the
cosines with the query, so that what they mean stays too.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from indexer import Collection
from omni_encoder import Encoder, EncoderError, MediaItem, MediaLayout, Modality, QueryError
from omni_encoder.arrays import Float32

from .decoded import first_item, item_of
from .hybrid_search import spoken
from .query import Query, Term

Key = TypeVar("Key", bound=Hashable)

CONSTANT = 10.0
"""How little the first ranks differ."""

STEPS = 4
"""Of the sampler: a quarter of what `omnidex generate` takes, because somebody waits."""

_GUIDANCE = 2.0  # as `omnidex generate` has it


@runtime_checkable
class Drawer(Protocol):
    """What draws items from others."""

    @property
    def layout(self) -> MediaLayout:
        """How it wants media decoded."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of everything that what is drawn depends on."""
        ...

    def draw(
        self, prompt: Sequence[MediaItem], modality: Modality, *, count: int, seed: int
    ) -> list[MediaItem]:
        """Items of one modality; the first of several is what `count=1` draws.

        Raises:
            OmniError: The prompt is too long, or it can't draw this modality.
        """
        ...


class ModelDrawer:
    """The shipped model's generating half, or that of files of one's own."""

    def __init__(self, *, steps: int = STEPS) -> None:
        """Load the model. This imports torch.

        Raises:
            CheckpointError: A file is missing or damaged.
        """
        from omni_encoder.generator import OmniGenerator

        self._generator = OmniGenerator.load()
        self._steps = steps

    @property
    def layout(self) -> MediaLayout:
        """See `Drawer.layout`."""
        return self._generator.codec.encoder.spec.layout

    @property
    def fingerprint(self) -> str:
        """See `Drawer.fingerprint`."""
        return f"{self._generator.fingerprint()}-{self._steps}"

    def draw(
        self, prompt: Sequence[MediaItem], modality: Modality, *, count: int, seed: int
    ) -> list[MediaItem]:
        """See `Drawer.draw`."""
        from omni_encoder.flow_generate import GenerateRule

        rule = GenerateRule(steps=self._steps, guidance=_GUIDANCE, seed=seed)
        return self._generator.generate(prompt, modality, count=count, rule=rule)


@dataclass(frozen=True, slots=True, eq=False)
class Imagined:
    """What was drawn for a query.

    Attributes:
        item: What it is.
        vector: Its search vector, unit length, not centred.
        weight: How much it counted.
        seed: It was drawn with.
        seconds: How long drawing and encoding took; next to nothing if it was drawn before.
        loading: How long loading the model took before that.
    """

    item: MediaItem
    vector: Float32[np.ndarray, " dim"]
    weight: float
    seed: int
    seconds: float
    loading: float


class Imagination:
    """Draws what queries may be looking for, each thing once; loads the model when it must.

    Attributes:
        last: What `of` gave last.
        drawing_seconds: How long `draw` took the last time.
    """

    def __init__(
        self,
        collection: Collection,
        encoder: Callable[[], Encoder],
        load: Callable[[], Drawer] = ModelDrawer,
    ) -> None:
        self._collection, self._encoder, self._load = collection, encoder, load
        self._drawer: Drawer | None = None
        self._kept: dict[tuple[tuple[Term, ...], Modality, int], Imagined] = {}
        self.last: Imagined | None = None
        self.drawing_seconds = 0.0

    def of(self, query: Query) -> Imagined:
        """What `query.imagine` asks for; it is `last` then.

        Raises:
            QueryError: The query has no wanted part, or one that is too long to be read.
            MediaError: A file of the query can't be decoded.
            EncoderError: The collection's encoder doesn't know the modality.
        """
        wanted = query.imagine
        assert wanted is not None  # the caller looked
        key = (query.terms, wanted.modality, wanted.seed)
        if key in self._kept:
            self.last = replace(self._kept[key], weight=wanted.weight, seconds=0.0, loading=0.0)
            return self.last
        encoder = self._encoder()
        if wanted.modality not in encoder.spec.modalities:
            raise EncoderError(
                f"{encoder.spec.name} can't search by {wanted.modality}",
                hint=f"imagine one of {', '.join(encoder.spec.modalities)}",
            )
        loading = self._load_now()
        (item,) = self.draw(query, wanted.modality, count=1, seed=wanted.seed)
        start = perf_counter()
        vector = encoder.encode([item])[0]
        seconds = self.drawing_seconds + perf_counter() - start
        self.last = Imagined(item, vector, wanted.weight, wanted.seed, seconds, loading)
        self._kept[key] = self.last
        return self.last

    def draw(self, query: Query, modality: Modality, *, count: int, seed: int) -> list[MediaItem]:
        """Items that a query asks for. What is not wanted has no say, nor have weights.

        Raises:
            QueryError: The query has no wanted part, or one that is too long to be read.
            MediaError: A file of the query can't be decoded.
        """
        self._load_now()
        assert self._drawer is not None  # as it was loaded
        layout = self._drawer.layout
        start = perf_counter()
        prompt = [self._item(term, layout) for term in query.terms if term.weight > 0]
        if not prompt:
            raise QueryError("nothing in the query says what to draw", hint="say what is wanted")
        drawn = self._drawer.draw(prompt, modality, count=count, seed=seed)
        self.drawing_seconds = perf_counter() - start
        return drawn

    def _load_now(self) -> float:
        """Load the model unless it is there; how long that took."""
        start = perf_counter()
        if self._drawer is None:
            self._drawer = self._load()
            return perf_counter() - start
        return 0.0

    def _item(self, term: Term, layout: MediaLayout) -> MediaItem:
        if term.modality is None:
            return item_of(self._collection.get(str(term.content)), layout)
        if isinstance(term.content, str):
            return MediaItem(Modality.TEXT, str(spoken(term).content))
        return first_item(term.content, layout)


def fused(
    plain: Sequence[Key], drawn: Sequence[Key], *, weight: float, constant: float = CONSTANT
) -> list[Key]:
    """Bring two orders into one.

    Args:
        plain: Items by the query, nearest first, each once.
        drawn: Items by what was drawn.
        weight: How much the second counts; 0 leaves the first as it is.
        constant: How little the first ranks differ.

    Returns:
        Every item of both, best first; ties in the order of `plain`, then of `drawn`.

    Raises:
        ValueError: The weight is negative or not finite.
    """
    if not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f"weight must be finite and at least 0, got {weight}")
    gains: dict[Key, float] = {}
    for keys, share in ((plain, 1.0), (drawn, weight)):
        for rank, key in enumerate(keys, start=1):
            gains[key] = gains.get(key, 0.0) + share / (constant + rank)
    return sorted(gains, key=lambda key: -gains[key])


def useful_modality(
    query: Query, counts: Mapping[Modality, int], *, own: Sequence[Modality]
) -> Modality:
    """The kind to imagine where none is named: that of which most items may be found.

    Args:
        query: Its `modalities` limit what may be found.
        counts: How many items of each kind there are.
        own: The kinds of the query's parts, which are taken only if there is no other: the query
            itself is the better example of these.
    """
    allowed = [kind for kind in query.modalities or tuple(Modality) if counts.get(kind)]
    others = [kind for kind in allowed if kind not in own]
    named = query.modalities or (Modality.IMAGE,)
    return max(others or allowed or named, key=lambda kind: counts.get(kind, 0))
