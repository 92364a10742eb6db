"""What crosses the border of omni_encoder: media in, unit vectors out. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np

from .arrays import Float32

SAMPLE_RATE_HZ = 16_000


class Modality(StrEnum):
    """The four kinds of media."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of audio or video, in seconds from its start; `end` is exclusive."""

    start: float
    end: float

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"span must satisfy 0 <= start < end, got {self.start}..{self.end}")


@dataclass(frozen=True, slots=True, eq=False)
class MediaItem:
    """One decoded piece of media: what an encoder takes.

    `content` is, by modality:
        text: a `str`, not empty.
        image: uint8 RGB, shape [height, width, 3], EXIF orientation applied.
        audio: float32 mono at 16 kHz in [-1, 1], shape [samples].
        video: uint8 RGB, shape [frames, height, width, 3], frames in time order.

    `part` numbers the pieces of one file from 0; `span` says where a piece of audio or video lies.
    """

    modality: Modality
    content: str | np.ndarray
    part: int = 0
    span: Span | None = None

    def __post_init__(self) -> None:
        if self.modality is Modality.TEXT:
            if not isinstance(self.content, str) or not self.content.strip():
                raise ValueError("a text item needs a text that is not blank")
            return
        if isinstance(self.content, str):
            raise ValueError(f"a {self.modality} item needs an array, got a str")
        axes, kind = {
            Modality.IMAGE: (3, np.uint8),
            Modality.AUDIO: (1, np.float32),
            Modality.VIDEO: (4, np.uint8),
        }[self.modality]
        if self.content.ndim != axes or self.content.dtype != kind or self.content.size == 0:
            raise ValueError(
                f"a {self.modality} item needs a {axes}-axis {np.dtype(kind)} array that is not "
                f"empty, got {self.content.dtype}{list(self.content.shape)}"
            )


@dataclass(frozen=True, slots=True)
class MediaLayout:
    """How an encoder wants media to be decoded and cut. All of it is part of its fingerprint.

    Attributes:
        image_pixels: The shorter side images and frames are decoded to, at least; what is up to
            1.75 times larger is not scaled twice.
        video_frames: How many frames stand for one part of a video.
        video_part_s: The longest part of a video, in seconds.
        audio_part_s: The longest part of an audio file, in seconds.
        audio_hop_s: From one audio part's start to the next, in seconds.
        passage_words: The longest passage of a text, in words.
    """

    image_pixels: int = 224
    video_frames: int = 4
    video_part_s: float = 10.0
    audio_part_s: float = 10.0
    audio_hop_s: float = 5.0
    passage_words: int = 80


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """What identifies an encoder; a collection keeps it and refuses any other.

    Attributes:
        name: What `load_encoder` takes, such as `omni` or `open_clip:ViT-B-32/laion2b_s34b_b79k`.
        fingerprint: Hex digest over weights, preprocessing, layout, dim and prompt.
        dim: Length of its vectors.
        modalities: What it can encode, in a fixed order.
        layout: How media must be decoded for it.
    """

    name: str
    fingerprint: str
    dim: int
    modalities: tuple[Modality, ...]
    layout: MediaLayout


@runtime_checkable
class Encoder(Protocol):
    """Turns media of several modalities into vectors of one space."""

    @property
    def spec(self) -> EncoderSpec:
        """What identifies this encoder."""
        ...

    @property
    def means(self) -> Float32[np.ndarray, "modalities dim"] | None:
        """The mean vector of each of `spec.modalities` over reference media, or None if unknown.

        They are what the modality gap is made of: search subtracts them.
        """
        ...

    def encode(self, items: Sequence[MediaItem]) -> Float32[np.ndarray, "items dim"]:
        """Encode items of any mix of `spec.modalities`, in the order given.

        A vector doesn't depend on what else is in the batch, up to rounding.

        Returns:
            Unit rows, one per item.

        Raises:
            EncoderError: An item's modality is not one of `spec.modalities`.
        """
        ...


@runtime_checkable
class JointEncoder(Encoder, Protocol):
    """An encoder that reads several parts of a query as one sequence."""

    def encode_joint(
        self, sequences: Sequence[Sequence[str | Float32[np.ndarray, " dim"]]]
    ) -> Float32[np.ndarray, "sequences dim"]:
        """Read every sequence as one text, in which vectors stand where their words would.

        Args:
            sequences: Texts, and unit vectors less the mean of their modality, in any mix.

        Returns:
            Unit rows in the space of texts, not centred.

        Raises:
            EncoderError: The encoder has not learned to read vectors.
        """
        ...
