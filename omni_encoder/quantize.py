"""Multi-codebook quantization: a vector becomes one code in each of several small codebooks.

MCQ as in UniTok, which NExT-OMNI takes over (2510.13721, vision and audio quantizers): the latent
is cut into equal chunks, and each chunk goes to the nearest unit vector of its own codebook by
cosine. The codebooks' rows are also the metric of the flow's path (`omni_encoder.flow_path`).
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

_COMMITMENT = 0.25
_USAGE_DECAY = 0.97
_DEAD = 0.1  # a code used less than this share of an even use is dead


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """What quantization made of a batch of latents.

    Attributes:
        vectors: The chosen code vectors, chunks side by side, unit length each; gradients pass
            straight through to the latents.
        codes: The chosen codes, one for each codebook.
        loss: Codebook loss plus 0.25 times commitment loss, mean over codebooks.
    """

    vectors: Float[Tensor, "batch positions width"]
    codes: Int[Tensor, "batch positions books"]
    loss: Float[Tensor, ""]


class MultiCodebook(nn.Module):
    """Codebooks of unit vectors.

    Args:
        books: How many codebooks.
        codes: Entries of each.
        width: Length of a code vector; latents are `books * width` long.
    """

    def __init__(self, books: int, codes: int, width: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(functional.normalize(torch.randn(books, codes, width), dim=-1))
        # None is in use at first: the first revival puts all of them where the data is.
        self.register_buffer("usage", torch.zeros(books, codes), persistent=False)

    def vectors(self) -> Float[Tensor, "books codes width"]:
        """Unit code vectors."""
        return functional.normalize(self.rows, dim=-1)

    def forward(self, latents: Float[Tensor, "batch positions width"]) -> Quantized:
        """Quantize latents. Equal cosines go to the lower code."""
        books = self.vectors()
        chunks = functional.normalize(latents.unflatten(2, (len(books), -1)), dim=-1)
        codes = torch.einsum("bpmd,mkd->bpmk", chunks, books).argmax(dim=-1)
        chosen = self._chosen(books, codes)
        # Sums over a code vector's numbers, so that the loss doesn't fade with its length.
        pull = (chosen - chunks.detach()).square().sum(dim=-1).mean()
        commit = (chosen.detach() - chunks).square().sum(dim=-1).mean()
        passed = chunks + (chosen - chunks).detach()
        if self.training:
            self._count(codes)
        return Quantized(passed.flatten(2), codes, pull + _COMMITMENT * commit)

    def lookup(
        self, codes: Int[Tensor, "batch positions books"]
    ) -> Float[Tensor, "batch positions width"]:
        """The code vectors of codes, chunks side by side: `forward`'s vectors again."""
        return self._chosen(self.vectors(), codes).flatten(2)

    @staticmethod
    def _chosen(books: Tensor, codes: Tensor) -> Tensor:
        return books[torch.arange(len(books), device=codes.device), codes]

    @torch.no_grad()
    def _count(self, codes: Tensor) -> None:
        usage = self.get_buffer("usage")
        for book, row in enumerate(usage):
            counts = torch.bincount(codes[..., book].flatten(), minlength=len(row))
            row.lerp_(counts / counts.sum(), 1 - _USAGE_DECAY)

    @torch.no_grad()
    def revive(
        self, latents: Float[Tensor, "batch positions width"], generator: torch.Generator
    ) -> int:
        """Move dead codes onto latents of a batch, chosen at random; returns how many there were.

        A code is dead when its running share of use is below a tenth of an even share.
        """
        usage = self.get_buffer("usage")
        chunks = functional.normalize(latents.unflatten(2, (len(usage), -1)), dim=-1).flatten(0, 1)
        revived = 0
        for book, row in enumerate(usage):
            dead = torch.nonzero(row < _DEAD / len(row)).flatten()
            picked = torch.randint(len(chunks), (len(dead),), generator=generator)
            self.rows[book, dead] = chunks[picked, book]
            row[dead] = 1 / len(row)
            revived += len(dead)
        return revived


def perplexity(
    codes: Int[Tensor, "batch positions books"], *, size: int
) -> Float[Tensor, " books"]:
    """How many codes of each codebook are used in effect: exp of the entropy of their use.

    Args:
        codes: Codes of reference data.
        size: Entries of a codebook; the result lies in [1, size].
    """
    shares = torch.stack(
        [torch.bincount(book.flatten(), minlength=size) for book in codes.unbind(-1)]
    ).double()
    shares = shares / shares.sum(dim=1, keepdim=True)
    return torch.special.entr(shares).sum(dim=1).exp().float()
