"""Exact noise for large vocabularies without looking at all of it: rejection from near tokens.

Noising a token of K words costs K distances when the law is written out. Here each token's nearest
ones are known beforehand; the rest of the vocabulary is no nearer than the last of them, which
bounds its weight. A few tries, of one distance each, give a draw from the same law.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .flow_path import LAST_TIME, MetricPath

_TRIES = 8  # drawn at once for every token that is still undecided


class NeighbourNoise:
    """Draws `x_t ~ p_t(. | x1)` of one vocabulary.

    With near tokens N of x1 and the largest distance among them, r, a try takes a token of N with
    weight `exp(-beta d)`, or any token with weight `exp(-beta r)`, which counts if it is not of N
    and then with probability `exp(-beta (d - r))`.

    Args:
        path: The vocabulary's noise.
        count: Near tokens kept for each token, itself included.
    """

    def __init__(self, path: MetricPath, *, count: int = 64) -> None:
        self.path = path
        self.support = path.tokens()
        count = min(count, len(self.support))
        near: list[Tensor] = []
        far: list[Tensor] = []
        every = torch.arange(path.size, device=self.support.device)
        for part in every.split(path.chunk):
            best = path.distances(part).topk(count, dim=-1, largest=False)
            near.append(best.indices.int())
            far.append(best.values)
        self.near = torch.cat(near)
        self.distance = torch.cat(far)

    def sample(
        self,
        clean: Int[Tensor, "*shape"],
        t: Float[Tensor, "*shape"],
        generator: torch.Generator,
    ) -> Int[Tensor, "*shape"]:
        """Noised tokens.

        Args:
            clean: Clean tokens.
            t: Times in [0, 1); they are cut at 0.999.
            generator: Where randomness comes from.
        """
        flat = clean.reshape(-1)
        beta = self.path.beta(t.reshape(-1).clamp(max=LAST_TIME).to(self.distance.dtype))
        out = torch.empty_like(flat)
        left = torch.arange(len(flat), device=flat.device)
        while len(left):
            found, token = self._try(flat[left], beta[left], generator)
            out[left[found]] = token[found]
            left = left[~found]
        return out.view_as(clean)

    def _try(self, clean: Tensor, beta: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Which rows are decided by a few tries each, and the token of the first that counts."""
        rows = len(clean)
        distance = self.distance[clean]
        edge = distance[:, -1:]
        weights = torch.exp(-beta[:, None] * distance)
        rest = len(self.support) * torch.exp(-beta[:, None] * edge)
        sums = weights.cumsum(dim=1)
        numbers = torch.rand(
            3, rows, _TRIES, generator=generator, device=clean.device, dtype=distance.dtype
        )
        goal = numbers[0] * (sums[:, -1:] + rest)
        is_near = goal < sums[:, -1:]
        at = torch.searchsorted(sums, goal, right=True).clamp(max=distance.shape[1] - 1)
        near = self.near[clean].long()
        nearby = near.gather(1, at)
        anywhere = self.support[
            (numbers[1] * len(self.support)).long().clamp(max=len(self.support) - 1)
        ]
        known = (near[:, None] == anywhere[..., None]).any(dim=-1)
        apart = self.path.between(clean[:, None].expand_as(anywhere), anywhere)
        accepted = numbers[2] < torch.exp(-beta[:, None] * (apart - edge))
        counts = is_near | (~known & accepted)
        token = torch.where(is_near, nearby, anywhere)
        first = counts.int().argmax(dim=1, keepdim=True)
        return counts.any(dim=1), token.gather(1, first)[:, 0]
