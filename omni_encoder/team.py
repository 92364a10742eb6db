"""The processes that train one model together, as torch's launcher (`torchrun`) starts them.

Each has the whole model and its share of every batch; gradients are averaged over all rows.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

from .train_config import TrainingError

_PATIENCE = timedelta(hours=12)  # for what the first process makes alone


@dataclass(frozen=True, slots=True)
class Team:
    """A process's place among those that train together.

    Attributes:
        rank: Its number; 0 leads.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def share(self) -> slice:
        """The process's rows of a batch."""
        return slice(self.rank, None, self.size)

    @contextmanager
    def one_first(self) -> Generator[None]:
        """The leader goes through the block before the others do, who find what it left."""
        if self.size > 1 and self.rank:
            distributed.barrier()
        try:
            yield
        finally:
            if self.size > 1 and not self.rank:
                distributed.barrier()

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            distributed.barrier()

    def average(self, parameters: Iterable[Tensor], loss: Tensor, weight: int) -> float:
        """Average gradients over processes.

        Args:
            parameters: Whose gradients; the same on every process.
            loss: The process's own loss, a mean.
            weight: Over how many slots.

        Returns:
            The loss of the whole batch.
        """
        if self.size == 1:
            return loss.item()
        grads = [p.grad for p in parameters if p.grad is not None]
        ends = torch.stack([loss.detach(), torch.ones_like(loss)]).float()
        flat = weight * torch.cat([*(grad.flatten() for grad in grads), ends])
        distributed.all_reduce(flat)
        flat = flat / flat[-1]
        for grad, own in zip(grads, flat.split([*(g.numel() for g in grads), 2])[:-1], strict=True):
            grad.copy_(own.view_as(grad))
        return flat[-2].item()


def team_size() -> int:
    """How many processes the launcher started; 1 without it, whatever the environment says."""
    return int(os.environ["WORLD_SIZE"]) if distributed.is_torchelastic_launched() else 1


def leads() -> bool:
    """Whether this process speaks for all."""
    return team_size() == 1 or os.environ["RANK"] == "0"


def device_of(name: str) -> torch.device:
    """The device of this process.

    Args:
        name: `cpu` or `cuda`; of several GPUs, each process takes its own.

    Raises:
        TrainingError: There is no such GPU.
    """
    if name == "cpu":
        return torch.device(name)
    number = int(os.environ.get("LOCAL_RANK", "0"))
    if number >= torch.cuda.device_count():
        raise TrainingError(
            f"{torch.cuda.device_count()} CUDA devices are there, and this is process {number + 1}",
            hint='set device = "cpu", or start no more processes than there are devices',
        )
    return torch.device(name, number)


@contextmanager
def team_on(device: torch.device) -> Generator[Team]:
    """Join the others that the launcher started, for the length of the block."""
    size = team_size()
    if size == 1:
        yield Team()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Team(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
