"""Sizes of the omni model, as plain values that a checkpoint can carry."""

# What JSON holds is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from dataclasses import asdict, dataclass, field

from .types import MediaLayout


@dataclass(frozen=True, slots=True)
class BackboneConfig:
    """Size of the backbone; the defaults are all-MiniLM-L6-v2's.

    Attributes:
        width: Length of a hidden feature, and of the search vector.
        heads: Attention heads of a layer.
        layers: Transformer layers.
        hidden: Inner width of the feed-forward part.
    """

    width: int = 384
    heads: int = 12
    layers: int = 6
    hidden: int = 1536


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """Size of the vision encoder.

    Attributes:
        width: Channel multiplier; 1.0 is Lite0, 1.1 is Lite2.
        depth: Repeat multiplier; 1.0 is Lite0, 1.2 is Lite2.
        pixels: Side of the square input.
        features: Channels of the output grid.
    """

    width: float = 1.0
    depth: float = 1.0
    pixels: int = 224
    features: int = 1280


@dataclass(frozen=True, slots=True)
class AudioConfig:
    """Size of the audio encoder; the defaults are Whisper tiny's.

    Attributes:
        mels: Bands of the spectrogram.
        width: Length of a feature.
        heads: Attention heads of a layer.
        layers: Transformer layers.
        positions: The longest clip, in positions of 20 ms.
    """

    mels: int = 80
    width: int = 384
    heads: int = 6
    layers: int = 4
    positions: int = 512


@dataclass(frozen=True, slots=True)
class OmniConfig:
    """Everything that shapes the model.

    Attributes:
        size: What this size is called.
        backbone: The shared transformer.
        vision: The image and frame encoder.
        audio: The sound encoder.
        vocabulary: Text tokens.
        text_tokens: The longest text, in tokens, `[CLS]` and `<EOS>` included.
        image_grid: An image enters as `image_grid ** 2` tokens and one for the whole.
        frame_grid: A video frame likewise, with `frame_grid ** 2` tokens and one for the whole.
        frames: The most frames of a video part.
        audio_stack: How many 20 ms features make one audio token.
        image_concepts: Named classes the vision encoder tells apart.
        audio_concepts: Named classes the audio encoder tells apart.
        concept_top: How many of the likeliest concepts count.
        adapter_hidden: Inner width of the adapters.
        concept_temperature: Softens their probabilities before mixing.
    """

    size: str = "nano"
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    vision: VisionConfig = field(default_factory=VisionConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    vocabulary: int = 30522
    text_tokens: int = 256
    image_grid: int = 3
    frame_grid: int = 2
    frames: int = 4
    audio_stack: int = 8
    image_concepts: int = 1000
    audio_concepts: int = 521
    concept_top: int = 50
    concept_temperature: float = 2.0
    adapter_hidden: int = 1024

    def to_dict(self) -> dict[str, object]:
        """Nested plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> "OmniConfig":
        """The inverse of `to_dict`.

        Raises:
            TypeError: A name is not one of the fields.
        """
        nested = {"backbone": BackboneConfig, "vision": VisionConfig, "audio": AudioConfig}
        parts: dict[str, object] = {}
        for name, value in values.items():
            if name in nested:
                if not isinstance(value, dict):
                    raise TypeError(f"{name} must be a table, got {value!r}")
                parts[name] = nested[name](**value)
            else:
                parts[name] = value
        return cls(**parts)  # pyright: ignore[reportArgumentType] - names are checked by the call

    def layout(self) -> MediaLayout:
        """How media must be decoded for a model of this shape."""
        seconds = self.audio.positions // 128 * 2.56
        return MediaLayout(
            image_pixels=self.vision.pixels,
            video_frames=self.frames,
            audio_part_s=min(10.0, seconds),
            audio_hop_s=min(10.0, seconds) / 2,
        )


def tiny_config() -> OmniConfig:
    """A model of about 0.1M parameters in the same shape, for tests."""
    return OmniConfig(
        size="tiny",
        backbone=BackboneConfig(width=32, heads=4, layers=2, hidden=64),
        vision=VisionConfig(width=0.25, depth=0.4, pixels=64, features=48),
        audio=AudioConfig(width=32, heads=2, layers=1, positions=256),
        vocabulary=400,
        text_tokens=64,
        image_grid=2,
        frame_grid=1,
        frames=2,
        image_concepts=10,
        audio_concepts=7,
        concept_top=5,
        adapter_hidden=16,
    )
