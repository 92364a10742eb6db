"""The published backbone: Qwen2.5's layers with full attention (NExT-OMNI, architecture).

Pre-norm with RMS norms, rotary positions, grouped keys and values, SwiGLU. What differs from the
language model is the mask alone: every position sees every real one.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class RotaryConfig:
    """Size of the backbone; the defaults are Qwen2.5-7B's.

    Attributes:
        width: Length of a hidden feature.
        heads: Attention heads of a layer.
        key_heads: Heads of keys and values, each shared by `heads / key_heads` heads.
        layers: Transformer layers.
        hidden: Inner width of the feed-forward part.
        base: Of the rotary wave lengths.
    """

    width: int = 3584
    heads: int = 28
    key_heads: int = 4
    layers: int = 28
    hidden: int = 18_944
    base: float = 1e6


class RotaryLayer(nn.Module):
    """Self-attention and SwiGLU, each added to its input."""

    def __init__(self, config: RotaryConfig) -> None:
        super().__init__()
        self.config = config
        size = config.width // config.heads
        self.attention_norm = nn.RMSNorm(config.width, eps=1e-6)
        self.q = nn.Linear(config.width, config.heads * size)
        self.k = nn.Linear(config.width, config.key_heads * size)
        self.v = nn.Linear(config.width, config.key_heads * size)
        self.out = nn.Linear(config.heads * size, config.width, bias=False)
        self.mlp_norm = nn.RMSNorm(config.width, eps=1e-6)
        self.gate = nn.Linear(config.width, config.hidden, bias=False)
        self.up = nn.Linear(config.width, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.width, bias=False)

    def forward(
        self,
        x: Float[Tensor, "batch length width"],
        mask: Bool[Tensor, "batch 1 1 length"],
        turns: tuple[Tensor, Tensor],
    ) -> Float[Tensor, "batch length width"]:
        """Let every position see every position that `mask` marks as real."""
        batch, length, width = x.shape
        inner = self.attention_norm(x)
        q, k, v = (
            made.view(batch, length, -1, width // self.config.heads).transpose(1, 2)
            for made in (self.q(inner), self.k(inner), self.v(inner))
        )
        shared = self.config.heads // self.config.key_heads
        k, v = turned(k, turns).repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        mixed = functional.scaled_dot_product_attention(turned(q, turns), k, v, attn_mask=mask)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, -1))
        inner = self.mlp_norm(x)
        return x + self.down(functional.silu(self.gate(inner)) * self.up(inner))


class RotaryBackbone(nn.Module):
    """A stack of layers over one interleaved sequence."""

    def __init__(self, config: RotaryConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(RotaryLayer(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, eps=1e-6)

    def forward(
        self, tokens: Float[Tensor, "batch length width"], real: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length width"]:
        """Hidden features of token embeddings; what is not real has no influence."""
        size = self.config.width // self.config.heads
        turns = rotations(tokens.shape[1], size, base=self.config.base, device=tokens.device)
        x = tokens
        for layer in self.layers:
            x = layer(x, real[:, None, None, :], turns)
        return self.norm(x)


def rotations(
    length: int, size: int, *, base: float, device: torch.device
) -> tuple[Float[Tensor, "length size"], Float[Tensor, "length size"]]:
    """Cosines and sines of the angles by which positions turn pairs of numbers (2104.09864)."""
    waves = base ** -(torch.arange(0, size, 2, device=device).float() / size)
    angles = torch.arange(length, device=device).float()[:, None] * waves
    angles = torch.cat([angles, angles], dim=1)  # numbers i and i + size / 2 are a pair
    return angles.cos(), angles.sin()


def turned(
    x: Float[Tensor, "batch heads length size"], turns: tuple[Tensor, Tensor]
) -> Float[Tensor, "batch heads length size"]:
    """Queries or keys, turned by their positions."""
    first, second = x.chunk(2, dim=-1)
    cosines, sines = (part.to(x.dtype) for part in turns)
    return x * cosines + torch.cat([-second, first], dim=-1) * sines
