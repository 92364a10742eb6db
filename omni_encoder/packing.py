"""Weights as they are stored: half precision, and 8 bits where that is precise enough."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def packed(state: Mapping[str, Tensor], *, narrow: Callable[[str], bool]) -> dict[str, Tensor]:
    """A state in half precision, its chosen matrices as `NAME.int8` and `NAME.scale`, one a row.

    Args:
        state: Tensors by name.
        narrow: Which matrices are stored in 8 bits.
    """
    out: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if tensor.ndim == 2 and narrow(name):
            scale = (tensor.abs().amax(dim=1, keepdim=True) / 127).clamp(min=1e-8)
            out[f"{name}.int8"] = (tensor / scale).round().to(torch.int8)
            out[f"{name}.scale"] = scale.squeeze(1)
        else:
            out[name] = (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
    return out


def unpacked(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `packed`, up to rounding; what is read is in single precision already."""
    return {
        name.removesuffix(".int8"): (
            tensor * stored[f"{name.removesuffix('.int8')}.scale"][:, None]
            if name.endswith(".int8")
            else tensor
        )
        for name, tensor in stored.items()
        if not name.endswith(".scale")
    }
