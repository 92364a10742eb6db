"""The network of the sizes `base` and `paper`: transformers as encoders, one backbone between.

It is the paper's figure 2 as published: an image encoder of CLIP's shape, an audio encoder of
Whisper's, words, and one bidirectional backbone read at `<EOS>`. `nano` and `small` are
`network.OmniNetwork`, built for CPUs. `flow_model.FlowModel` adds code inputs and heads to either.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from .audio import AudioEncoder
from .clip_towers import ClipBackbone, ClipVision, ViTConfig
from .config import AudioConfig
from .errors import CheckpointError
from .rotary import RotaryBackbone, RotaryConfig
from .stored import read_stored, write_stored

FORMAT = "omnidex-large-1"


@dataclass(frozen=True, slots=True)
class LargeConfig:
    """Everything that shapes the network.

    Attributes:
        size: What this size is called.
        backbone: The shared transformer. Its `key_heads` and `base` have no say with `rotary` off.
        vision: The image encoder.
        audio: The sound encoder.
        vocabulary: Text tokens.
        text_tokens: The longest text.
        rotary: Whether the backbone is Qwen2.5's; else it is CLIP's text transformer.
        quick: Whether CLIP's layers take the sigmoid for GELU, as OpenAI's weights want.
        clip_width: Length of CLIP's own vectors, 0 without them.
        audio_stack: How many 20 ms features make one audio token.
    """

    size: str
    backbone: RotaryConfig
    vision: ViTConfig = field(default_factory=ViTConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    vocabulary: int = 49_408
    text_tokens: int = 77
    rotary: bool = False
    quick: bool = False
    clip_width: int = 512
    audio_stack: int = 8


class LargeText(nn.Module):
    """Word embeddings, and position embeddings where the backbone has no positions of its own."""

    def __init__(self, config: LargeConfig) -> None:
        super().__init__()
        width = config.backbone.width
        self.words = nn.Embedding(config.vocabulary, width)
        length = 0 if config.rotary else config.text_tokens
        self.positions = nn.Parameter(torch.randn(length, width) * 0.01)

    def forward(self, ids: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length width"]:
        """Embed token ids."""
        x = self.words(ids)
        return x + self.positions[: ids.shape[1]] if len(self.positions) else x


class LargeNetwork(nn.Module):
    """Encoders, words and backbone."""

    def __init__(self, config: LargeConfig) -> None:
        super().__init__()
        self.config = config
        shape = config.backbone
        self.text = LargeText(config)
        self.vision = ClipVision(config.vision, quick=config.quick)
        self.audio = AudioEncoder(config.audio)
        self.backbone: RotaryBackbone | ClipBackbone = (
            RotaryBackbone(shape)
            if config.rotary
            else ClipBackbone(shape.width, shape.heads, shape.layers, quick=config.quick)
        )
        self.image_input = nn.Linear(config.vision.width, shape.width)
        self.audio_input = nn.Linear(config.audio.width * config.audio_stack, shape.width)
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())
        clip = config.clip_width
        self.clip_image = nn.Parameter(torch.randn(config.vision.width, clip) * 0.02)
        self.clip_text = nn.Parameter(torch.randn(shape.width, clip) * 0.02)

    def encode(
        self, tokens: Float[Tensor, "batch length width"], end: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch width"]:
        """The unit `<EOS>` feature of sequences of embedded tokens; `end` are ids of `<EOS>`."""
        x = torch.cat([tokens, self.text(end[:, None])], dim=1)
        hidden = self.backbone(x, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device))
        return functional.normalize(hidden[:, -1], dim=-1)

    def image_tokens(
        self, pixels: Float[Tensor, "batch 3 side side"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Images as tokens of the backbone, the whole first."""
        return self.image_input(self.vision(pixels))

    def audio_tokens(
        self, samples: Float[Tensor, "batch samples"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Clips of whole blocks as tokens of the backbone."""
        return self.audio_input(
            self.audio(samples).unflatten(1, (-1, self.config.audio_stack)).flatten(2)
        )

    # CLIP's own features, which imported weights give as open_clip does.

    def clip_image_features(
        self, pixels: Float[Tensor, "batch 3 side side"]
    ) -> Float[Tensor, "batch clip"]:
        """CLIP's image vectors, not normalised."""
        return self.vision(pixels)[:, 0] @ self.clip_image

    def clip_text_features(self, ids: Int[Tensor, "batch length"]) -> Float[Tensor, "batch clip"]:
        """CLIP's text vectors, not normalised: the causal feature at the highest id, the end."""
        assert isinstance(self.backbone, ClipBackbone)  # only it has CLIP's layers
        real: Bool[Tensor, "batch length"] = torch.ones_like(ids, dtype=torch.bool)
        hidden = self.backbone(self.text(ids), real, causal=True)
        return hidden[torch.arange(len(ids)), ids.argmax(dim=1)] @ self.clip_text


def save_large(network: LargeNetwork, path: Path) -> None:
    """Write a network in single precision, whole or not at all."""
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    config = json.dumps(asdict(network.config), sort_keys=True)
    write_stored(tensors, {"format": FORMAT, "config": config}, path)


def load_large(path: Path) -> LargeNetwork:
    """Read a network.

    Raises:
        CheckpointError: The file is missing, damaged, of another format or another size.
    """
    stored = read_stored(path, FORMAT, needs=("config",), absent="write one with save_large")
    try:
        table: dict[str, object] = json.loads(stored.metadata["config"])
        for name, kind in (
            ("backbone", RotaryConfig),
            ("vision", ViTConfig),
            ("audio", AudioConfig),
        ):
            table[name] = kind(**cast("dict[str, object]", table[name]))  # pyright: ignore[reportArgumentType] - the call checks the names
        network = LargeNetwork(LargeConfig(**table))  # pyright: ignore[reportArgumentType] - likewise
        network.load_state_dict(stored.tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} doesn't fit the model it describes: {str(error)[:300]}",
            hint="it was written by another version of omnidex, or altered",
        ) from error
    return network.eval()
