"""How much a query tells about candidates: the flow's scores that read the candidates' codes.

S2 of `flow_score` is `log p(x | q) - log p(x)`, by cross-entropy; S3 takes the bound of the
kinetic-optimal path for both. All candidates and all queries share one noise, keyed by draw and
position alone. So no score depends on its company, and `log p(x)`, the prior, is a number that
belongs to the item and is stored with it.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from .errors import QueryError
from .flow_checkpoint import Flow
from .flow_model import Part
from .flow_score import Denoiser, Measure, ScoreRule, log_likelihood
from .generator import OmniGenerator
from .item_codes import PRIOR_DRAWS, ItemCodes
from .prompt import parts_of
from .types import MediaItem, Modality

PRIOR_RULE = ScoreRule(draws=PRIOR_DRAWS)
MEASURES: dict[Literal["s2", "s3"], Measure] = {"s2": "cross-entropy", "s3": "bound"}
_NOTHING_SLOTS = 8  # null tokens that stand for no condition: as many as a short caption has

# Gives the condition of so many rows, and which of them are dropped.
_Condition = Callable[[int], tuple[list[Part], Tensor | None]]


def information(
    generator: OmniGenerator,
    query: MediaItem,
    candidates: Sequence[ItemCodes],
    modalities: Sequence[Modality],
    *,
    score: Literal["s2", "s3"] = "s2",
    rule: ScoreRule = PRIOR_RULE,
) -> Float64[np.ndarray, " candidates"]:
    """Nats by which a query makes each candidate's codes likelier; higher fits better.

    Args:
        generator: The model.
        query: A text, an image, or a sound, of which the first 10.24 s count.
        candidates: Codes and priors, made with the same rule.
        modalities: Of the candidates.
        score: `s2` or `s3`.
        rule: How to estimate; its measure is that of `score`.

    Raises:
        QueryError: The query is a video, or a text of no tokens.
        EncoderError: The model doesn't know the query's modality.
        ValueError: There are not as many modalities as candidates.
    """
    if len(candidates) != len(modalities):
        raise ValueError(f"{len(candidates)} candidates have {len(modalities)} modalities")
    if query.modality is Modality.VIDEO:
        raise QueryError("a video can't be judged by the flow", hint="search by one of its frames")
    asked = generator.read(query)
    rule = replace(rule, measure=MEASURES[score])
    scores = np.zeros(len(candidates))
    for modality in sorted(set(modalities)):
        rows = [i for i, own in enumerate(modalities) if own is modality]
        codes = np.stack([candidates[i].codes for i in rows])
        given = _likelihood(
            generator.flow, lambda count: (parts_of(asked, count), None), modality, codes, rule
        )
        known = [candidates[i].prior if score == "s2" else candidates[i].bound for i in rows]
        scores[rows] = given - np.array(known)
    return scores


def prior(
    generator: OmniGenerator,
    codes: Int64[np.ndarray, "items positions books"],
    modality: Modality,
    *,
    rule: ScoreRule = PRIOR_RULE,
) -> Float64[np.ndarray, " items"]:
    """Nats of the codes of items of one modality beside nothing, as `rule` estimates them."""
    return _likelihood(generator.flow, _nothing, modality, codes, rule)


def _nothing(count: int) -> tuple[list[Part], Tensor | None]:
    """No condition: null tokens, as training puts in a condition's place."""
    tokens = torch.zeros(count, _NOTHING_SLOTS, 1, dtype=torch.long)
    there = torch.ones(count, _NOTHING_SLOTS, dtype=torch.bool)
    return [Part(Modality.TEXT, tokens, there)], there[:, 0]


def _likelihood(
    flow: Flow,
    condition: _Condition,
    modality: Modality,
    codes: Int64[np.ndarray, "items positions books"],
    rule: ScoreRule,
) -> Float64[np.ndarray, " items"]:
    """The log-likelihood of items' codes beside one condition, the same for all."""

    def denoise(noised: Tensor, clean: Tensor, _t: Tensor, _rows: Tensor) -> list[Tensor]:
        parts, dropped = condition(len(noised))
        every = torch.ones(noised.shape[:2], dtype=torch.bool)
        target = Part(modality, noised, every, target=True)
        hidden = flow.model.hidden([*parts, target], dropped=dropped)
        logits = flow.model.logits(modality, hidden.flatten(0, 1), clean.flatten(0, 1))
        return [book.unflatten(0, noised.shape[:2]) for book in logits]

    asked: Denoiser = denoise
    keys = torch.zeros(len(codes), dtype=torch.long)
    clean = torch.from_numpy(codes)
    return log_likelihood(flow.paths[modality], asked, clean, keys=keys, rule=rule).numpy()
