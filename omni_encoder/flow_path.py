"""The noise of discrete flow matching: metric-induced paths and their kinetic-optimal velocity.

A token x1 is blurred to tokens near it: `p_t(x | x1) = softmax(-beta_t d(x, x1))` with
`beta_t = c (t / (1 - t)) ** a`, uniform at t = 0 and x1 itself at t = 1 (NExT-OMNI, 2510.13721;
FUDOKI, 2505.20147, equation 4). Nothing here knows of a model.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

_CHUNK_NUMBERS = 1 << 24  # distances held at once
LAST_TIME = 0.999  # training's largest time (URSA); beyond it nothing is left to learn


class MetricPath:
    """The path of one vocabulary: words, or the codes of one codebook.

    Attributes:
        size: Tokens in the vocabulary, K.
        c: Sharpness; `calibrated` finds the right one for a vocabulary.
        a: Shape of the schedule.
    """

    def __init__(
        self,
        embeddings: Float[Tensor, "size dim"] | None,
        *,
        size: int | None = None,
        exponent: float = 2.0,
        c: float = 3.0,
        a: float = 0.9,
        support: Bool[Tensor, " size"] | None = None,
    ) -> None:
        """Make a path.

        Args:
            embeddings: One row a token, made unit length; `d(x, y) = |e_x - e_y| ** exponent`. None
                takes the discrete metric, `d = 1` between any two, which is the uniform mixture.
            size: The vocabulary's size, for the discrete metric.
            exponent: 2 as in URSA, 4 as in FUDOKI's code.
            c: Sharpness of the schedule, more than 0.
            a: Shape of the schedule, in (0, 1].
            support: Tokens that noise may produce. Control tokens and dead codes are left out;
                isolated ones (`<EOS>`, `<PAD>`) want zero rows, which lie equally far from all.

        Raises:
            ValueError: A number is out of range, or neither embeddings nor a size are given.
        """
        if not 0 < c < math.inf or not 0 < a <= 1 or exponent <= 0:
            raise ValueError(
                "c must be positive and finite, exponent positive, and a in (0, 1], "
                f"got {c}, {exponent}, {a}"
            )
        if embeddings is None and (size is None or size < 2):
            raise ValueError(f"the discrete metric needs a size of at least 2, got {size}")
        self.embeddings = None if embeddings is None else functional.normalize(embeddings, dim=1)
        self.size = len(embeddings) if embeddings is not None else int(size or 0)
        self.exponent, self.c, self.a = exponent, c, a
        self.support = support
        alone = None if self.embeddings is None else self.embeddings.square().sum(dim=1) < 0.5
        self._alone = alone if alone is not None and bool(alone.any()) else None

    @property
    def dtype(self) -> torch.dtype:
        """Of distances and probabilities."""
        return torch.get_default_dtype() if self.embeddings is None else self.embeddings.dtype

    @property
    def chunk(self) -> int:
        """How many positions' whole rows are held at once."""
        return max(1, _CHUNK_NUMBERS // self.size)

    def tokens(self) -> Int[Tensor, " supported"]:
        """The tokens that noise may produce, in order."""
        if self.support is not None:
            return torch.nonzero(self.support)[:, 0]
        device = None if self.embeddings is None else self.embeddings.device
        return torch.arange(self.size, device=device)

    # The schedule.

    def beta(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """`beta_t` of times in [0, 1): 0 at 0, growing without bound."""
        return self.c * (t / (1 - t)) ** self.a

    def beta_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """`d beta_t / dt`; infinite at 0 when `a` < 1."""
        return self.c * self.a * t ** (self.a - 1) / (1 - t) ** (self.a + 1)

    # Distances and probabilities.

    def distances(self, tokens: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape size"]:
        """How far every token lies from each of `tokens`; infinite outside the support."""
        if self.embeddings is None:
            far = torch.ones(*tokens.shape, self.size, device=tokens.device)
        else:
            far = (2 - 2 * self.embeddings[tokens] @ self.embeddings.T).clamp_(min=0)
            if self.exponent != 2:
                far = far ** (self.exponent / 2)
            if self._alone is not None:
                # Isolated tokens have no direction: they are as far as opposite ones.
                far[..., self._alone] = 2.0**self.exponent
                far[self._alone[tokens]] = 2.0**self.exponent
        if self.support is not None:
            far[..., ~self.support] = float("inf")
        return far.scatter_(-1, tokens[..., None], 0)

    def between(
        self, left: Int[Tensor, "*shape"], right: Int[Tensor, "*shape"]
    ) -> Float[Tensor, "*shape"]:
        """Distances of single pairs, without the whole rows; infinite where `right` is barred."""
        if self.embeddings is None:
            far = torch.ones(left.shape, device=left.device)
        else:
            cosine = (self.embeddings[left] * self.embeddings[right]).sum(dim=-1)
            far = (2 - 2 * cosine).clamp(min=0) ** (self.exponent / 2)
            if self._alone is not None:
                far = torch.where(self._alone[left] | self._alone[right], 2.0**self.exponent, far)
        if self.support is not None:
            far = torch.where(self.support[right], far, float("inf"))
        return torch.where(left == right, 0.0, far)

    def log_probs(
        self, clean: Int[Tensor, "*shape"], t: Float[Tensor, "*shape"]
    ) -> Float[Tensor, "*shape size"]:
        """`log p_t(x | x1)` of every token x, for clean tokens x1 at times in [0, 1)."""
        distances = self.distances(clean)
        return _weighted(distances, self.beta(t)).log_softmax(dim=-1)

    def sample(
        self,
        clean: Int[Tensor, "*shape"],
        t: Float[Tensor, "*shape"],
        uniform: Float[Tensor, "*shape"],
    ) -> Int[Tensor, "*shape"]:
        """Noised tokens `x_t ~ p_t(. | x1)`, by inversion: the same uniforms, the same noise.

        Args:
            clean: Clean tokens.
            t: Times in [0, 1); they are cut at 0.999.
            uniform: A number in [0, 1) for each token.
        """
        flat, numbers = clean.reshape(-1), uniform.reshape(-1)
        times = t.reshape(-1).clamp(max=LAST_TIME)
        out = torch.empty_like(flat)
        for start in range(0, len(flat), self.chunk):
            part = slice(start, start + self.chunk)
            out[part] = inverse(self.log_probs(flat[part], times[part]).exp(), numbers[part])
        return out.view_as(clean)

    def velocity(
        self,
        at: Int[Tensor, "*shape"],
        clean: Int[Tensor, "*shape"],
        t: Float[Tensor, "*shape"],
    ) -> Float[Tensor, "*shape size"]:
        """Kinetic-optimal rates of jumping from z to x, without the factor `beta'_t`.

        `u_t(x, z | x1) / beta'_t = p_t(x | x1) [d(z, x1) - d(x, x1)]_+` (FUDOKI, equation 5): never
        away from x1, zero where x is z. Leaving `beta'_t` out keeps it finite at t = 0.
        """
        distances = self.distances(clean)
        return gains(distances, at) * _weighted(distances, self.beta(t)).softmax(dim=-1)

    def mean_velocity(
        self,
        at: Int[Tensor, " rows"],
        guess: Float[Tensor, "rows size"],
        t: Float[Tensor, ""],
    ) -> Float[Tensor, "rows size"]:
        """`sum_k guess(k) u_t(., z | k) / beta'_t` at one time for all rows.

        For small vocabularies: what depends on k and x alone is computed once, the rest once for
        each token z that there is and not for each row. Size squared numbers are held.

        Args:
            at: z.
            guess: Probabilities of the clean token.
            t: In [0, 1).
        """
        every = torch.arange(self.size, device=at.device)
        distances = self.distances(every)
        likely = _weighted(distances, self.beta(t).expand(self.size)).softmax(dim=-1)
        mean = torch.zeros_like(guess)
        for token in at.unique():
            rates = gains(distances, token.expand(self.size)) * likely
            rows = at == token
            mean[rows] = guess[rows] @ rates
        return mean

    def calibrated(self, *, share: float = 0.3, most: int = 512) -> "MetricPath":
        """The same path with the `c` at which half-way tokens are clean with this probability.

        At t = 0.5 `beta` is `c`, so the search needs no time. The published c = 3 suits one
        vocabulary and one exponent only.

        Args:
            share: Mean of `p_0.5(x1 | x1)` wanted.
            most: How many tokens, spread evenly, stand for the vocabulary.
        """
        every = self.tokens()
        some = every[:: max(1, len(every) // most)]
        distances = torch.cat([self.distances(part) for part in some.split(self.chunk)])
        low, high = 1e-3, 1e4
        for _ in range(60):
            middle = (low * high) ** 0.5
            clean = _weighted(
                distances, torch.full((len(some),), middle, device=some.device)
            ).softmax(dim=-1)
            mean = clean.gather(1, some[:, None]).mean().item()
            low, high = (middle, high) if mean < share else (low, middle)
        return MetricPath(
            self.embeddings,
            size=self.size,
            exponent=self.exponent,
            c=(low * high) ** 0.5,
            a=self.a,
            support=self.support,
        )


def gains(
    distances: Float[Tensor, "*shape size"], at: Int[Tensor, "*shape"]
) -> Float[Tensor, "*shape size"]:
    """`[d(z, x1) - d(x, x1)]_+`: how much nearer to x1 each token is than z."""
    here = distances.gather(-1, at[..., None])
    # A token outside the support is never a goal; standing on one, any move is as good.
    here = here.nan_to_num(posinf=torch.finfo(here.dtype).max ** 0.25)
    return (here - distances).clamp(min=0)


def inverse(
    probabilities: Float[Tensor, "rows size"], uniform: Float[Tensor, " rows"]
) -> Int[Tensor, " rows"]:
    """The token at which the running sum of probabilities passes each uniform number."""
    sums = probabilities.double().cumsum(dim=1)
    goal = uniform.double()[:, None] * sums[:, -1:]
    found = torch.searchsorted(sums, goal, right=True)[:, 0]
    # A number so near to 1 that rounding passes the end gets the last possible token.
    numbers = torch.arange(probabilities.shape[1], device=probabilities.device)
    last = torch.where(probabilities > 0, numbers, 0).amax(dim=1)
    return torch.minimum(found, last)


def _weighted(
    distances: Float[Tensor, "*shape size"], beta: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape size"]:
    """`-beta d`, with infinite distances kept out even at `beta` = 0."""
    far = torch.isinf(distances)
    return torch.where(far, float("-inf"), -beta[..., None] * distances.masked_fill(far, 0))
