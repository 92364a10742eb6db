"""Random numbers by key: what is drawn depends on its key alone, not on the batch it is drawn in.

A counter-based generator: each key is hashed to a number in [0, 1). So a re-ranker that scores the
same candidates in other batches, or a sampler that draws other items beside, sees the same noise.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int
from torch import Tensor

# Constants of splitmix64 (Steele, Lea and Flood, OOPSLA 2014), as signed numbers.
_STEP = 0x9E3779B97F4A7C15 - 2**64
_FIRST, _SECOND = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64


def _shifted(x: Tensor, bits: int) -> Tensor:
    """A logical right shift, which torch lacks for signed numbers."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mixed(x: Tensor) -> Tensor:
    x = x + _STEP
    x = (x ^ _shifted(x, 30)) * _FIRST
    x = (x ^ _shifted(x, 27)) * _SECOND
    return x ^ _shifted(x, 31)


@dataclass(frozen=True, slots=True)
class KeyedNoise:
    """Uniform numbers for keys.

    Attributes:
        seed: Of everything drawn.
    """

    seed: int = 0

    def uniform(
        self, keys: Int[Tensor, " rows"], stream: tuple[int, ...], shape: tuple[int, ...]
    ) -> Float64[Tensor, "rows ..."]:
        """Numbers in [0, 1) for each key and each place of `shape`.

        Args:
            keys: Which query or sample each row belongs to; equal keys get equal numbers.
            stream: What the numbers are for, such as the number of a draw or step.
            shape: Of a row. A place's number doesn't change when an axis gets longer.
        """
        state = _mixed(keys.long() ^ (self.seed & (2**63 - 1)))
        for part in stream:
            state = _mixed(state ^ part)
        for axis in shape:
            state = _mixed(state[..., None] ^ torch.arange(axis, device=state.device))
        return _shifted(state, 11).double() * 2.0**-53
