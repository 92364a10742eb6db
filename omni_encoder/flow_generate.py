"""Generation with the flow model: the sampler's wiring, guidance, and the length of texts.

The length of a text is found before it is written (NExT-OMNI's dynamic generation): the slots begin
as one block of noise, and blocks are added while the model is not sure that the text ends in them.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from .flow_cache import Attention, CacheRule, Reader
from .flow_model import FlowModel, Part
from .flow_noise import KeyedNoise
from .flow_objective import Paths
from .flow_path import MetricPath
from .flow_sampler import StepRule, draw, guided, pure_noise, sample, schedule
from .types import Modality

_KEY_BITS = 32  # of a row's key; what is above numbers the piece
_HOLD = 4  # what random numbers are for; the sampler has 1 to 3


@dataclass(frozen=True, slots=True)
class GenerateRule:
    """How to draw.

    Attributes:
        steps: Calls of the model (twice as many with guidance).
        guidance: How strongly the condition counts; 1 asks the model once a step.
        temperature: Of the clean tokens; 0 takes what is likeliest. None is 0 for words, of which
            a wrong one spoils a sentence, and 1 for codes.
        shift: See `flow_sampler.schedule`.
        step_rule: See `flow_sampler.step_rates`.
        seed: Of all that is drawn.
        block: Slots that a text's length is a multiple of.
        most_blocks: The longest text.
        sure: How probable an end within the slots must be.
        hold: Where a frame of a video starts from: the frame before, noised back to this time. 0
            starts from noise, so frames don't hang together; near 1 nothing moves.
        attention: See `flow_cache.CacheRule`.
        refresh: Likewise.
        share: Likewise.
    """

    steps: int = 16
    guidance: float = 1.0
    temperature: float | None = None
    shift: float = 1.0
    step_rule: StepRule = "midpoint"
    seed: int = 0
    block: int = 16
    most_blocks: int = 4
    sure: float = 0.6
    hold: float = 0.5
    attention: Attention = "full"
    refresh: int = 1
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.block < 1 or self.most_blocks < 1:
            raise ValueError(
                "steps, block and most_blocks must be at least 1, got "
                f"{self.steps}, {self.block}, {self.most_blocks}"
            )
        if not 0 <= self.sure <= 1:
            raise ValueError(f"sure must be in [0, 1], got {self.sure}")
        if not 0 <= self.hold < 1:
            raise ValueError(f"hold must be in [0, 1), got {self.hold}")
        self.cache()

    def cache(self) -> CacheRule:
        """What is kept between calls of the model."""
        return CacheRule(self.attention, self.refresh, self.share)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Which piece of an item is drawn.

    Attributes:
        frame: Its number; each has noise of its own.
        before: Tokens of the piece before, to start from (`GenerateRule.hold`).
    """

    frame: int = 0
    before: Int[Tensor, "batch slots books"] | None = None


@torch.no_grad()
def generate(
    model: FlowModel,
    paths: Paths,
    condition: Sequence[Part],
    modality: Modality,
    *,
    slots: int,
    rule: GenerateRule | None = None,
    keys: Int[Tensor, " batch"] | None = None,
    piece: Piece | None = None,
) -> Int[Tensor, "batch slots books"]:
    """Draw the tokens of one part given those before it.

    Args:
        model: The model, in evaluation mode.
        paths: The noise of each kind's books.
        condition: Clean parts; at least one, all of one batch size.
        modality: Of what is drawn.
        slots: How many; for texts see `text_slots`.
        rule: How to draw.
        keys: Of the rows; a row's noise depends on the seed and its key alone.
        piece: Which piece, of videos and sounds.

    Raises:
        ValueError: There is no condition.
    """
    if not condition:
        raise ValueError("generation needs at least one part to start from")
    rule, piece = rule or GenerateRule(), piece or Piece()
    batch, noise = len(condition[0].tokens), KeyedNoise(rule.seed)
    keys = (torch.arange(batch) if keys is None else keys) + (piece.frame << _KEY_BITS)
    times = schedule(rule.steps, shift=rule.shift)
    if piece.before is None or rule.hold == 0:
        start = pure_noise(paths[modality], (batch, slots), noise, keys=keys)
    else:
        start = _blurred_by_key(paths[modality], piece.before, rule.hold, (noise, keys))
        times = torch.cat([times.new_tensor([rule.hold]), times[times > rule.hold]])
    real = torch.ones(batch, slots, dtype=torch.bool, device=start.device)

    readers, warm = readers_of(model, condition, rule), temperature_of(rule, modality)

    def predict(tokens: Tensor, _t: float, uniform: Tensor) -> Tensor:
        target = Part(modality, tokens, real, target=True, frame=piece.frame)
        hidden = [reader(target).flatten(0, 1) for reader in readers]
        numbers = uniform.flatten(0, 1)

        choose = chooser(paths[modality], numbers, rule, temperature=warm)
        return model.drawn(modality, hidden, choose).view_as(tokens)

    return sample(
        paths[modality],
        predict,
        start,
        times,
        noise,
        keys=keys,
        rule=rule.step_rule,
    )


