"""The shared backbone: one bidirectional transformer for text, vision and audio tokens alike.

Post-norm layers as in BERT, so that it can start from MiniLM; full attention in both directions, as
NExT-OMNI turns its language model's causal mask into a full one (2510.13721, architecture).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from .config import BackboneConfig


@dataclass(frozen=True, slots=True, eq=False)
class LayerState:
    """What a layer made of some positions, kept so that it needn't be made again.

    Attributes:
        keys: By heads.
        values: By heads.
        attended: What attention added.
        fed: What the feed-forward part added.
    """

    keys: Float[Tensor, "batch heads length size"]
    values: Float[Tensor, "batch heads length size"]
    attended: Float[Tensor, "batch length width"]
    fed: Float[Tensor, "batch length width"]

    def part(self, positions: slice) -> "LayerState":
        """The state of some positions."""
        keys, values = self.keys[:, :, positions], self.values[:, :, positions]
        return LayerState(keys, values, self.attended[:, positions], self.fed[:, positions])


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What all layers made of some positions.

    Attributes:
        layers: A state for each layer.
        real: Which of the positions hold a token.
    """

    layers: list[LayerState]
    real: Bool[Tensor, "batch length"]

    def part(self, positions: slice) -> "Memory":
        """The memory of some positions."""
        return Memory([layer.part(positions) for layer in self.layers], self.real[:, positions])


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
        self,
        x: Float[Tensor, "batch length width"],
        mask: Bool[Tensor, "batch 1 1 seen"],
        before: LayerState | None = None,
    ) -> tuple[Float[Tensor, "batch length width"], LayerState]:
        """Let every position see every position that `mask` marks as real.

        Args:
            x: Hidden features.
            mask: Of the positions of `before`, if any, and then of these.
            before: Positions that are seen and stay as they are.

        Returns:
            New features, and the state of these positions.
        """
        q, k, v = self._by_heads(self.qkv(x), 3)
        attended = self._attended(q, _behind(before, k, v), mask)
        x = self.attention_norm(x + attended)
        fed = self.down(functional.gelu(self.up(x)))
        return self.mlp_norm(x + fed), LayerState(k, v, attended, fed)

    def refreshed(
        self,
        x: Float[Tensor, "batch length width"],
        mask: Bool[Tensor, "batch 1 1 seen"],
        before: LayerState | None,
        kept: LayerState,
        count: int,
    ) -> tuple[Float[Tensor, "batch length width"], LayerState]:
        """As `forward`, computing anew only the `count` positions whose values moved most.

        Values are cheap and tell what changed (dLLM-Cache, adaptive updating): a position whose
        new value has a high cosine with the kept one keeps what both parts added to it.
        """
        width = x.shape[2]
        weight, bias = self.qkv.weight, self.qkv.bias
        (v,) = self._by_heads(functional.linear(x, weight[2 * width :], bias[2 * width :]), 1)
        flat, old = (t.transpose(1, 2).flatten(2) for t in (v, kept.values))
        moved = functional.cosine_similarity(flat, old, dim=-1)
        rows = moved.topk(min(count, x.shape[1]), dim=1, largest=False).indices
        wide = rows[..., None].expand(-1, -1, width)
        chosen = functional.linear(x.gather(1, wide), weight[: 2 * width], bias[: 2 * width])
        q, k = self._by_heads(chosen, 2)
        at = rows[:, None, :, None].expand_as(k)
        keys = kept.keys.scatter(2, at, k)
        some = self._attended(q, _behind(before, keys, v), mask)
        attended = kept.attended.scatter(1, wide, some)
        x = self.attention_norm(x + attended)
        some = self.down(functional.gelu(self.up(x.gather(1, wide))))
        fed = kept.fed.scatter(1, wide, some)
        return self.mlp_norm(x + fed), LayerState(keys, v, attended, fed)

    def _by_heads(self, made: Tensor, count: int) -> tuple[Tensor, ...]:
        """`count` tensors [batch, heads, length, size] that lie side by side."""
        batch, length, _ = made.shape
        return tuple(made.view(batch, length, count, self.heads, -1).permute(2, 0, 3, 1, 4))

    def _attended(self, q: Tensor, seen: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        mixed = functional.scaled_dot_product_attention(q, *seen, attn_mask=mask)
        return self.out(mixed.transpose(1, 2).flatten(2))


def _behind(before: LayerState | None, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values with those of earlier positions in front."""
    if before is None:
        return keys, values
    return torch.cat([before.keys, keys], dim=2), torch.cat([before.values, values], dim=2)


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
            x, _ = layer(x, mask)
        return x

    def remembering(
        self,
        tokens: Float[Tensor, "batch length width"],
        real: Bool[Tensor, "batch length"],
        *,
        before: Memory | None = None,
        kept: Memory | None = None,
        count: int = 0,
    ) -> tuple[Float[Tensor, "batch length width"], Memory]:
        """As `forward`, and what the layers made of these positions.

        Args:
            tokens: Input embeddings.
            real: Which positions hold a token.
            before: Positions in front, which are seen and don't change.
            kept: What was made of these positions earlier; then only `count` of them, those that
                moved most, are computed anew in each layer.
            count: See `kept`.
        """
        x = self.input_norm(tokens)
        seen = real if before is None else torch.cat([before.real, real], dim=1)
        mask = seen[:, None, None, :]
        states: list[LayerState] = []
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, BackboneLayer)
            front = None if before is None else before.layers[i]
            if kept is None:
                x, state = layer(x, mask, front)
            else:
                x, state = layer.refreshed(x, mask, front, kept.layers[i], count)
            states.append(state)
        return x, Memory(states, real)


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
