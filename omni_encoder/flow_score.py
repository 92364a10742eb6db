"""What a flow says of given tokens: its training loss, bounds on their likelihood, ranking scores.

A denoiser is a callable that returns logits of the clean tokens; nothing here knows the model.
Scores of a query q and a candidate x (S0, the cosine of `<EOS>` features, comes from the index):
    S1  likelihood of the query's tokens, denoised beside the clean candidate;
    S2  likelihood of the candidate's tokens beside the query, less that beside nothing;
    S3  S1 or S2 with the bound of the kinetic-optimal path in place of the cross-entropy;
    S4  a blend of S0 with one of them inside a candidate list.
Never rank by the raw likelihood of candidates: it prefers easy ones.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from .flow_noise import KeyedNoise
from .flow_path import MetricPath

Tokens = Int[Tensor, "rows slots books"]
# Takes noised tokens, clean tokens (for heads that read the true lower codes), a time a row, and
# which rows of the whole list they are; gives logits [rows, slots, size], one for each book.
Denoiser = Callable[[Tensor, Tensor, Tensor, Tensor], Sequence[Tensor]]
Measure = Literal["cross-entropy", "bound"]
_TIME, _NOISE = 1, 2  # what random numbers are for
FIRST_TIME, BOUND_TIME = 0.01, 0.99
_SMALL = 1024  # a vocabulary whose size squared is soon computed
_EQUAL = 1e-9  # a smaller share of the largest score is rounding


def cross_entropy(
    logits: Sequence[Float[Tensor, "rows slots _"]],
    clean: Tokens,
    target: Bool[Tensor, "rows slots"],
) -> Float[Tensor, ""]:
    """The training loss: nats a target slot, summed over books (NExT-OMNI; FUDOKI, equation 6).

    `L = E[-sum_i log p(x1_i | x_t)]`, not weighted by time. Zero if there is no target slot.

    Args:
        logits: Of each book's clean codes.
        clean: Clean tokens.
        target: Slots that were noised and count.
    """
    losses = [
        functional.cross_entropy(book[target].float(), clean[..., m][target], reduction="sum")
        for m, book in enumerate(logits)
    ]
    return torch.stack(losses).sum() / target.sum().clamp(min=1)


def bound_integrand(
    path: MetricPath,
    noised: Int[Tensor, " rows"],
    clean: Int[Tensor, " rows"],
    guess: Float[Tensor, "rows size"],
    t: Float[Tensor, " rows"],
    *,
    top: int | None = None,
) -> Float[Tensor, " rows"]:
    """The rate, over beta, at which the bound of the kinetic-optimal path loses likelihood.

    `sum_y [ r log(r / r') - r + r' ]` over tokens y other than z = x_t, with r the velocity towards
    the clean token and r' its mean under the model's guess; beta' is factored out of both. At
    least zero, and zero for a guess that is sure and right.

    Args:
        path: The vocabulary's noise.
        noised: z.
        clean: x1.
        guess: The model's `log p(. | x_t)`.
        t: Times in [0, 1).
        top: Take the mean over so many likeliest guesses only, made to sum to one: cheaper than the
            whole, which takes size squared, but then no bound of the model itself.
    """
    true = path.velocity(noised, clean, t)
    whole = top is None or top >= path.size
    if whole and path.size <= _SMALL and bool((t == t[:1]).all()) and len(t):
        mean = path.mean_velocity(noised, guess.exp(), t[0])
    else:
        mean = _mean_velocity(path, noised, guess.exp(), t, None if whole else top)
    tiny = torch.finfo(mean.dtype).tiny
    ratio = true.clamp(min=tiny).log() - mean.clamp(min=tiny).log()
    return (torch.where(true > 0, true * ratio, 0) - true + mean).sum(dim=-1)


def _mean_velocity(
    path: MetricPath, noised: Tensor, chosen: Tensor, t: Tensor, top: int | None
) -> Tensor:
    """The mean over all guesses, or over the `top` likeliest; rows may have times of their own."""
    mean = torch.zeros_like(chosen)
    if top is None:
        columns = torch.arange(path.size, device=chosen.device).expand_as(chosen)
    else:
        chosen, columns = chosen.topk(top, dim=-1)
        chosen = chosen / chosen.sum(dim=-1, keepdim=True)
    # One guess after the other: size squared numbers a row would not fit.
    for at in range(columns.shape[1]):
        column = columns[:, at]
        mean += chosen[:, at, None] * path.velocity(noised, column, t)
    return mean


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """How likelihoods are estimated.

    Attributes:
        draws: Noise draws, at times spread evenly over [0, 1].
        measure: `cross-entropy`, the mean of log p(x1 | x_t), ranks best with an imperfect model;
            `bound` is a lower bound of the log-likelihood.
        batch: Rows a call of the denoiser.
        top: See `bound_integrand`.
        seed: Of the noise.
    """

    draws: int = 4
    measure: Measure = "cross-entropy"
    batch: int = 32
    top: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 1 or self.batch < 1:
            raise ValueError(f"draws and batch must be at least 1, got {self.draws}, {self.batch}")


@torch.no_grad()
def log_likelihood(
    paths: Sequence[MetricPath],
    denoise: Denoiser,
    clean: Tokens,
    *,
    keys: Int[Tensor, " rows"],
    target: Bool[Tensor, "rows slots"] | None = None,
    rule: ScoreRule | None = None,
) -> Float[Tensor, " rows"]:
    """How likely tokens are, in nats, summed over target slots and books.

    Args:
        paths: The noise of each book.
        denoise: The model.
        clean: Tokens to be judged.
        keys: Of the noise: rows with equal keys share their noise, so that they can be compared.
            The batch a row lands in has no influence.
        target: Slots that count; None counts all. The others stay clean.
        rule: How to estimate; see `ScoreRule`.
    """
    rule = rule or ScoreRule()
    target = torch.ones_like(clean[..., 0], dtype=torch.bool) if target is None else target
    total = torch.zeros(len(clean), dtype=torch.float64, device=clean.device)
    for draw in range(rule.draws):
        for rows in torch.arange(len(clean), device=clean.device).split(rule.batch):
            part = _Part(clean[rows], target[rows], keys[rows], rows)
            estimate = _bound if rule.measure == "bound" else _cross_entropy
            total[rows] += estimate(paths, denoise, part, draw, rule)
    return total / rule.draws


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    clean: Tensor
    target: Tensor
    keys: Tensor
    rows: Tensor

    def share(self, draw: int, rule: ScoreRule) -> Tensor:
        """Stratified: a number in [draw / draws, (draw + 1) / draws) for each row."""
        number = KeyedNoise(rule.seed).uniform(self.keys, (_TIME, draw), ())
        return (draw + number) / rule.draws

    def noised(
        self, paths: Sequence[MetricPath], t: Tensor, stream: tuple[int, ...], seed: int
    ) -> Tensor:
        """The tokens at times `t` of the rows."""
        numbers = KeyedNoise(seed).uniform(self.keys, stream, tuple(self.clean.shape[1:]))
        books = [
            path.sample(
                self.clean[..., m],
                t.to(path.dtype)[:, None].expand(self.clean.shape[:2]),
                numbers[..., m],
            )
            for m, path in enumerate(paths)
        ]
        return torch.where(self.target[..., None], torch.stack(books, dim=-1), self.clean)


def _log_probs(denoise: Denoiser, part: _Part, noised: Tensor, t: Tensor) -> list[Tensor]:
    logits = denoise(noised, part.clean, t, part.rows)
    # In the logits' own precision, at least single: a vocabulary of words is wide.
    return [
        book.log_softmax(dim=-1, dtype=torch.promote_types(book.dtype, torch.float32))
        for book in logits
    ]


def _right(part: _Part, guesses: Sequence[Tensor]) -> Tensor:
    """Log p of the clean tokens, summed over target slots and books."""
    books = [guess.gather(-1, part.clean[..., m, None])[..., 0] for m, guess in enumerate(guesses)]
    return (torch.stack(books).sum(dim=0) * part.target).sum(dim=1)


def _cross_entropy(
    paths: Sequence[MetricPath], denoise: Denoiser, part: _Part, draw: int, rule: ScoreRule
) -> Tensor:
    t = FIRST_TIME + (BOUND_TIME - FIRST_TIME) * part.share(draw, rule)
    noised = part.noised(paths, t, (_NOISE, draw), rule.seed)
    return _right(part, _log_probs(denoise, part, noised, t))


def _bound(
    paths: Sequence[MetricPath], denoise: Denoiser, part: _Part, draw: int, rule: ScoreRule
) -> Tensor:
    """One draw of the bound: the path up to T, and what is left at T.

    The integral over t of beta' f becomes one of s = t^a, in which beta' has no pole at 0.
    """
    a, c = paths[0].a, [path.c for path in paths]
    if any(path.a != a for path in paths):
        raise ValueError("all paths of one row must share the shape of the schedule, a")
    end = BOUND_TIME**a
    t = (end * part.share(draw, rule)) ** (1 / a)
    noised = part.noised(paths, t, (_NOISE, draw), rule.seed)
    guesses = _log_probs(denoise, part, noised, t)
    times = t[:, None].expand(part.target.shape)[part.target]
    row = torch.nonzero(part.target)[:, 0]
    lost = torch.zeros(len(part.clean), dtype=torch.float64, device=part.clean.device)
    for m, path in enumerate(paths):
        integrand = bound_integrand(
            path,
            noised[..., m][part.target],
            part.clean[..., m][part.target],
            guesses[m][part.target].to(path.dtype),
            times.to(path.dtype),
            top=rule.top,
        )
        weight = end * c[m] / (1 - times) ** (a + 1)
        lost.index_add_(0, row, weight * integrand.double())
    last = torch.full_like(t, BOUND_TIME)
    end_noised = part.noised(paths, last, (_NOISE, draw, 1), rule.seed)
    return _right(part, _log_probs(denoise, part, end_noised, last)) - lost


def query_likelihood(
    paths: Sequence[MetricPath],
    denoise: Denoiser,
    query: Int[Tensor, "slots books"],
    *,
    candidates: int,
    key: int,
    rule: ScoreRule | None = None,
) -> Float[Tensor, " candidates"]:
    """S1 (S3 with `bound`): how likely the query is beside each candidate.

    The query is the same for all, so its own likelihood needs no correction, and all share the
    noise.

    Args:
        paths: The noise of each of the query's books.
        denoise: The model; its last argument says which candidates stand clean beside the query.
        query: The query's tokens.
        candidates: How many there are.
        key: Of the query.
        rule: How to estimate.
    """
    rows = query.expand(candidates, *query.shape)
    keys = torch.full((candidates,), key, device=query.device)
    return log_likelihood(paths, denoise, rows, keys=keys, rule=rule)


def candidate_information(
    paths: Sequence[MetricPath],
    beside_query: Denoiser,
    beside_nothing: Denoiser,
    candidates: Tokens,
    *,
    key: int,
    rule: ScoreRule | None = None,
) -> Float[Tensor, " candidates"]:
    """S2 (S3 with `bound`): how much likelier the query makes each candidate.

    Both likelihoods see the same noise, which cancels most of its scatter.

    Args:
        paths: The noise of each of the candidates' books.
        beside_query: The model given the query.
        beside_nothing: The model given the null condition.
        candidates: The candidates' tokens.
        key: Of the query.
        rule: How to estimate.
    """
    keys = torch.full((len(candidates),), key, device=candidates.device)
    given, free = (
        log_likelihood(paths, denoise, candidates, keys=keys, rule=rule)
        for denoise in (beside_query, beside_nothing)
    )
    return given - free


def blended(
    first: Float[Tensor, " candidates"], second: Float[Tensor, " candidates"], *, weight: float
) -> Float[Tensor, " candidates"]:
    """S4: `(1 - weight) z(first) + weight z(second)`, each made comparable inside the list.

    Scores that are all equal say nothing and count as zero.

    Raises:
        ValueError: `weight` is not in [0, 1].
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight must be in [0, 1], got {weight}")
    parts: list[Tensor] = []
    for scores in (first.double(), second.double()):
        away = scores - scores.mean()
        spread = away.square().mean().sqrt()
        told = spread > _EQUAL * scores.abs().max()  # what is less is rounding of the mean
        parts.append(torch.where(told, away / spread, 0))
    return (1 - weight) * parts[0] + weight * parts[1]
