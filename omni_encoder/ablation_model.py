"""The network of one variant of an ablation: how it reads, learns, draws and writes."""

# What numpy and torch return is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from .ablation_config import AblationConfig, Variant
from .backbone import Backbone, BackboneLayer
from .code_input import CodeInput, grid_of
from .flow_checkpoint import END_ID, PAD_ID, new_flow
from .flow_generate import GenerateRule, chooser, generate, temperature_of, text_slots
from .flow_low_rank import is_own
from .flow_model import FlowModel, Part
from .flow_neighbours import NeighbourNoise
from .flow_noise import KeyedNoise
from .flow_objective import Paths, block_padded, flow_loss, multiplying_in
from .losses import info_nce
from .model import OmniEncoder
from .patches import POSITIONS
from .token_checkpoint import Tokenizers, towers_digest
from .tokenizer import MediaTokenizer
from .types import Modality

_SCALE = 20.0  # of cosines in the contrastive loss
_ORDER = 6  # what random numbers are for
_DRAWN = 32  # items that are drawn at once


class _TwoCodes(FlowModel):
    """A flow model that may read pictures by other codes than it draws."""

    other: CodeInput | None = None

    def entered(self, part: Part) -> Float[Tensor, "batch slots width"]:
        """See `FlowModel.entered`."""
        if self.other is None or part.target or part.modality is Modality.TEXT:
            return super().entered(part)
        return self.other(part.tokens, causal=part.in_order)


class VariantModel:
    """The network of one variant."""

    def __init__(
        self,
        variant: Variant,
        settings: AblationConfig,
        encoder: OmniEncoder,
        reader: MediaTokenizer,
        drawer: MediaTokenizer,
        *,
        near: NeighbourNoise | None = None,
    ) -> None:
        """A fresh network.

        Args:
            variant: What it is.
            settings: Its size.
            encoder: Whose backbone it starts from.
            reader: Gives the codes that are read.
            drawer: Gives the codes that are drawn.
            near: The noise of words, of another variant; made if not given.
        """
        self.variant, self.settings = variant, settings
        digest = towers_digest(encoder.network)
        flow = new_flow(
            encoder.network,
            Tokenizers({Modality.IMAGE: drawer}, digest, {}),
            rank=settings.rank,
            kind=_TwoCodes,
        )
        self.model, self.paths = flow.model, flow.paths
        assert isinstance(self.model, _TwoCodes)
        backbone = self.model.network.backbone
        assert isinstance(backbone, Backbone)
        backbone.layers = backbone.layers[: settings.layers]
        self.backbone = backbone
        if reader is not drawer:
            width = backbone.config.width
            self.model.other = CodeInput(
                reader.books.vectors().detach(),
                grid_of(Modality.IMAGE, POSITIONS),
                width,
            )
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad = is_own(name)
        self.near = near or NeighbourNoise(self.paths[Modality.TEXT][0], count=64)
        words = len(self.model.network.text.words.weight)
        config = drawer.config
        self.guess = {
            Modality.TEXT: math.log(words),
            Modality.IMAGE: config.books * math.log(config.codes),
        }

    def loss(
        self,
        batch: tuple[Tensor, Tensor, list[list[int]]],
        said: Sequence[str],
        noise: torch.Generator,
        *,
        to_text: bool,
    ) -> Tensor:
        """Finding, and drawing or captioning, each divided by what guessing costs."""
        read, drawn, ids = batch
        target = self._text_target(ids) if to_text else _picture(drawn, target=True)
        condition = _picture(read) if to_text else _words(ids)
        if self.variant.in_order:
            made = self._loss_in_order(condition, target, noise)
        else:
            made = flow_loss(
                self.model,
                self.paths,
                [condition, target],
                generator=noise,
                words=self.near,
                precision=self.settings.precision,
            )
        with multiplying_in(self.settings.precision):
            left, right = self.read_codes(read).float(), self.read_ids(ids).float()
        same = torch.tensor([[a == b for b in said] for a in said])
        found = info_nce(left, right, same, torch.tensor(_SCALE))
        return made / self.guess[target.modality] + found / math.log(len(said))

    def _text_target(self, ids: list[list[int]]) -> Part:
        block = self.settings.block if self.variant.dynamic else self._longest()
        padded, real = block_padded(ids, end=END_ID, pad=PAD_ID, block=block)
        return Part(Modality.TEXT, padded[..., None], real, target=True)

    def _longest(self) -> int:
        return math.ceil((self.settings.words + 1) / self.settings.block) * self.settings.block

    def _loss_in_order(self, condition: Part, target: Part, noise: torch.Generator) -> Tensor:
        dropped = torch.rand(len(target.real), generator=noise) < 0.1
        with multiplying_in(self.settings.precision):
            hidden = self._in_order(condition, target, dropped)
            rows, clean = hidden[target.real], target.tokens[target.real]
            logits = self.model.logits(target.modality, rows, clean)
        parts = [functional.cross_entropy(one.float(), clean[:, m]) for m, one in enumerate(logits)]
        return torch.stack(parts).sum()

    def _in_order(
        self, condition: Part, target: Part, dropped: Bool[Tensor, " batch"] | None = None
    ) -> Tensor:
        """Features from which each slot of the target is guessed: those of the slot before."""
        (before, here), (tokens, real) = (
            self.model.embed(replace(part, in_order=True), dropped) for part in (condition, target)
        )
        hidden = self._hidden(torch.cat([before, tokens], 1), torch.cat([here, real], 1))
        start = before.shape[1]  # of the target's first marker
        return hidden[:, start : start + target.tokens.shape[1]]

    def _hidden(self, tokens: Tensor, real: Tensor) -> Tensor:
        mask = real[:, None, None, :]
        if self.variant.in_order:
            length = tokens.shape[1]
            mask = mask & torch.ones(length, length, dtype=torch.bool).tril()
        x = self.backbone.input_norm(tokens)
        for layer in self.backbone.layers:
            assert isinstance(layer, BackboneLayer)
            x, _ = layer(x, mask)
        return x

    def read_codes(self, codes: Int[Tensor, "batch 64 books"]) -> Float[Tensor, "batch width"]:
        """What is read in pictures, at unit length."""
        return self._read(_picture(codes))

    def read_ids(self, ids: list[list[int]]) -> Float[Tensor, "batch width"]:
        """What is read in texts, at unit length."""
        return self._read(_words(ids))

    def _read(self, part: Part) -> Tensor:
        tokens, real = self.model.embed(replace(part, in_order=self.variant.in_order))
        hidden = self._hidden(tokens, real) * real[..., None]
        return functional.normalize(hidden.sum(1) / real.sum(1, keepdim=True), dim=-1)

    def draw(self, ids: list[list[int]]) -> Int[Tensor, "batch 64 books"]:
        """Codes of pictures, from words."""
        if self.variant.in_order:
            return self._draw_in_order(_words(ids), _picture_slots(self.paths, len(ids)))
        made = [
            generate(
                self.model,
                self.paths,
                [_words([ids[row] for row in rows])],
                Modality.IMAGE,
                slots=POSITIONS,
                rule=self._rule(),
                keys=torch.tensor(rows),
            )
            for rows in _in_batches(range(len(ids)))
        ]
        return torch.cat(made)

    def write(self, codes: Int[Tensor, "batch 64 books"]) -> list[list[int]]:
        """Word ids of captions, up to where they end."""
        longest = self._longest()
        if self.variant.in_order:
            blank = torch.zeros(len(codes), longest, 1, dtype=torch.long)
            drawn = self._draw_in_order(_picture(codes), _blank(Modality.TEXT, blank))
            return [_until_end([int(i) for i in row[:, 0]]) for row in drawn]
        slots = [longest] * len(codes)
        if self.variant.dynamic:
            slots = [self._length(codes[row : row + 1]) for row in range(len(codes))]
        made: list[list[int]] = [[]] * len(codes)
        for length in sorted(set(slots)):
            for rows in _in_batches([row for row, own in enumerate(slots) if own == length]):
                drawn = generate(
                    self.model,
                    self.paths,
                    [_picture(codes[rows])],
                    Modality.TEXT,
                    slots=length,
                    rule=self._rule(),
                    keys=torch.tensor(rows),
                )
                for row, one in zip(rows, drawn, strict=True):
                    made[row] = _until_end([int(i) for i in one[:, 0]])
        return made

    def _length(self, codes: Int[Tensor, "1 64 books"]) -> int:
        condition = [_picture(codes)]
        return text_slots(self.model, self.paths, condition, end=END_ID, rule=self._rule())

    def _rule(self) -> GenerateRule:
        return GenerateRule(steps=self.settings.draw_steps, block=self.settings.block)

    def _draw_in_order(self, condition: Part, target: Part) -> Tensor:
        tokens, rule = target.tokens.clone(), self._rule()
        numbers = KeyedNoise(rule.seed).uniform(
            torch.arange(len(tokens)), (_ORDER,), tuple(tokens.shape[1:])
        )
        warm = temperature_of(rule, target.modality)
        for slot in range(tokens.shape[1]):
            hidden = self._in_order(condition, replace(target, tokens=tokens))[:, slot]
            choose = chooser(self.paths[target.modality], numbers[:, slot], rule, temperature=warm)
            tokens[:, slot] = self.model.drawn(target.modality, [hidden], choose)
        return tokens


