"""Items to the codes and priors that a collection keeps for re-ranking (`information`)."""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from blake3 import blake3

from .audio import BLOCK_SAMPLES
from .flow_score import ScoreRule
from .generator import OmniGenerator, some_frames
from .information import MEASURES, PRIOR_RULE, codebooks_of, prior
from .item_codes import CODED, ItemCodes, Score
from .model import array_of
from .types import MediaItem, Modality


class FlowCoder:
    """The `Coder` of a generating model."""

    def __init__(
        self,
        generator: OmniGenerator,
        rule: ScoreRule = PRIOR_RULE,
        *,
        scores: Collection[Score] = ("s2", "s3"),
    ) -> None:
        """Use a model.

        Args:
            generator: It.
            rule: How priors are estimated; collections keep those of `PRIOR_RULE`.
            scores: Which need priors; those of the others are not a number.
        """
        self._generator, self._rule, self._scores = generator, rule, scores
        self._fingerprint: str | None = None

    @classmethod
    def load(
        cls,
        *,
        tokens: Path | None = None,
        flow: Path | None = None,
        rule: ScoreRule = PRIOR_RULE,
        threads: int | None = None,
    ) -> "FlowCoder":
        """The shipped model's, or that of two files of one's own.

        Raises:
            CheckpointError: A file is missing, damaged, or belongs to another model.
        """
        return cls(OmniGenerator.load(tokens=tokens, flow=flow, threads=threads), rule)

    @property
    def fingerprint(self) -> str:
        """See `Coder`."""
        if self._fingerprint is None:
            self._fingerprint = code_fingerprint(self._generator)
        return self._fingerprint

    @property
    def encoder_fingerprint(self) -> str:
        """See `Coder`."""
        return self._generator.codec.encoder.spec.fingerprint

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """See `Coder`."""
        paths = self._generator.flow.paths
        return tuple(kind for kind in CODED if codebooks_of(kind) in paths)

    def encode(self, items: Sequence[MediaItem]) -> list[ItemCodes]:
        """See `Coder`. Of a sound, the first 2.56 s; of a video, four frames spread evenly."""
        codes = [self._generator.codec.encode(_what_counts(item)) for item in items]
        priors = np.full((len(items), 2), np.nan)
        for modality in sorted({item.modality for item in items}):
            rows = [i for i, item in enumerate(items) if item.modality is modality]
            alike = [codes[i] for i in rows]
            for column, (score, measure) in enumerate(MEASURES.items()):
                if score in self._scores:
                    rule = replace(self._rule, measure=measure)
                    priors[rows, column] = prior(self._generator, alike, modality, rule=rule)
        return [
            ItemCodes(one, float(plain), float(bound))
            for one, (plain, bound) in zip(codes, priors, strict=True)
        ]


def code_fingerprint(generator: OmniGenerator) -> str:
    """A digest of all that stored codes and priors depend on."""
    encoder = generator.codec.encoder.spec.fingerprint
    return blake3(f"{encoder} {generator.fingerprint()} {PRIOR_RULE}".encode()).hexdigest(16)


def _what_counts(item: MediaItem) -> MediaItem:
    """What of an item has codes."""
    if item.modality is Modality.AUDIO:
        return MediaItem(item.modality, array_of(item)[:BLOCK_SAMPLES])
    if item.modality is Modality.VIDEO:
        return MediaItem(item.modality, some_frames(array_of(item)))
    return item
