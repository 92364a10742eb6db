"""The same network, arranged for a CPU: what `OmniEncoder` computes with.

Convolutions are fused with what follows them and their weights reordered once, which gives the very
same numbers. Where the processor multiplies bfloat16 in hardware, the linear maps of the
transformers do; sums, norms and the residual stream stay float32, so vectors hardly move (cosine
.9999). Convolutions don't: what the first of them lose would grow to .989. The numbers are in
docs/adr/0032.

The operators are those that `torch.compile` emits for CPUs. Where a build of torch lacks them, or
they give other results, the plain network is used.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportPrivateUsage=false
# ruff: noqa: SLF001 - torch has no public name for these operators

import copy
import math
from pathlib import Path
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .network import OmniNetwork
from .vision import InvertedResidual, SameConv, VisionEncoder

SMALLEST_WIDTH = 256
"""Narrower linear maps gain nothing: converting costs as much as it saves."""

_ModuleT = TypeVar("_ModuleT", bound=nn.Module)
_PROBE_ERROR = 1e-3
_CPU_FLAGS = Path("/proc/cpuinfo")


class FusedConv(nn.Module):
    """A convolution, the ReLU6 or the sum that follows it, in one operator."""

    def __init__(self, conv: SameConv, *, relu6: bool) -> None:
        super().__init__()
        self.kernel, self.stride, self.groups = conv.kernel_size[0], conv.stride[0], conv.groups
        self.relu6 = relu6
        assert conv.bias is not None  # batch norms are folded, so there always is one
        self.bias = conv.bias.detach()
        pad = self._padding(0)[0] if self.stride == 1 else 0
        self.weight = torch._C._nn.mkldnn_reorder_conv2d_weight(
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


class HalfLinear(nn.Module):
    """A linear map with bfloat16 weights, input and output, and float32 sums."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().bfloat16()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        self.bias = None if linear.bias is None else linear.bias.detach().bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., in] to [..., out]; what is added to float32 becomes float32 again."""
        operator = torch.ops.mkldnn._linear_pointwise
        return operator(x.bfloat16(), self.weight, self.bias, "none", [], "")


def fast_copy(network: OmniNetwork) -> OmniNetwork:
    """A network that shares a network's parameters and is faster on a CPU.

    It is for inference alone, in channels-last order. If nothing can be gained it is the network.
    """
    if network.logit_scale.device.type != "cpu":
        return network
    fast = _shallow(network)
    try:
        with torch.inference_mode():
            vision = FusedVision(network.vision)
            if _agree(network, vision):
                fast.vision = vision  # pyright: ignore[reportAttributeAccessIssue] - same calls
    except (AttributeError, RuntimeError, TypeError):
        pass
    try:
        if multiplies_bfloat16() and _half_agrees():
            with torch.inference_mode():
                fast.backbone = _halved(network.backbone)
                fast.audio = _halved(network.audio)
    except (AttributeError, RuntimeError, TypeError):
        fast.backbone, fast.audio = network.backbone, network.audio
    return fast


def multiplies_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware, by AVX512-BF16 or AMX."""
    try:
        flags = _CPU_FLAGS.read_text(encoding="ascii", errors="ignore")
    except OSError:  # not Linux
        return False
    has = "avx512_bf16" in flags or "amx_bf16" in flags
    return has and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _agree(network: OmniNetwork, vision: FusedVision) -> bool:
    """Whether fused convolutions give what plain ones give, tried on a small image of noise."""
    side = 32
    pixels = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    return bool(torch.allclose(vision(pixels), network.vision(pixels), atol=_PROBE_ERROR))


def _half_agrees() -> bool:
    """Whether a linear map in bfloat16 is right to its precision, tried on noise."""
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        linear = nn.Linear(SMALLEST_WIDTH, SMALLEST_WIDTH)
        linear.weight.data = torch.randn(linear.weight.shape, generator=generator)
        x = torch.randn(4, SMALLEST_WIDTH, generator=generator)
        exact, half = linear(x), HalfLinear(linear)(x).float()
        return bool(functional.cosine_similarity(exact, half).min() > 1 - _PROBE_ERROR)


def _halved(module: _ModuleT) -> _ModuleT:
    """A copy of a module whose wide linear maps multiply bfloat16."""
    new = _shallow(module)
    for name, child in module.named_children():
        if isinstance(child, nn.Linear) and min(child.weight.shape) >= SMALLEST_WIDTH:
            setattr(new, name, HalfLinear(child))
        else:
            setattr(new, name, _halved(child))
    return new


def _shallow(module: _ModuleT) -> _ModuleT:
    """A copy that shares parameters and parts, until they are replaced."""
    new = copy.copy(module)
    new._modules = dict(module._modules)
    return new