def _picture(codes: Int[Tensor, "batch 64 books"], *, target: bool = False) -> Part:
    real = torch.ones(codes.shape[:2], dtype=torch.bool)
    return Part(Modality.IMAGE, codes, real, target=target)


def _picture_slots(paths: Paths, count: int) -> Part:
    books = len(paths[Modality.IMAGE])
    return _blank(Modality.IMAGE, torch.zeros(count, POSITIONS, books, dtype=torch.long))


def _blank(modality: Modality, tokens: Tensor) -> Part:
    real = torch.ones(tokens.shape[:2], dtype=torch.bool)
    return Part(modality, tokens, real, target=True)


def _words(ids: list[list[int]]) -> Part:
    longest = max(1, *map(len, ids)) if len(ids) > 1 else max(1, len(ids[0]))
    padded = torch.zeros(len(ids), longest, 1, dtype=torch.long)
    for row, one in zip(padded, ids, strict=True):
        row[: len(one), 0] = torch.tensor(one)
    real = torch.arange(longest)[None] < torch.tensor([len(one) for one in ids])[:, None]
    return Part(Modality.TEXT, padded, real)


def _in_batches(rows: Sequence[int]) -> list[list[int]]:
    return [list(rows[start : start + _DRAWN]) for start in range(0, len(rows), _DRAWN)]


def _until_end(ids: list[int]) -> list[int]:
    return ids[: ids.index(END_ID)] if END_ID in ids else ids
