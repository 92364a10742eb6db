"""How likely a query is beside each of many candidates: the flow's score for re-ranking.

S1 of `flow_score`: the query's tokens are noised and denoised beside the candidate, which enters by
its search vector alone, so that no file is opened. The query and its noise are the same for all
candidates: no prior needs to be taken off, and a candidate's score doesn't depend on its company.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from .errors import QueryError
from .flow_checkpoint import END_ID, PAD_ID, Flow
from .flow_model import Part
from .flow_objective import block_padded, flow_loss
from .flow_score import ScoreRule, log_likelihood
from .generator import OmniGenerator
from .model import centred
from .patches import POSITIONS
from .prompt import parts_of
from .types import MediaItem, Modality

_BLOCK = 16


def query_likelihood(
    generator: OmniGenerator,
    query: MediaItem,
    candidates: Float32[np.ndarray, "candidates dim"],
    modalities: Sequence[Modality],
    *,
    rule: ScoreRule | None = None,
) -> Float64[np.ndarray, " candidates"]:
    """Nats that a query's tokens have beside each candidate; higher is likelier.

    Args:
        generator: The model.
        query: A text, of which the first 64 tokens count, an image, or a sound, of which the
            first 2.56 s do.
        candidates: Search vectors as the encoder made them, unit rows, not centred.
        modalities: Of the candidates.
        rule: How to estimate; cost grows with `draws` times candidates.

    Raises:
        QueryError: The query is a video, or a text of no tokens.
        EncoderError: The model doesn't generate the query's modality.
        ValueError: There are not as many modalities as candidates.
    """
    if len(candidates) != len(modalities):
        raise ValueError(f"{len(candidates)} candidates have {len(modalities)} modalities")
    asked = _asked(generator, query)
    scores = np.zeros(len(candidates))
    means = generator.codec.encoder.means
    for modality in sorted(set(modalities)):
        rows = [i for i, own in enumerate(modalities) if own is modality]
        vectors = centred(torch.from_numpy(candidates[rows]), means, modality)
        scores[rows] = _beside(generator.flow, asked, modality, vectors, rule).numpy()
    return scores


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A query's tokens [1, slots, books], and the padding of a text, which is not noised."""

    modality: Modality
    clean: Tensor
    behind: Tensor


def _asked(generator: OmniGenerator, query: MediaItem) -> _Asked:
    if query.modality is Modality.VIDEO:
        raise QueryError("a video can't be judged by the flow", hint="search by one of its frames")
    clean = torch.from_numpy(generator.read(query, cut=True).codes[:POSITIONS])[None]
    if query.modality is not Modality.TEXT:
        return _Asked(query.modality, clean, clean[:, :0])
    ids = cast("list[int]", clean[0, :, 0].tolist())
    padded, _ = block_padded([ids], end=END_ID, pad=PAD_ID, block=_BLOCK)
    counted = len(ids) + 1
    return _Asked(query.modality, padded[:, :counted, None], padded[:, counted:, None])


def _beside(
    flow: Flow, asked: _Asked, modality: Modality, vectors: Tensor, rule: ScoreRule | None
) -> Tensor:
    """The query's log-likelihood beside each of the centred vectors of one modality."""
    count = len(vectors)
    nothing = torch.zeros(count, 0, 1, dtype=torch.long)

    def denoise(noised: Tensor, clean: Tensor, _t: Tensor, rows: Tensor) -> list[Tensor]:
        none = nothing[rows]
        condition = Part(modality, none, none[..., 0].bool(), vectors=vectors[rows])
        tokens = torch.cat([noised, asked.behind.expand(len(noised), -1, -1)], dim=1)
        every = torch.ones(tokens.shape[:2], dtype=torch.bool)
        hidden = flow.model.hidden([condition, Part(asked.modality, tokens, every, target=True)])
        hidden = hidden[:, : noised.shape[1]]
        logits = flow.model.logits(asked.modality, hidden.flatten(0, 1), clean.flatten(0, 1))
        return [book.unflatten(0, noised.shape[:2]) for book in logits]

    return log_likelihood(
        flow.paths[asked.modality],
        denoise,
        asked.clean.expand(count, -1, -1),
        keys=torch.zeros(count, dtype=torch.long),
        rule=rule,
    )


@torch.no_grad()
def target_nats(
    generator: OmniGenerator,
    prompt: MediaItem,
    answer: MediaItem,
    *,
    dropped: bool = False,
    draws: int = 4,
) -> float:
    """Nats a slot of an answer's clean tokens, noised at random times: the training loss.

    Args:
        generator: The model.
        prompt: The condition.
        answer: See `query_likelihood`'s query.
        dropped: Whether the null token stands in the condition's place, as for guidance.
        draws: Random times, the same for every prompt.

    Raises:
        QueryError: A text is too long or has no word.
    """
    asked = _asked(generator, answer)
    tokens = torch.cat([asked.clean, asked.behind], dim=1).expand(draws, -1, -1)
    every = torch.ones(tokens.shape[:2], dtype=torch.bool)
    loss = flow_loss(
        generator.flow.model,
        generator.flow.paths,
        [
            *parts_of(generator.read(prompt), draws),
            Part(asked.modality, tokens, every, target=True),
        ],
        generator=torch.Generator().manual_seed(0),
        drop=float(dropped),
    )
    return float(loss)
