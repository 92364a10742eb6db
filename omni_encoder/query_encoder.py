"""An encoder for queries: words need no torch, and everything else loads the whole encoder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .arrays import Float32
from .errors import CheckpointError
from .registry import load_encoder
from .shipped import shipped_checkpoint
from .text_side import TextSide
from .types import Encoder, EncoderSpec, JointEncoder, MediaItem, Modality

# More letters than these are read faster by torch, its import included.
_MOST_LETTERS = 2000


class QueryEncoder:
    """An `omni` encoder that reads a few short texts in numpy. See `Encoder` and `JointEncoder`."""

    def __init__(self, text: TextSide) -> None:
        self._text = text
        self._loaded: Encoder | None = None

    @property
    def spec(self) -> EncoderSpec:
        """See `Encoder.spec`."""
        return self._text.spec

    @property
    def means(self) -> Float32[np.ndarray, "modalities dim"] | None:
        """See `Encoder.means`."""
        return self._text.means

    def encode(self, items: Sequence[MediaItem]) -> Float32[np.ndarray, "items dim"]:
        """See `Encoder.encode`."""
        texts = [str(item.content) for item in items if item.modality is Modality.TEXT]
        few = sum(map(len, texts)) <= _MOST_LETTERS
        if self._loaded is None and few and 0 < len(items) == len(texts):
            return self._text.encode(texts)
        return self._whole().encode(items)

    def encode_joint(
        self, sequences: Sequence[Sequence[str | Float32[np.ndarray, " dim"]]]
    ) -> Float32[np.ndarray, "sequences dim"]:
        """See `JointEncoder.encode_joint`."""
        whole = self._whole()
        assert isinstance(whole, JointEncoder)  # `omni` encoders are
        return whole.encode_joint(sequences)

    def _whole(self) -> Encoder:
        if self._loaded is None:
            loaded = load_encoder(self.spec.name)
            if loaded.spec != self.spec:
                raise CheckpointError(
                    f"the file of {self.spec.name} was replaced since it was first read",
                    hint="start again",
                )
            self._loaded = loaded
        return self._loaded


def load_query_encoder(name: str) -> Encoder:
    """Load an encoder for a few queries. For words `omni` imports no torch; other families do.

    Args:
        name: See `load_encoder`.

    Raises:
        EncoderError: The name is unknown, or its weights can't be loaded.
    """
    from safetensors import SafetensorError

    family, _, rest = name.partition(":")
    if family != "omni":
        return load_encoder(name)
    try:
        return QueryEncoder(TextSide.read(Path(rest) if rest else shipped_checkpoint(), name=name))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return load_encoder(name)  # which says what is wrong
