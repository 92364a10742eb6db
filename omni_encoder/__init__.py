"""Media to vectors: decoding, tokens and the omnimodal model. Importing it loads no torch."""

from .errors import (
    CheckpointError,
    CollectionError,
    EncoderError,
    EncoderMismatchError,
    MediaError,
    OmniError,
    QueryError,
)
from .registry import load_encoder
from .types import (
    SAMPLE_RATE_HZ,
    Encoder,
    EncoderSpec,
    JointEncoder,
    MediaItem,
    MediaLayout,
    Modality,
    Span,
)

__all__ = [
    "SAMPLE_RATE_HZ",
    "CheckpointError",
    "CollectionError",
    "Encoder",
    "EncoderError",
    "EncoderMismatchError",
    "EncoderSpec",
    "JointEncoder",
    "MediaError",
    "MediaItem",
    "MediaLayout",
    "Modality",
    "OmniError",
    "QueryError",
    "Span",
    "load_encoder",
]
