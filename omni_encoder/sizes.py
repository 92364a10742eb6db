"""The sizes of the model in one table, and how each is built. Importing this loads no torch.

Counts are of the network with its generating half; the tokenizers' decoders come on top (5.2M in
`nano`). A test builds every size on torch's meta device and compares.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .flow_model import FlowModel
    from .large import LargeConfig, LargeNetwork
    from .network import OmniNetwork


@dataclass(frozen=True, slots=True)
class Codes:
    """Codes of a kind of media.

    Attributes:
        positions: The most, for one picture or block of sound.
        books: Codebooks.
        codes: Entries of each.
        width: Length of a code vector.
    """

    positions: int
    books: int
    codes: int
    width: int = 8


@dataclass(frozen=True, slots=True)
class Size:
    """One size.

    Attributes:
        name: What it is called.
        what: What it is for, and what it starts from.
        image: Codes of a picture.
        audio: Codes of a block of sound.
        head_width: Inner width of the code heads.
        head_layers: Their layers.
        head_heads: Attention heads of their layers.
        parameters: All of them.
        backbone: Those of the shared transformer, with words in and out.
        heads: Those of the code heads.
    """

    name: str
    what: str
    image: Codes
    audio: Codes
    head_width: int
    head_layers: int
    head_heads: int
    parameters: int
    backbone: int
    heads: int


SIZES: Mapping[str, Size] = MappingProxyType(
    {
        size.name: size
        for size in (
            Size(
                "nano",
                "ships; from MiniLM, EfficientNet-Lite0 and Whisper tiny",
                Codes(64, 4, 256),
                Codes(64, 2, 256),
                head_width=128,
                head_layers=1,
                head_heads=4,
                parameters=44_558_112,
                backbone=22_547_130,
                heads=693_504,
            ),
            Size(
                "small",
                "one GPU, trained from nothing",
                Codes(256, 4, 1024),
                Codes(128, 2, 1024),
                head_width=256,
                head_layers=2,
                head_heads=4,
                parameters=48_581_950,
                backbone=23_195_328,
                heads=4_966_400,
            ),
            Size(
                "base",
                "from an open_clip ViT-B-16 that you name",
                Codes(256, 4, 1024),
                Codes(128, 2, 1024),
                head_width=256,
                head_layers=2,
                head_heads=4,
                parameters=178_453_249,
                backbone=63_439_616,
                heads=4_999_168,
            ),
            Size(
                "paper",
                "the published shape: Qwen2.5-7B, CLIP ViT-L, Whisper turbo",
                Codes(576, 4, 4096),
                Codes(384, 2, 2048),
                head_width=1152,
                head_layers=3,
                head_heads=18,
                parameters=8_742_747_905,
                backbone=7_615_616_512,
                heads=127_511_808,
            ),
        )
    }
)


def build(name: str) -> "FlowModel":
    """A fresh model of a size, on torch's current default device.

    Raises:
        ValueError: There is no such size.
    """
    import torch

    from .flow_model import FlowModel
    from .types import Modality

    if name not in SIZES:
        raise ValueError(f"size must be one of {', '.join(SIZES)}, got {name!r}")
    size = SIZES[name]
    codes = {Modality.IMAGE: size.image, Modality.AUDIO: size.audio}
    return FlowModel(
        build_network(name),
        {m: torch.randn(c.books, c.codes, c.width) for m, c in codes.items()},
        slots={m: c.positions for m, c in codes.items()},
        inner=size.head_width,
        layers=size.head_layers,
        heads=size.head_heads,
    )


def build_network(name: str) -> "OmniNetwork | LargeNetwork":
    """The network of a size without its generating half."""
    from .config import AudioConfig, BackboneConfig, OmniConfig, VisionConfig
    from .large import LargeNetwork
    from .network import OmniNetwork

    if name == "nano":
        return OmniNetwork(OmniConfig())
    if name == "small":
        return OmniNetwork(
            OmniConfig(
                size=name,
                backbone=BackboneConfig(width=448, heads=8, layers=8, hidden=1792),
                vision=VisionConfig(width=1.1, depth=1.2, pixels=260),
                audio=AudioConfig(width=256, heads=4, layers=6),
                vocabulary=8192,
                text_tokens=64,
            )
        )
    return LargeNetwork(large_config(name))


def large_config(name: str) -> "LargeConfig":
    """The configuration of `base` or `paper`."""
    from .clip_towers import ViTConfig
    from .config import AudioConfig
    from .large import LargeConfig
    from .rotary import RotaryConfig

    if name == "base":
        return LargeConfig(
            name,
            RotaryConfig(width=512, heads=8, key_heads=8, layers=12, hidden=2048),
            audio=AudioConfig(width=512, heads=8, layers=6),
        )
    return LargeConfig(
        name,
        RotaryConfig(),
        vision=ViTConfig(width=1024, layers=24, heads=16, patch=14, pixels=336),
        audio=AudioConfig(mels=128, width=1280, heads=20, layers=32, positions=768),
        vocabulary=152_064,
        text_tokens=16_384,
        rotary=True,
        clip_width=0,
    )
