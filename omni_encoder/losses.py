"""Contrastive and distillation losses on unit vectors."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional


def info_nce(
    left: Float[Tensor, "left dim"],
    right: Float[Tensor, "right dim"],
    positive: Bool[Tensor, "left right"],
    scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE in which a row may have several positives, which share its probability.

    With one positive a row it is CLIP's loss (Radford et al., 2103.00020, figure 3). Rows and
    columns without a positive count as negatives only.

    Args:
        left: Unit rows.
        right: Unit rows.
        positive: Which pairs belong together; at least one does.
        scale: What cosines are multiplied by, the inverse temperature.
    """
    logits = scale * left @ right.T
    return (_one_way(logits, positive) + _one_way(logits.T, positive.T)) / 2


def _one_way(logits: Tensor, positive: Tensor) -> Tensor:
    target = positive.float()
    target = target / target.sum(dim=1, keepdim=True).clamp(min=1)
    losses = -(target * logits.log_softmax(dim=1)).sum(dim=1)
    return losses.sum() / positive.any(dim=1).sum()


def match_similarities(
    student: Float[Tensor, "batch dim"],
    teacher: Float[Tensor, "batch dim"],
    anchors: Float[Tensor, "anchors dim"],
    *,
    scale: float,
) -> Float[Tensor, ""]:
    """How far the student's similarities to text anchors are from the teacher's, in nats.

    KL divergence of the softmax over anchors, mean over rows; zero when both rank and space the
    anchors alike. Matching similarities rather than vectors leaves the student free where no text
    lies.
    """
    target = (scale * teacher @ anchors.T).log_softmax(dim=1)
    guess = (scale * student @ anchors.T).log_softmax(dim=1)
    return functional.kl_div(guess, target, log_target=True, reduction="batchmean")


def mean_cosine_distance(
    left: Float[Tensor, "batch dim"], right: Float[Tensor, "batch dim"]
) -> Float[Tensor, ""]:
    """One minus the cosine, mean over rows of unit vectors."""
    return 1 - torch.einsum("bd,bd->b", left, right).mean()