def temperature_of(rule: GenerateRule, modality: Modality) -> float:
    """The temperature that a rule stands for."""
    if rule.temperature is not None:
        return rule.temperature
    return 0.0 if modality is Modality.TEXT else 1.0


def readers_of(model: FlowModel, condition: Sequence[Part], rule: GenerateRule) -> list[Reader]:
    """Readers of the answer beside the condition and, for guidance, beside none."""
    readers = [Reader(model, condition, rule.cache())]
    if rule.guidance != 1:
        nothing = torch.ones_like(condition[0].real[:, 0])
        readers.append(Reader(model, condition, rule.cache(), dropped=nothing))
    return readers


def chooser(
    paths: Sequence[MetricPath], uniform: Tensor, rule: GenerateRule, *, temperature: float
) -> Callable[[Sequence[Tensor], int], Tensor]:
    """What draws a book's tokens from the logits of each reader, with the numbers of its rows."""

    def choose(logits: Sequence[Tensor], book: int) -> Tensor:
        mixed = logits[0]
        if len(logits) > 1:
            mixed = guided(logits[0], logits[1], rule.guidance)
        mixed = _supported(mixed, paths[book])
        return draw(mixed, uniform[:, book], temperature=temperature)

    return choose


def _blurred_by_key(
    paths: Sequence[MetricPath], clean: Tensor, time: float, noise: tuple[KeyedNoise, Tensor]
) -> Tensor:
    """Tokens noised back to one time, with the noise of their rows' keys."""
    numbers = noise[0].uniform(noise[1], (_HOLD,), tuple(clean.shape[1:]))
    books = [
        path.sample(
            clean[..., m],
            torch.full(clean.shape[:2], time, dtype=path.dtype, device=clean.device),
            numbers[..., m],
        )
        for m, path in enumerate(paths)
    ]
    return torch.stack(books, dim=-1)


def _supported(logits: Tensor, path: MetricPath) -> Tensor:
    """Control tokens and dead codes are never drawn."""
    if path.support is None:
        return logits
    return logits.masked_fill(~path.support, float("-inf"))


@torch.no_grad()
def text_slots(
    model: FlowModel,
    paths: Paths,
    condition: Sequence[Part],
    *,
    end: int,
    rule: GenerateRule | None = None,
) -> int:
    """How many slots the batch's texts need: the fewest blocks in which all surely end.

    Each length costs one call of the model, on noise.

    Args:
        model: The model.
        paths: The noise of each kind's books.
        condition: Clean parts.
        end: The id of `<EOS>`.
        rule: How long a block is, and how sure is sure.
    """
    rule = rule or GenerateRule()
    batch = len(condition[0].tokens)
    # A prompt that can't see the answer is the same beside all lengths.
    once = CacheRule(rule.attention, refresh=int(rule.attention == "full"))
    reader = Reader(model, condition, once)
    for blocks in range(1, rule.most_blocks):
        slots = blocks * rule.block
        tokens = pure_noise(paths[Modality.TEXT], (batch, slots), KeyedNoise(rule.seed))
        real = torch.ones(batch, slots, dtype=torch.bool)
        hidden = reader(Part(Modality.TEXT, tokens, real, target=True))
        words = model.logits(Modality.TEXT, hidden.flatten(0, 1), tokens.flatten(0, 1))[0]
        ends = words.softmax(dim=-1)[:, end].view(batch, slots)
        if bool((ends.amax(dim=1) >= rule.sure).all()):
            return slots
    return rule.most_blocks * rule.block
