"""CLIP's two towers in our own layers, so that `base` can start from weights that a user names.

The vision tower becomes the image encoder. The text tower becomes words and backbone, as the
paper's backbone starts from a language model: with its causal mask it gives CLIP's own text
features, without it the layers serve the shared sequence.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .audio import AudioLayer
from .errors import CheckpointError

# Ours and open_clip's names of a layer's tensors.
_LAYER = (
    ("attention_norm.weight", "ln_1.weight"),
    ("attention_norm.bias", "ln_1.bias"),
    ("qkv.weight", "attn.in_proj_weight"),
    ("qkv.bias", "attn.in_proj_bias"),
    ("out.weight", "attn.out_proj.weight"),
    ("out.bias", "attn.out_proj.bias"),
    ("mlp_norm.weight", "ln_2.weight"),
    ("mlp_norm.bias", "ln_2.bias"),
    ("up.weight", "mlp.c_fc.weight"),
    ("up.bias", "mlp.c_fc.bias"),
    ("down.weight", "mlp.c_proj.weight"),
    ("down.bias", "mlp.c_proj.bias"),
)
_VISION = (
    ("vision.patch.weight", "visual.conv1.weight"),
    ("vision.start", "visual.class_embedding"),
    ("vision.positions", "visual.positional_embedding"),
    ("vision.norm_in.weight", "visual.ln_pre.weight"),
    ("vision.norm_in.bias", "visual.ln_pre.bias"),
    ("vision.norm.weight", "visual.ln_post.weight"),
    ("vision.norm.bias", "visual.ln_post.bias"),
    ("clip_image", "visual.proj"),
)
_TEXT = (
    ("text.words.weight", "token_embedding.weight"),
    ("text.positions", "positional_embedding"),
    ("backbone.norm.weight", "ln_final.weight"),
    ("backbone.norm.bias", "ln_final.bias"),
    ("clip_text", "text_projection"),
    ("logit_scale", "logit_scale"),
)


@dataclass(frozen=True, slots=True)
class ViTConfig:
    """Size of the vision tower; the defaults are CLIP ViT-B/16's.

    Attributes:
        width: Length of a feature.
        layers: Transformer layers.
        heads: Attention heads of a layer.
        patch: Side of a patch in pixels.
        pixels: Side of the square input.
    """

    width: int = 768
    layers: int = 12
    heads: int = 12
    patch: int = 16
    pixels: int = 224

    @property
    def tokens(self) -> int:
        """Patches, and one for the whole."""
        return (self.pixels // self.patch) ** 2 + 1


class ClipVision(nn.Module):
    """CLIP's vision transformer (Radford et al., 2103.00020, section 2.4)."""

    def __init__(self, config: ViTConfig, *, quick: bool = False) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.patch = nn.Conv2d(3, width, config.patch, config.patch, bias=False)
        self.start = nn.Parameter(torch.randn(width) * width**-0.5)
        self.positions = nn.Parameter(torch.randn(config.tokens, width) * width**-0.5)
        self.norm_in = nn.LayerNorm(width)
        self.layers = nn.ModuleList(
            AudioLayer(width, config.heads, quick=quick) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self, pixels: Float[Tensor, "batch 3 side side"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Features of images that are normalised as CLIP wants: the whole first, then patches."""
        x = self.patch(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.start.expand(len(x), 1, -1), x], dim=1) + self.positions
        x = self.norm_in(x)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class ClipBackbone(nn.Module):
    """CLIP's text transformer without words and positions, as a backbone of any tokens."""

    def __init__(self, width: int, heads: int, layers: int, *, quick: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(AudioLayer(width, heads, quick=quick) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        tokens: Float[Tensor, "batch length width"],
        real: Bool[Tensor, "batch length"],
        *,
        causal: bool = False,
    ) -> Float[Tensor, "batch length width"]:
        """Hidden features; every position sees all real ones, or with `causal` those before it."""
        mask = real[:, None, None, :].expand(-1, 1, real.shape[1], -1)
        if causal:
            mask = mask & torch.ones_like(mask).tril()
        x = tokens
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)


def renamed(
    state: Mapping[str, Tensor], *, vision_layers: int, text_layers: int
) -> dict[str, Tensor]:
    """A plain CLIP of open_clip under our names.

    Args:
        state: open_clip's state dict, of `CLIP` or `CustomTextCLIP`.
        vision_layers: Layers of the vision tower.
        text_layers: Layers of the text tower.

    Raises:
        CheckpointError: Tensors are missing, or there are others than a plain CLIP has.
    """
    theirs = {name.removeprefix("text."): tensor for name, tensor in state.items()}
    theirs.pop("attn_mask", None)
    names = [*_VISION, *_TEXT]
    for ours, prefix, count in (
        ("vision", "visual.transformer", vision_layers),
        ("backbone", "transformer", text_layers),
    ):
        for i in range(count):
            names += [(f"{ours}.layers.{i}.{a}", f"{prefix}.resblocks.{i}.{b}") for a, b in _LAYER]
    wanted = {b for _, b in names}
    other = sorted(wanted - theirs.keys()) or sorted(theirs.keys() - wanted)
    if other:
        raise CheckpointError(
            f"these weights are no plain CLIP: {other[0]} is "
            f"{'missing' if other[0] in wanted else 'more than it has'}",
            hint="use a model of open_clip with a ViT and a causal text tower, such as ViT-B-16",
        )
    return {a: theirs[b].float() for a, b in names}
