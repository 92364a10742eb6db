"""The same backbone as an autoregressive sampler: slots one after the other, to compare speed with.

Each call guesses one slot, which stands as noise behind those drawn already. `kept` holds keys and
values of what is drawn, as language models do: a call computes two positions. Without it a call
computes the whole sequence, which is what a bidirectional backbone needs to give its best. The
model is trained to denoise all slots at once, so this is a peer in speed; how well it draws says
little about a model trained in order.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from .backbone import Backbone, LayerState, Memory
from .flow_generate import GenerateRule, chooser, readers_of, temperature_of
from .flow_model import FlowModel, Part
from .flow_noise import KeyedNoise
from .flow_objective import Paths
from .flow_sampler import pure_noise
from .types import Modality

_ORDER = 5  # what random numbers are for


@dataclass(slots=True)
class Work:
    """What the backbone had to do.

    Attributes:
        calls: How often it was asked.
        positions: Of all calls together; the adaptive cache computes only a share of some.
    """

    calls: int = 0
    positions: int = 0


@contextmanager
def counted(model: FlowModel) -> Generator[Work]:
    """Count what a model's backbone does inside the block."""
    work = Work()

    def count(_module: torch.nn.Module, given: tuple[Tensor, ...]) -> None:
        work.calls += 1
        work.positions += given[0].shape[1]

    backbone = model.network.backbone
    # Every call passes it, whichever of a layer's ways is taken after.
    first = backbone.input_norm if isinstance(backbone, Backbone) else backbone.layers[0]
    hook = first.register_forward_pre_hook(count)
    try:
        yield work
    finally:
        hook.remove()


class _Ordered:
    """Features of one slot after the other, with all that came before kept."""

    def __init__(self, model: FlowModel, condition: Sequence[Part], dropped: Tensor | None) -> None:
        backbone = model.network.backbone
        if not isinstance(backbone, Backbone):
            raise ValueError(f"{type(backbone).__name__} keeps nothing between calls")
        self.model, self.backbone = model, backbone
        embedded = [model.embed(part, dropped) for part in condition]
        tokens, real = (torch.cat(halves, dim=1) for halves in zip(*embedded, strict=True))
        _, self.memory = backbone.remembering(tokens, real)

    def __call__(self, target: Part, slot: int) -> Tensor:
        """Features at a slot; the slot before, or the marker, joins what is kept."""
        # Up to this slot, and without what is still noise, so that what is kept stays true.
        drawn = replace(
            target,
            tokens=target.tokens[:, : slot + 1],
            real=target.real[:, : slot + 1],
            in_order=True,
        )
        tokens, real = self.model.embed(drawn)
        two = slice(slot, slot + 2)
        hidden, made = self.backbone.remembering(tokens[:, two], real[:, two], before=self.memory)
        self.memory = _joined(self.memory, made.part(slice(1)))
        return hidden[:, 1]


def _joined(first: Memory, second: Memory) -> Memory:
    layers = [
        LayerState(
            torch.cat([a.keys, b.keys], dim=2),
            torch.cat([a.values, b.values], dim=2),
            b.attended,  # of earlier positions it is asked for no more
            b.fed,
        )
        for a, b in zip(first.layers, second.layers, strict=True)
    ]
    return Memory(layers, torch.cat([first.real, second.real], dim=1))


@torch.no_grad()
def generate_in_order(
    model: FlowModel,
    paths: Paths,
    condition: Sequence[Part],
    modality: Modality,
    *,
    slots: int,
    rule: GenerateRule,
    keep: bool = True,
) -> Int[Tensor, "batch slots books"]:
    """Draw the tokens of one part, the first slot first.

    Args:
        model: The model.
        paths: The noise of each kind's books.
        condition: Clean parts; at least one.
        modality: Of what is drawn.
        slots: How many.
        rule: Its guidance, temperature and seed count.
        keep: See this module.

    Raises:
        ValueError: The backbone can't keep anything and is to.
    """
    noise, keys = KeyedNoise(rule.seed), torch.arange(len(condition[0].tokens))
    tokens = pure_noise(paths[modality], (len(keys), slots), noise)
    real: Bool[Tensor, "batch slots"] = torch.ones(tokens.shape[:2], dtype=torch.bool)
    numbers = noise.uniform(keys, (_ORDER,), tuple(tokens.shape[1:]))
    readers, warm = readers_of(model, condition, rule), temperature_of(rule, modality)
    ordered = [_Ordered(model, condition, r.dropped) for r in readers] if keep else []
    for slot in range(slots):
        target = Part(modality, tokens, real, target=True)
        if keep:
            hidden = [ask(target, slot) for ask in ordered]
        else:
            hidden = [ask(target)[:, slot] for ask in readers]
        choose = chooser(paths[modality], numbers[:, slot], rule, temperature=warm)
        tokens = tokens.clone()
        tokens[:, slot] = model.drawn(modality, hidden, choose)
    return tokens
