"""What of a prompt need not be computed at every step of the sampler.

The prompt stays as it is while the answer is denoised. With block-causal attention it can't see the
answer, so its keys and values are computed once and nothing is lost. With full attention they
depend on the answer a little, and are kept for some steps (the adaptive cache of dLLM-Cache, which
NExT-OMNI takes over): exact every `refresh` steps, near in between.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .backbone import Backbone, Memory
from .flow_model import FlowModel, Part

Attention = Literal["full", "block-causal"]


@dataclass(frozen=True, slots=True)
class CacheRule:
    """What is kept between calls of the model.

    Attributes:
        attention: `full` is what the model is trained with. In `block-causal` the prompt doesn't
            see the answer.
        refresh: The prompt is computed anew every so many calls; 1 keeps nothing, 0 computes it
            once.
        share: Of the answer's positions, those that are computed anew between refreshes, by how
            far their values moved; 1 is all.
    """

    attention: Attention = "full"
    refresh: int = 1
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.attention not in ("full", "block-causal"):
            raise ValueError(f"attention must be full or block-causal, got {self.attention!r}")
        if self.refresh < 0 or not 0 < self.share <= 1:
            raise ValueError(
                f"refresh must be at least 0 and share in (0, 1], got {self.refresh}, {self.share}"
            )

    @property
    def is_plain(self) -> bool:
        """Whether every call computes everything in full attention."""
        return self.attention == "full" and self.refresh == 1


class Reader:
    """Asks a model for the features of an answer, again and again, beside one prompt."""

    def __init__(
        self,
        model: FlowModel,
        condition: Sequence[Part],
        rule: CacheRule,
        *,
        dropped: Bool[Tensor, " batch"] | None = None,
    ) -> None:
        """Make a reader; `dropped` are the rows that see the null condition.

        Raises:
            ValueError: Something is to be kept, and the model's backbone can't keep it.
        """
        self.model, self.condition, self.rule, self.dropped = model, condition, rule, dropped
        self._calls = 0
        self._prompt: Memory | None = None
        self._answer: Memory | None = None
        backbone = model.network.backbone
        if not rule.is_plain and not isinstance(backbone, Backbone):
            raise ValueError(f"{type(backbone).__name__} keeps nothing between calls")

    def __call__(self, target: Part) -> Float[Tensor, "batch slots width"]:
        """Features at the target's slots."""
        if self.rule.is_plain:
            return self.model.hidden([*self.condition, target], dropped=self.dropped)
        refresh = self.rule.refresh
        is_fresh = self._prompt is None or (refresh > 0 and self._calls % refresh == 0)
        self._calls += 1
        tokens, real = self.model.embed(target)
        if is_fresh and self.rule.attention == "full":
            hidden = self._all(tokens, real)
        else:
            if is_fresh:
                self._prompt = self._remembered(*self._condition())
                self._answer = None
            hidden = self._after(tokens, real)
        return hidden[:, 1 : 1 + target.tokens.shape[1]]

    def _backbone(self) -> Backbone:
        backbone = self.model.network.backbone
        assert isinstance(backbone, Backbone)  # checked at the start
        return backbone

    def _condition(self) -> tuple[Tensor, Tensor]:
        embedded = [self.model.embed(part, self.dropped) for part in self.condition]
        tokens, real = zip(*embedded, strict=True)
        return torch.cat(tokens, dim=1), torch.cat(real, dim=1)

    def _remembered(self, tokens: Tensor, real: Tensor) -> Memory:
        return self._backbone().remembering(tokens, real)[1]

    def _all(self, tokens: Tensor, real: Tensor) -> Tensor:
        """The answer's features in full attention; both halves are kept."""
        first, there = self._condition()
        whole = torch.cat([first, tokens], dim=1), torch.cat([there, real], dim=1)
        hidden, memory = self._backbone().remembering(*whole)
        length = first.shape[1]
        self._prompt, self._answer = memory.part(slice(length)), memory.part(slice(length, None))
        return hidden[:, length:]

    def _after(self, tokens: Tensor, real: Tensor) -> Tensor:
        """The answer's features beside the kept prompt."""
        count = math.ceil(self.rule.share * tokens.shape[1])
        kept = self._answer if self.rule.share < 1 else None
        hidden, self._answer = self._backbone().remembering(
            tokens, real, before=self._prompt, kept=kept, count=count
        )
        return hidden
