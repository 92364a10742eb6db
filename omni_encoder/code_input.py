"""Codes of pictures and sounds as they enter the backbone: with their surroundings and places."""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from .types import Modality

_AROUND = 5  # slots that enter together along a row, and along a column
_PLACE = 0.2  # how large places are: about as large as code vectors


def grid_places(grid: tuple[int, int], width: int) -> Float[Tensor, "slots width"]:
    """Where each slot lies: sinusoids of its row, then of its column, of periods from 6 slots on.

    Fixed at the start and trained on. Small random numbers, as for words, stay a tenth of what
    codes bring, and pictures come out as tiles in no order.
    """
    halves: list[Tensor] = []
    for number, size in ((0, width // 2), (1, width - width // 2)):
        rates = 100.0 ** -torch.linspace(0, 1, -(-size // 2))
        angles = torch.arange(grid[number])[:, None] * rates
        halves.append(torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :size])
    rows, columns = halves
    tall, wide = grid
    both = torch.cat([rows.repeat_interleave(wide, 0), columns.repeat(tall, 1)], dim=1)
    return _PLACE * both


class CodeInput(nn.Module):
    """Codes of one kind of media as tokens of the backbone's width.

    A slot enters with its own codes, those of the slots around it, and its place on the grid: a
    backbone that comes from text knows nothing of rows and columns.

    Args:
        codebooks: The code vectors.
        grid: Rows and columns of the slots; a sound is one row.
        width: Of the backbone.
    """

    def __init__(
        self, codebooks: Float[Tensor, "books codes dim"], grid: tuple[int, int], width: int
    ) -> None:
        super().__init__()
        self.grid = grid
        self.register_buffer("codebooks", functional.normalize(codebooks, dim=-1))
        entering = codebooks.shape[0] * codebooks.shape[2]
        self.project = nn.Linear(entering, width)
        tall = _AROUND if grid[0] > 1 else 1
        self.around = nn.Parameter(torch.zeros(width, entering, tall, _AROUND))
        self.positions = nn.Parameter(grid_places(grid, width))

    def forward(
        self, codes: Int[Tensor, "batch slots books"], *, causal: bool = False
    ) -> Float[Tensor, "batch slots width"]:
        """Embed codes, at most as many as the grid has slots; missing ones are as nothing.

        Args:
            codes: Row by row.
            causal: Whether a slot sees those before it only.
        """
        books = self.get_buffer("codebooks")
        vectors = books[torch.arange(len(books), device=codes.device), codes].flatten(2)
        slots, wide = vectors.shape[1], self.grid[1]
        rows = -(-slots // wide)
        laid = functional.pad(vectors, (0, 0, 0, rows * wide - slots))
        around = self.around * self._before() if causal else self.around
        seen = functional.conv2d(
            laid.transpose(1, 2).unflatten(2, (rows, wide)),
            around,
            padding=(around.shape[2] // 2, _AROUND // 2),
        )
        return (
            self.project(vectors)
            + seen.flatten(2).transpose(1, 2)[:, :slots]
            + self.positions[:slots]
        )

    def _before(self) -> Float[Tensor, "tall wide"]:
        """1 for slots around that come before the middle one."""
        tall, wide = self.around.shape[2:]
        numbers = torch.arange(tall * wide, device=self.around.device)
        return (numbers < tall * wide // 2).to(self.around.dtype).view(tall, wide)


def grid_of(modality: Modality, slots: int) -> tuple[int, int]:
    """Rows and columns of a kind's slots.

    Raises:
        ValueError: A picture's slots make no square.
    """
    if modality is not Modality.IMAGE:
        return 1, slots
    side = math.isqrt(slots)
    if side * side != slots:
        raise ValueError(f"a picture must have a square number of slots, got {slots}")
    return side, side
