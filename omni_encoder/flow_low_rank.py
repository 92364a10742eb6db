"""The shared backbone made to generate: frozen maps with trained corrections of low rank.

Search and generation share one backbone. What generation needs beyond it is small enough to ship
beside the search checkpoint, and search vectors stay what they were.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .backbone import Backbone, BackboneLayer

_MAPS = ("qkv", "out", "up", "down")


class LowRank(nn.Module):
    """`y = (W + B A) x + b` with W and b frozen; B starts at zero, so it starts as the frozen map.

    Args:
        base: The frozen map.
        rank: Rows of A.
    """

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(requires_grad=False)
        outs, ins = base.weight.shape
        self.a = nn.Parameter(torch.randn(rank, ins) / ins**0.5)
        self.b = nn.Parameter(torch.zeros(outs, rank))

    def forward(self, x: Float[Tensor, "*batch ins"]) -> Float[Tensor, "*batch outs"]:
        """Apply the corrected map."""
        return self.base(x) + (x @ self.a.T) @ self.b.T


def correct(backbone: Backbone, rank: int) -> None:
    """Give every map of a backbone a correction, and freeze all but corrections and norms.

    Raises:
        ValueError: `rank` is less than 1.
    """
    if rank < 1:
        raise ValueError(f"rank must be at least 1, got {rank}")
    for layer in backbone.layers:
        assert isinstance(layer, BackboneLayer)
        for name in _MAPS:
            setattr(layer, name, LowRank(getattr(layer, name), rank))


def fold(backbone: Backbone) -> None:
    """Put plain maps in place of corrected ones; the features stay the same up to rounding."""
    for layer in backbone.layers:
        assert isinstance(layer, BackboneLayer)
        for name in _MAPS:
            held = getattr(layer, name)
            if isinstance(held, LowRank):
                with torch.no_grad():
                    held.base.weight += held.b @ held.a
                setattr(layer, name, held.base)


def is_own(name: str) -> bool:
    """Whether a parameter of the generating model is its own, not the search checkpoint's."""
    if not name.startswith("network."):
        return True
    backbone = name.startswith("network.backbone.")
    return backbone and (name.endswith((".a", ".b")) or "norm" in name)
