"""Exact search by torch, on a CUDA device or a CPU: one matrix product a block of rows.

The scores that it gives are estimates, in half precision on a GPU; the caller computes the final
ones from the stored vectors, so results are those of any other exact search.
"""

import logging

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64

BLOCK_ROWS = 1_000_000

_log = logging.getLogger(__name__)


class TorchScan:
    """Rows held on a device."""

    def __init__(self, rows: Float32[np.ndarray, "rows dim"], device: str) -> None:
        """Copy the rows to a device.

        Args:
            rows: Unit rows, or rows of zeros.
            device: A device of torch's, such as `cuda` or `cpu`.
        """
        self._device = torch.device(device)
        # Half precision halves what a query reads; on a CPU products of it are slow.
        self._kind = torch.float16 if self._device.type == "cuda" else torch.float32
        self._rows = torch.from_numpy(rows).to(self._device, self._kind)

    @property
    def error(self) -> float:
        """How wrong an estimated score can be."""
        # Each of two factors is off by 2**-11 of itself, and unit rows' products sum to 1 at most.
        return 2e-3 if self._kind is torch.float16 else 1e-5

    def largest(
        self, query: Float32[np.ndarray, " dim"], count: int, mask: Bool[np.ndarray, " rows"] | None
    ) -> tuple[Int64[np.ndarray, " found"], Float32[np.ndarray, " found"]]:
        """The rows with the largest estimated inner products, best first.

        Args:
            query: Unit length.
            count: How many rows to return at most.
            mask: Which rows may be returned; None stands for all.
        """
        asked = torch.from_numpy(query).to(self._device, self._kind)
        allowed = None if mask is None else torch.from_numpy(mask).to(self._device)
        scores, numbers = list[torch.Tensor](), list[torch.Tensor]()
        for start in range(0, len(self._rows), BLOCK_ROWS):
            block = (self._rows[start : start + BLOCK_ROWS] @ asked).float()
            if allowed is not None:
                block[~allowed[start : start + BLOCK_ROWS]] = -torch.inf
            best, where = torch.topk(block, min(count, len(block)))
            scores.append(best)
            numbers.append(where + start)
        if not scores:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        best, where = torch.topk(torch.cat(scores), min(count, sum(map(len, scores))))
        rows = torch.cat(numbers)[where].cpu().numpy()
        found = best.cpu().numpy()
        there = np.isfinite(found)
        return rows[there], found[there]


def usable_device(wanted: str) -> str:
    """The device to search on: `cpu`, or `cuda` if it is wanted and there.

    Args:
        wanted: `auto`, `cpu` or `cuda`. One line is logged if `cuda` can't be had.
    """
    if wanted == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        _log.warning("there is no CUDA device, so the search runs on the CPU")
    return "cpu"
