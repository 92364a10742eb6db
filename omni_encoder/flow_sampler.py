"""Drawing from a discrete flow: step rules of its Markov chain, schedules, guidance.

Tokens are int64 [batch, slots, books]: a text slot has one book, a media slot one for each
codebook, and `paths[m]` is the noise of book m. The model is a callable; nothing here knows it.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .flow_noise import KeyedNoise
from .flow_path import MetricPath, inverse

StepRule = Literal["midpoint", "euler"]
Tokens = Int[Tensor, "batch slots books"]
# The model: takes noised tokens, the time, and a uniform number for each token; gives clean tokens
# drawn from `p_{1|t}(. | x_t)` with these numbers.
Predictor = Callable[[Tensor, float, Tensor], Tensor]
_START, _MODEL, _JUMP = 1, 2, 3  # what random numbers are for


def schedule(steps: int, *, shift: float = 1.0) -> Float[Tensor, " steps_and_1"]:
    """Times from 0 to 1: even ones, bent by `t <- 1 - s (1 - t) / (1 + (s - 1) (1 - t))` (URSA).

    Args:
        steps: How many steps, at least 1.
        shift: s; above 1 spends more steps near t = 0, where noise is.

    Raises:
        ValueError: `steps` is less than 1 or `shift` not positive.
    """
    if steps < 1 or shift <= 0:
        raise ValueError(
            f"steps must be at least 1 and shift positive, got steps {steps}, shift {shift}"
        )
    left = 1 - torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    return 1 - shift * left / (1 + (shift - 1) * left)


def guided(
    conditional: Float[Tensor, "*shape size"], free: Float[Tensor, "*shape size"], scale: float
) -> Float[Tensor, "*shape size"]:
    """Classifier-free guidance of logits: `free + scale (conditional - free)`; 1 changes nothing.

    Both sides are normalised first, so that a constant added to one has no say.
    """
    conditional, free = conditional.log_softmax(dim=-1), free.log_softmax(dim=-1)
    return free + scale * (conditional - free)


def draw(
    logits: Float[Tensor, "*shape size"],
    uniform: Float[Tensor, "*shape"],
    *,
    temperature: float = 1.0,
    top: int | None = None,
) -> Int[Tensor, "*shape"]:
    """Tokens drawn from softmax(logits / temperature); temperature 0 takes the likeliest.

    Args:
        logits: Of the clean token.
        uniform: A number in [0, 1) for each token.
        temperature: Not negative.
        top: Draw only among so many likeliest ones; those equal to the last of them count too.

    Raises:
        ValueError: The temperature is negative or `top` less than 1.
    """
    if temperature < 0 or (top is not None and top < 1):
        raise ValueError(
            f"temperature must be >= 0 and top >= 1, got temperature {temperature}, top {top}"
        )
    if temperature == 0 or top == 1:
        return logits.argmax(dim=-1)
    scaled = logits.float() / temperature
    if top is not None and top < scaled.shape[-1]:
        least = scaled.topk(top, dim=-1).values[..., -1:]
        scaled = scaled.masked_fill(scaled < least, float("-inf"))
    flat = scaled.softmax(dim=-1).flatten(0, -2)
    return inverse(flat, uniform.reshape(-1)).view(logits.shape[:-1])


def step_rates(
    path: MetricPath,
    at: Int[Tensor, "*shape"],
    clean: Int[Tensor, "*shape"],
    span: tuple[float, float],
    *,
    rule: StepRule = "midpoint",
) -> Float[Tensor, "*shape size"]:
    """The expected number of jumps to each token during one step: rates, integrated over it.

    Args:
        path: The vocabulary's noise.
        at: Where tokens are, x_t.
        clean: Where they are drawn to, x1 drawn from the model.
        span: From which time to which, 0 <= from < to < 1.
        rule: `euler` is the published step, `h beta'_t` with probabilities at t; it does nothing at
            t = 0, where beta' is infinite. `midpoint` takes the true growth of beta and the
            probabilities half-way: the same cost, several times nearer to the law.
    """
    start, end = span
    if rule == "euler":
        time = start
        factor = 0.0 if start == 0 else (end - start) * path.beta_rate(_double(start)).item()
    else:
        time = (start + end) / 2
        factor = (path.beta(_double(end)) - path.beta(_double(start))).item()
    times = torch.full(at.shape, time, device=at.device, dtype=path.dtype)
    return factor * path.velocity(at, clean, times)


def _double(t: float) -> Tensor:
    return torch.tensor(t, dtype=torch.float64)


def jump(
    path: MetricPath,
    at: Int[Tensor, "*shape"],
    clean: Int[Tensor, "*shape"],
    span: tuple[float, float],
    uniform: Float[Tensor, "2 ..."],
    *,
    rule: StepRule = "midpoint",
) -> Int[Tensor, "*shape"]:
    """One step of the chain: every token jumps with probability `1 - exp(-rate)`, else stays.

    Args:
        path: The vocabulary's noise.
        at: Where tokens are, x_t.
        clean: Where they are drawn to.
        span: From which time to which, 0 <= from < to < 1.
        uniform: Numbers in [0, 1): whether to jump, and where to.
        rule: See `step_rates`.
    """
    flat, goal = at.reshape(-1), clean.reshape(-1)
    whether, where = uniform[0].reshape(-1), uniform[1].reshape(-1)
    out = flat.clone()
    # A token that stands on its goal has rate zero; it never goes into the draw.
    for part in torch.nonzero(flat != goal)[:, 0].split(path.chunk):
        rates = step_rates(path, flat[part], goal[part], span, rule=rule)
        total = rates.sum(dim=-1)
        moves = (whether[part] < -torch.expm1(-total)) & (total > 0)
        if bool(moves.any()):
            out[part[moves]] = inverse(rates[moves], where[part[moves]])
    return out.view_as(at)


def step_law(
    path: MetricPath,
    at: Int[Tensor, " rows"],
    clean: Int[Tensor, " rows"],
    span: tuple[float, float],
    *,
    rule: StepRule = "midpoint",
) -> Float[Tensor, "rows size"]:
    """The law of one `jump` in closed form."""
    rates = step_rates(path, at, clean, span, rule=rule)
    total = rates.sum(dim=-1, keepdim=True)
    moved = -torch.expm1(-total) * rates / total.clamp(min=torch.finfo(rates.dtype).tiny)
    return moved.scatter_add(-1, at[:, None], torch.exp(-total))


@torch.no_grad()
def sample(
    paths: Sequence[MetricPath],
    predict: Predictor,
    start: Tokens,
    times: Float[Tensor, " steps_and_1"],
    noise: KeyedNoise,
    *,
    keys: Int[Tensor, " batch"] | None = None,
    free: Bool[Tensor, "batch slots"] | None = None,
    rule: StepRule = "midpoint",
) -> Tokens:
    """Denoise tokens: the model is asked once a step, all slots move together.

    Args:
        paths: The noise of each book.
        predict: The model: clean tokens drawn given noised ones, the time, and random numbers.
        start: Tokens at the first time; noise in the free slots, see `pure_noise`.
        times: From `schedule`.
        noise: Where random numbers come from.
        keys: Of the rows; a row's result depends on its key, not on its batch. By default 0, 1, ...
        free: Slots that may change; the others are the condition and stay. None frees all.
        rule: See `step_rates`.

    Returns:
        Clean tokens. The last step takes the model's draw whole.
    """
    tokens = start.clone()
    keys = _keys(start, keys)
    held = torch.zeros_like(start[..., 0], dtype=torch.bool) if free is None else ~free
    shape = (start.shape[1], start.shape[2])
    for step in range(len(times) - 1):
        numbers = noise.uniform(keys, (_MODEL, step), shape)
        clean = predict(tokens, times[step].item(), numbers)
        if step == len(times) - 2:
            moved = clean
        else:
            span = (times[step].item(), times[step + 1].item())
            pairs = torch.stack(
                [noise.uniform(keys, (_JUMP, step, part), shape) for part in range(2)]
            )
            books = [
                jump(path, tokens[..., m], clean[..., m], span, pairs[..., m], rule=rule)
                for m, path in enumerate(paths)
            ]
            moved = torch.stack(books, dim=-1)
        tokens = torch.where(held[..., None], start, moved)
    return tokens


def pure_noise(
    paths: Sequence[MetricPath],
    shape: tuple[int, int],
    noise: KeyedNoise,
    *,
    keys: Int[Tensor, " batch"] | None = None,
) -> Tokens:
    """Tokens at t = 0: uniform over each book's support, [batch, slots, books]."""
    batch, slots = shape
    keys = torch.arange(batch) if keys is None else keys
    numbers = noise.uniform(keys, (_START,), (slots, len(paths)))
    books: list[Tensor] = []
    for m, path in enumerate(paths):
        support = path.tokens().to(keys.device)
        at = (numbers[..., m] * len(support)).long().clamp(max=len(support) - 1)
        books.append(support[at])
    return torch.stack(books, dim=-1)


def _keys(start: Tokens, keys: Tensor | None) -> Tensor:
    return torch.arange(len(start), device=start.device) if keys is None else keys
