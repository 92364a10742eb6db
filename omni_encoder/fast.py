"""The same network, arranged for a CPU: what `OmniEncoder` computes with.

Convolutions are fused with what follows them and their weights reordered once, which gives the very
same numbers in less than two thirds of the time. Nothing is rounded to bfloat16: that would be
faster still, but changes what is found (docs/adr/0032).

The operators are those that `torch.compile` emits for CPUs. Where a build of torch lacks them, or
they give other results, the plain network is used.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportPrivateUsage=false
# ruff: noqa: SLF001 - torch has no public name for these operators

import copy
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .network import OmniNetwork
from .vision import InvertedResidual, SameConv, VisionEncoder

_PROBE_ERROR = 1e-3
_PROBE_SIDE = 32


class FusedConv(nn.Module):
    """A convolution, the ReLU6 or the sum that follows it, in one operator."""

    def __init__(self, conv: SameConv, *, relu6: bool) -> None:
        super().__init__()
        self.kernel, self.stride, self.groups = conv.kernel_size[0], conv.stride[0], conv.groups
        self.relu6 = relu6
        assert conv.bias is not None  # batch norms are folded, so there always is one
        self.bias = conv.bias.detach()
        pad = self._padding(0)[0] if self.stride == 1 else 0
        self.weight = torch._C._nn.mkldnn_reorder_conv2d_weight(  # pyright: ignore[reportAttributeAccessIssue] - torch's stub lacks it
            conv.weight.detach().to_mkldnn(),
            [pad, pad],
            [self.stride] * 2,
            [1, 1],
            self.groups,
            None,
        )

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Map [batch, channels, side, side] to the output; `other` is added to it."""
        low, high = self._padding(x.shape[2])
        if low != high:
            x, low = functional.pad(x, (low, high, low, high)), 0
        shape = ([low, low], [self.stride] * 2, [1, 1], self.groups)
        operator = torch.ops.mkldnn._convolution_pointwise
        if other is not None:
            added = ("add", None, None, [], None)
            return operator.binary(x, other, self.weight, self.bias, *shape, *added)
        then = ("hardtanh", [0.0, 6.0], None) if self.relu6 else ("none", [], None)
        return operator(x, self.weight, self.bias, *shape, *then)

    def _padding(self, side: int) -> tuple[int, int]:
        """What SAME padding adds before and behind an axis."""
        if self.stride == 1:
            return (self.kernel - 1) // 2, self.kernel // 2
        whole = max((math.ceil(side / self.stride) - 1) * self.stride + self.kernel - side, 0)
        return whole // 2, whole - whole // 2


class FusedBlock(nn.Module):
    """See `InvertedResidual`."""

    def __init__(self, block: InvertedResidual) -> None:
        super().__init__()
        self.residual = block.residual
        self.expand = (
            FusedConv(block.expand, relu6=True) if isinstance(block.expand, SameConv) else None
        )
        self.depthwise = FusedConv(block.depthwise, relu6=True)
        self.project = FusedConv(block.project, relu6=False)

    def forward(self, x: Tensor) -> Tensor:
        """See `InvertedResidual.forward`."""
        inner = self.depthwise(x if self.expand is None else self.expand(x))
        return self.project(inner, x if self.residual else None)


class FusedVision(nn.Module):
    """See `VisionEncoder`; square images only."""

    def __init__(self, vision: VisionEncoder) -> None:
        super().__init__()
        self.stem = FusedConv(vision.stem, relu6=True)
        self.blocks = nn.Sequential(
            *(FusedBlock(block) for block in vision.blocks if isinstance(block, InvertedResidual))
        )
        self.head = FusedConv(vision.head, relu6=True)

    def forward(self, pixels: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch f h w"]:
        """See `VisionEncoder.forward`."""
        return self.head(self.blocks(self.stem(pixels)))


def fast_copy(network: OmniNetwork) -> OmniNetwork:
    """A network that shares a network's parameters and is faster on a CPU; for inference alone.

    If nothing can be gained it is the network itself.
    """
    if network.logit_scale.device.type != "cpu":
        return network
    try:
        with torch.inference_mode():
            vision = FusedVision(network.vision)
            agrees = _agree(network.vision, vision)
    except (AttributeError, RuntimeError, TypeError):
        return network
    if not agrees:
        return network
    fast = copy.copy(network)
    fast._modules = {**network._modules, "vision": vision}
    return fast


def _agree(plain: VisionEncoder, fused: FusedVision) -> bool:
    """Whether fused convolutions give what plain ones give, tried on a small image of noise."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(1, 3, _PROBE_SIDE, _PROBE_SIDE, generator=generator) * 2 - 1
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    return bool(torch.allclose(fused(pixels), plain(pixels), atol=_PROBE_ERROR))
