"""The flow's objective: one noised sequence a row, and the cross-entropy of its clean tokens.

NExT-OMNI's loss (2510.13721; FUDOKI, 2505.20147, equation 6): each row is noised to a random time
along its tokens' paths, and the model guesses the clean ones. Noise is made on the CPU from one
generator, so it is the same for every device and any number of processes that share the rows.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from .flow_model import FlowModel, Part
from .flow_neighbours import NeighbourNoise
from .flow_path import MetricPath
from .flow_score import cross_entropy
from .types import Modality

Paths = Mapping[Modality, Sequence[MetricPath]]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True, eq=False)
class Noised:
    """A batch as the model is trained on it.

    Attributes:
        parts: The sequence; the tokens of its target part are noised.
        clean: Clean tokens of the target part.
        dropped: Rows whose condition is dropped, which guidance needs.
    """

    parts: Sequence[Part]
    clean: Int[Tensor, "batch slots books"]
    dropped: Bool[Tensor, " batch"]

    @property
    def target(self) -> Part:
        """The part that is guessed."""
        return next(part for part in self.parts if part.target)

    @property
    def slots(self) -> int:
        """How many slots count."""
        return int(self.target.real.sum())

    def rows(self, which: slice) -> "Noised":
        """Some of the rows."""
        parts = [
            replace(
                part,
                tokens=part.tokens[which],
                real=part.real[which],
                vectors=None if part.vectors is None else part.vectors[which],
            )
            for part in self.parts
        ]
        return Noised(parts, self.clean[which], self.dropped[which])

    def to(self, device: torch.device) -> "Noised":
        """The same on a device."""
        parts = [
            replace(
                part,
                tokens=part.tokens.to(device),
                real=part.real.to(device),
                vectors=None if part.vectors is None else part.vectors.to(device),
            )
            for part in self.parts
        ]
        return Noised(parts, self.clean.to(device), self.dropped.to(device))


def noised(
    paths: Paths,
    parts: Sequence[Part],
    *,
    generator: torch.Generator,
    drop: float = 0.1,
    words: NeighbourNoise | None = None,
) -> Noised:
    """Noise the target part of a sequence, each row to a random time of its own.

    Args:
        paths: The noise of each kind's books.
        parts: The sequence, clean; one part is the target.
        generator: Where times, noise and dropping come from.
        drop: Share of rows whose condition is dropped.
        words: Cheaper noise of the same law for words; None writes the law out.
    """
    at = next(i for i, part in enumerate(parts) if part.target)
    target = parts[at]
    batch, slots, books = target.tokens.shape
    t = torch.rand(batch, generator=generator)
    dropped = torch.rand(batch, generator=generator) < drop
    if target.modality is Modality.TEXT and words is not None:
        times = t[:, None, None].expand(batch, slots, books)
        tokens = words.sample(target.tokens, times, generator)
    else:
        tokens = _blurred(paths[target.modality], target.tokens, t, generator)
    sequence = [*parts[:at], replace(target, tokens=tokens), *parts[at + 1 :]]
    return Noised(sequence, target.tokens, dropped)


def denoising_loss(model: FlowModel, batch: Noised, *, precision: Precision = "float32") -> Tensor:
    """Mean cross-entropy a slot of the clean tokens, summed over books, in nats.

    Args:
        model: The model; the batch is on its device.
        batch: See `noised`.
        precision: What the model's maps multiply in; the loss stays in float32.
    """
    real, modality = batch.target.real, batch.target.modality
    with multiplying_in(precision, real.device):
        hidden = model.hidden(batch.parts, dropped=batch.dropped)
        rows, clean = hidden[real], batch.clean[real]
        logits = [book[None].float() for book in model.logits(modality, rows, clean)]
    count = torch.ones(1, len(rows), dtype=torch.bool, device=real.device)
    return cross_entropy(logits, clean[None], count)


def flow_loss(
    model: FlowModel,
    paths: Paths,
    parts: Sequence[Part],
    *,
    generator: torch.Generator,
    drop: float = 0.1,
    words: NeighbourNoise | None = None,
    precision: Precision = "float32",
) -> Tensor:
    """`denoising_loss` of a sequence that `noised` noises, on the model's device."""
    batch = noised(paths, parts, generator=generator, drop=drop, words=words)
    return denoising_loss(model, batch.to(model.markers.device), precision=precision)


@contextmanager
def multiplying_in(precision: Precision, device: torch.device | None = None) -> Generator[None]:
    """Multiply the model's maps in a precision within the block, on a device (the CPU)."""
    kind = "cpu" if device is None else device.type
    if precision == "float32":
        yield
    elif kind == "cpu":
        # The fused attention goes back through bfloat16 2.5 times as slowly as the plain one.
        with torch.autocast(kind, torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            yield
    else:
        with torch.autocast(kind, torch.bfloat16):
            yield


def _blurred(
    paths: Sequence[MetricPath], clean: Tensor, t: Tensor, generator: torch.Generator
) -> Tensor:
    batch, slots, books = clean.shape
    return torch.stack(
        [
            path.sample(
                clean[..., m],
                t[:, None].expand(batch, slots),
                torch.rand(batch, slots, generator=generator),
            )
            for m, path in enumerate(paths[:books])
        ],
        dim=-1,
    )


def block_padded(
    rows: Sequence[Sequence[int]], *, end: int, pad: int, block: int
) -> tuple[Int[Tensor, "batch slots"], Bool[Tensor, "batch slots"]]:
    """Texts as targets: ids, `<EOS>`, and `<PAD>` up to a whole number of blocks, all of it learnt.

    Only whole blocks beyond a row's own are marked as not real.
    """
    lengths = [-(-(len(row) + 1) // block) * block for row in rows]
    ids = torch.full((len(rows), max(lengths)), pad)
    for target, row in zip(ids, rows, strict=True):
        target[: len(row) + 1] = torch.tensor([*row, end])
    return ids, torch.arange(ids.shape[1])[None] < torch.tensor(lengths)[:, None]
