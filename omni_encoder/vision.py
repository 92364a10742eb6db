"""The vision encoder: EfficientNet-Lite, batch norms folded; image in, grid of features out.

Convolutions with ReLU6 only (no squeeze-excite, no swish), so it is light on CPUs. Sizes follow
the published compound scaling, in which Lite keeps stem and head fixed (Tan and Le, 1905.11946,
table 1, and the Lite release notes).
"""

import math

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .config import VisionConfig

# (repeats, kernel, stride, expansion, channels) of the seven stages of EfficientNet-B0.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM_CHANNELS = 32
_TRUNK_STAGES = 5
PIXEL_MEAN, PIXEL_STD = 127.0, 128.0


def _round_channels(channels: float) -> int:
    """The multiple of 8 nearest to `channels`, but never less than 90% of it."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: output side = ceil(input side / stride)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name nn.Conv2d gives it
        """Map [batch, channels, height, width] to [batch, out, ceil(h / s), ceil(w / s)]."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        pads = [
            max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
            for side in (input.shape[3], input.shape[2])
        ]
        edges = [edge for pad in pads for edge in (pad // 2, pad - pad // 2)]
        return super().forward(functional.pad(input, edges) if any(edges) else input)


class InvertedResidual(nn.Module):
    """Expand, filter by channel, project; the input is added where the shapes agree."""

    def __init__(
        self, channels: int, out_channels: int, *, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        inner = channels * expansion
        self.expand = SameConv(channels, inner, 1) if expansion > 1 else nn.Identity()
        self.depthwise = SameConv(inner, inner, kernel, stride, groups=inner)
        self.project = SameConv(inner, out_channels, 1)
        self.expands = expansion > 1
        self.residual = stride == 1 and channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, channels, h, w] to [batch, out_channels, h / stride, w / stride]."""
        inner = functional.relu6(self.expand(x)) if self.expands else x
        inner = functional.relu6(self.depthwise(inner))
        out = self.project(inner)
        return out + x if self.residual else out


class VisionEncoder(nn.Module):
    """EfficientNet-Lite up to its last grid of features."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = SameConv(3, _STEM_CHANNELS, 3, 2)
        blocks: list[nn.Module] = []
        channels = _STEM_CHANNELS
        boundaries: list[int] = []
        for stage, (repeats, kernel, stride, expansion, base) in enumerate(_STAGES):
            out = _round_channels(base * config.width)
            boundaries.append(len(blocks))
            fixed = stage in (0, len(_STAGES) - 1)
            count = repeats if fixed else math.ceil(repeats * config.depth)
            for i in range(count):
                blocks.append(
                    InvertedResidual(
                        channels,
                        out,
                        kernel=kernel,
                        stride=stride if i == 0 else 1,
                        expansion=expansion,
                    )
                )
                channels = out
        self.blocks = nn.ModuleList(blocks)
        self.trunk_blocks = boundaries[_TRUNK_STAGES]
        self.head = SameConv(channels, config.features, 1)

    def forward(self, pixels: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch f h w"]:
        """Encode images.

        Args:
            pixels: RGB, 0..255 scaled by (x - 127) / 128, so about [-1, 1].

        Returns:
            Features after ReLU6, one for each 32 x 32 pixels: [batch, features, side/32, side/32].
        """
        return self.late(self.trunk(pixels))

    def trunk(self, pixels: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch c h w"]:
        """The first five stages, which training leaves alone: a feature each 16 x 16 pixels."""
        x = functional.relu6(self.stem(pixels))
        for block in self.blocks[: self.trunk_blocks]:
            x = block(x)
        return x

    def late(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch f h2 w2"]:
        """The last two stages and the head."""
        for block in self.blocks[self.trunk_blocks :]:
            x = block(x)
        return functional.relu6(self.head(x))


def normalise_pixels(pixels: Tensor) -> Tensor:
    """Scale RGB in 0..255 as the vision encoder wants it, about [-1, 1]."""
    return (pixels.float() - PIXEL_MEAN) / PIXEL_STD
