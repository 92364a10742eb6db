"""How much a query tells about candidates: the flow's scores that read the candidates' codes.

S2 of `flow_score` is `log p(x | q) - log p(x)`, by cross-entropy; S3 takes the bound of the
kinetic-optimal path for both. All candidates and all queries share one noise, keyed by draw and
position alone. So no score depends on its company, and `log p(x)`, the prior, is a number that
belongs to the item and is stored with it.

A video counts as the mean of its four frames, each a picture with a frame index, so that its score
can stand beside that of a picture. The codes of a text are its words, as many as the encoder reads;
S3 can't judge it, for the bound over 30,522 words takes minutes.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from .errors import QueryError
from .flow_checkpoint import END_ID, PAD_ID, Flow
from .flow_generate import GenerateRule
from .flow_model import Part
from .flow_score import Denoiser, Measure, ScoreRule, log_likelihood
from .generator import OmniGenerator
from .item_codes import PRIOR_DRAWS, ItemCodes
from .prompt import Coded, parts_of
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
        query: A text, of which as much counts as the encoder reads, an image, or a sound, of
            which the first 10.24 s do.
        candidates: Codes and priors, made with the same rule; of texts, by `text_codes`.
        modalities: Of the candidates.
        score: `s2` or `s3`.
        rule: How to estimate; its measure is that of `score`.

    Raises:
        QueryError: The query is a video, or a text of no tokens; or a text is to be judged by S3.
        EncoderError: The model doesn't know the query's modality.
        ValueError: There are not as many modalities as candidates.
    """
    if len(candidates) != len(modalities):
        raise ValueError(f"{len(candidates)} candidates have {len(modalities)} modalities")
    if query.modality is Modality.VIDEO:
        raise QueryError("a video can't be judged by the flow", hint="search by one of its frames")
    if score == "s3" and Modality.TEXT in modalities:
        raise QueryError("s3 can't judge texts", hint="re-rank by s2 or s1")
    asked = generator.read(query, cut=True)
    rule = replace(rule, measure=MEASURES[score])
    given = _likelihoods(
        generator.flow,
        lambda count: (parts_of(asked, count), None),
        [Coded(kind, one.codes) for one, kind in zip(candidates, modalities, strict=True)],
        rule,
    )
    return given - np.array([one.prior if score == "s2" else one.bound for one in candidates])


def prior(
    generator: OmniGenerator,
    codes: Sequence[Int64[np.ndarray, "positions books"]],
    modality: Modality,
    *,
    rule: ScoreRule = PRIOR_RULE,
) -> Float64[np.ndarray, " items"]:
    """Nats of the codes of items of one modality beside nothing, as `rule` estimates them."""
    return _likelihoods(generator.flow, _nothing, [Coded(modality, one) for one in codes], rule)


def text_codes(generator: OmniGenerator, texts: Sequence[str]) -> list[ItemCodes]:
    """What the flow reads of texts: their words, with priors for S2; those for S3 are no numbers.

    Of a text, as many words count as the encoder takes, with its end if nothing was cut off. A text
    of no words has the end alone.
    """
    encoder = generator.codec.encoder
    longest, codes = encoder.network.config.text_tokens, list[Int64[np.ndarray, "words 1"]]()
    for text in texts:
        ids = encoder.tokenizer.encode(text).ids
        words = ids[1:-1]  # no [CLS] and <EOS>
        words += [END_ID] if len(ids) < longest else []
        codes.append(np.array(words, dtype=np.int64)[:, None])
    priors = prior(generator, codes, Modality.TEXT)
    return [ItemCodes(one, nats, np.nan) for one, nats in zip(codes, priors.tolist(), strict=True)]


def codebooks_of(modality: Modality) -> Modality:
    """Whose codes a modality has: videos have those of images."""
    return Modality.IMAGE if modality is Modality.VIDEO else modality


def _nothing(count: int) -> tuple[list[Part], Tensor | None]:
    """No condition: null tokens, as training puts in a condition's place."""
    tokens = torch.zeros(count, _NOTHING_SLOTS, 1, dtype=torch.long)
    there = torch.ones(count, _NOTHING_SLOTS, dtype=torch.bool)
    return [Part(Modality.TEXT, tokens, there)], there[:, 0]


@dataclass(frozen=True, slots=True)
class _Shape:
    """What pieces of items have in common that are judged at once."""

    modality: Modality
    frame: int
    slots: int


def _likelihoods(
    flow: Flow, condition: _Condition, items: Sequence[Coded], rule: ScoreRule
) -> Float64[np.ndarray, " items"]:
    """The log-likelihood of items' codes beside one condition; the mean over a video's frames."""
    alike: dict[_Shape, list[tuple[int, np.ndarray]]] = defaultdict(list)
    counts = np.zeros(len(items))
    for number, item in enumerate(items):
        kind = codebooks_of(item.modality)
        for frame, piece in enumerate(item.pieces()):
            alike[_Shape(kind, frame, _slots(kind, len(piece)))].append((number, piece))
            counts[number] += 1
    total = np.zeros(len(items))
    for shape, pieces in alike.items():
        found = _likelihood(flow, condition, shape, [piece for _, piece in pieces], rule)
        np.add.at(total, [number for number, _ in pieces], found)
    return total / counts


def _slots(kind: Modality, codes: int) -> int:
    """How many slots so many codes take: texts, as in training, whole blocks."""
    block = GenerateRule().block if kind is Modality.TEXT else 1
    return -(-codes // block) * block


def _likelihood(
    flow: Flow,
    condition: _Condition,
    shape: _Shape,
    pieces: Sequence[Int64[np.ndarray, "positions books"]],
    rule: ScoreRule,
) -> Float64[np.ndarray, " pieces"]:
    """The log-likelihood of pieces of one shape; padding is not noised and doesn't count."""
    modality = shape.modality

    def denoise(noised: Tensor, clean: Tensor, _t: Tensor, _rows: Tensor) -> list[Tensor]:
        parts, dropped = condition(len(noised))
        every = torch.ones(noised.shape[:2], dtype=torch.bool)
        target = Part(modality, noised, every, target=True, frame=shape.frame)
        hidden = flow.model.hidden([*parts, target], dropped=dropped)
        logits = flow.model.logits(modality, hidden.flatten(0, 1), clean.flatten(0, 1))
        return [book.unflatten(0, noised.shape[:2]) for book in logits]

    asked: Denoiser = denoise
    keys = torch.zeros(len(pieces), dtype=torch.long)
    clean = torch.full((len(pieces), shape.slots, pieces[0].shape[1]), PAD_ID)
    for row, piece in zip(clean, pieces, strict=True):
        row[: len(piece)] = torch.from_numpy(piece)
    lengths = torch.tensor([len(piece) for piece in pieces])
    counted = torch.arange(shape.slots)[None] < lengths[:, None]
    return log_likelihood(
        flow.paths[modality], asked, clean, keys=keys, target=counted, rule=rule
    ).numpy()
