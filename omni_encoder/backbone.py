"""The shared backbone: one bidirectional transformer for text, vision and audio tokens alike.

Post-norm layers as in BERT, so that it can start from MiniLM; full attention in both directions, as
NExT-OMNI turns its language model's causal mask into a full one (2510.13721, architecture).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional


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


class BackboneLayer(nn.Module):
    """Self-attention and feed-forward, each added to its input and then normalised."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.attention_norm = nn.LayerNorm(config.width, eps=1e-12)
        self.up = nn.Linear(config.width, config.hidden)
        self.down = nn.Linear(config.hidden, config.width)
        self.mlp_norm = nn.LayerNorm(config.width, eps=1e-12)

    def forward(
        self, x: Float[Tensor, "batch length width"], mask: Bool[Tensor, "batch 1 1 length"]
    ) -> Float[Tensor, "batch length width"]:
        """Let every position see every position that `mask` marks as real."""
        batch, length, width = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.attention_norm(x + self.out(mixed.transpose(1, 2).reshape(batch, length, width)))
        return self.mlp_norm(x + self.down(functional.gelu(self.up(x))))


class Backbone(nn.Module):
    """A stack of layers over one interleaved sequence."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        self.input_norm = nn.LayerNorm(config.width, eps=1e-12)
        self.layers = nn.ModuleList(BackboneLayer(config) for _ in range(config.layers))

    def forward(
        self, tokens: Float[Tensor, "batch length width"], real: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length width"]:
        """Hidden features of token embeddings (already summed with positions).

        Args:
            tokens: Input embeddings; whatever stands where `real` is False has no influence.
            real: Which positions hold a token rather than padding; at least one a row.
        """
        x = self.input_norm(tokens)
        mask = real[:, None, None, :]
        for layer in self.layers:
            x = layer(x, mask)
        return x


class EosReadout(nn.Module):
    """The `<EOS>` feature: one more attention step in which `<EOS>` gathers the whole sequence.

    Its query starts at zero, so it starts as the plain mean over the sequence, which is what MiniLM
    was trained to be read by; training moves it from there.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.query.weight)

    def forward(
        self,
        hidden: Float[Tensor, "batch length width"],
        real: Bool[Tensor, "batch length"],
        eos: Float[Tensor, "batch width"],
    ) -> Float[Tensor, "batch width"]:
        """Mix hidden features as the `<EOS>` position asks. Not normalised."""
        scores = torch.einsum("bd,bld->bl", self.query(eos), hidden) / hidden.shape[-1] ** 0.5
        weights = scores.masked_fill(~real, float("-inf")).softmax(dim=-1)
        return torch.einsum("bl,bld->bd", weights, hidden)
