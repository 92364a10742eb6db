"""The sequences of flow training: a condition, then the target, made of coded items.

Conditions come as they come in use: words or codes, the item's search vector, or both; in a
conversation, with words that say what is wanted, or after an earlier exchange (`train_turns`).
Codes of all items are made once.
"""

# What numpy and torch return is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .flow_checkpoint import END_ID, PAD_ID, START_ID
from .flow_model import Part
from .flow_objective import block_padded
from .model import OmniEncoder, centred, pad_ids
from .token_checkpoint import Tokenizers
from .train_config import TrainConfig, TrainingError
from .train_data import TrainItem, read_items
from .train_flow_config import FlowConfig
from .train_token_data import ImageSource, SoundSource, token_features
from .train_turns import INSTRUCTIONS, before, instruction
from .types import Modality

_CHUNK = 64
_MEDIA = (Modality.IMAGE, Modality.AUDIO)
# Of a number drawn for each step: words have their text's vector beside them below the first share,
# and beyond the others nothing but the search vector stands as the condition.
_WORDS_WITH_VECTOR, _VECTOR_ALONE_TO_MEDIA, _VECTOR_ALONE_TO_TEXT = 0.4, 0.75, 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """Items of one modality with codes and at least one caption.

    Attributes:
        codes: [items, 64, books].
        vectors: Search vectors less the mean of their modality, at unit length.
        captions: Word ids of each item's captions, without [CLS] and `<EOS>`.
        rows: Which may be trained on.
        held: Which are held out.
    """

    codes: Tensor
    vectors: Tensor
    captions: list[list[list[int]]]
    rows: np.ndarray
    held: np.ndarray


class Sequences:
    """What one run of flow training learns from.

    Attributes:
        directions: Pairs of condition and target that there are items for.
    """

    def __init__(
        self,
        config: TrainConfig,
        settings: FlowConfig,
        encoder: OmniEncoder,
        tokenizers: Tokenizers,
        progress: Callable[[str, int, int], None],
    ) -> None:
        """Read the manifests' items, and code those that have a tokenizer.

        Raises:
            TrainingError: There is nothing to learn from.
        """
        self.config, self.settings, self.progress = config, settings, progress
        self.encoder, self.tokenizers = encoder, tokenizers
        items = read_items(config)
        self.data = {m: self._coded(m, [i for i in items if i.modality is m]) for m in _MEDIA}
        there = [modality for modality, data in self.data.items() if len(data.rows)]
        if not there:
            raise TrainingError("no item has a caption and codes", hint="see docs/training.md")
        text = Modality.TEXT
        self.directions = [pair for m in there for pair in ((text, m), (m, text))]
        self.directions.append((text, text))

    @property
    def fewest(self) -> int:
        """The items of the rarest kind that may be trained on."""
        return min(len(data.rows) for data in self.data.values() if len(data.rows))

    @torch.inference_mode()
    def _coded(self, modality: Modality, items: list[TrainItem]) -> Coded:
        tokenizer = self.tokenizers.by_modality.get(modality)
        if not items or tokenizer is None:
            nothing = np.zeros(0, dtype=np.int64)
            return Coded(
                torch.zeros(0, 64, 1, dtype=torch.long), torch.zeros(0, 1), [], nothing, nothing
            )
        source = (ImageSource if modality is Modality.IMAGE else SoundSource)(self.encoder)
        kept = token_features(items, source, self.config.run, self.progress)
        codes = torch.zeros(len(items), 64, tokenizer.config.books, dtype=torch.long)
        usable = np.flatnonzero(kept.counts() > 0)
        deep = tokenizer.config.deep
        for start in range(0, len(usable), _CHUNK):
            rows = usable[start : start + _CHUNK]
            tokens = torch.from_numpy(kept.padded(rows)[0])
            patches = tokens[..., deep:]
            if modality is Modality.IMAGE:
                patches = patches / 127.5 - 1
            codes[rows] = tokenizer.encode(tokens[..., :deep], patches)
        encode = self.encoder.tokenizer.encode_batch
        captions = [
            [e.ids[1:-1][: self.settings.words] for e in encode(list(item.captions))]
            for item in items
        ]
        captions = [[ids for ids in one if ids] for one in captions]
        named = np.array([i for i in usable if captions[i]], dtype=np.int64)
        held = np.array([items[i].held_out for i in named], dtype=bool)
        vectors = centred(torch.from_numpy(kept.teacher), self.encoder.means, modality)
        return Coded(codes, vectors, captions, named[~held], named[held])

    def items(self, source: Modality, towards: Modality) -> Coded:
        """The items of a direction; texts are the captions of pictures, or of sounds."""
        known = next((m for m in (towards, source) if m in self.data), None)
        return self.data[known or self.directions[1][0]]

    def parts(
        self,
        source: Modality,
        towards: Modality,
        rows: np.ndarray,
        generator: np.random.Generator,
        *,
        noise: torch.Generator | None = None,
        instructed: bool = False,
    ) -> list[Part]:
        """The sequence of one direction: condition, then target.

        Args:
            source: Modality of the condition.
            towards: Modality of the target.
            rows: Items.
            generator: What draws captions and, in training, kinds of condition.
            noise: What draws the noise of search vectors in training; None gives conditions whole
                and as they are.
            instructed: Whether words say what is wanted, and the condition is whole.
        """
        data = self.items(source, towards)
        ids = [data.captions[r][int(generator.integers(len(data.captions[r])))] for r in rows]
        at = torch.from_numpy(rows)
        codes = data.codes[at]
        every = torch.ones(codes.shape[:2], dtype=torch.bool)
        share = float(generator.random()) if noise is not None and not instructed else 0.0
        if towards is Modality.TEXT:
            padded, real = block_padded(ids, end=END_ID, pad=PAD_ID, block=self.settings.block)
            target = Part(Modality.TEXT, padded[..., None], real, target=True)
            if source is Modality.TEXT:
                return [self._vector_only(source, self._text_vectors(ids), noise), target]
            vectors = self._noised(data.vectors[at], noise)
            if share > _VECTOR_ALONE_TO_TEXT:
                return [self._vector_only(source, vectors, None), target]
            condition = Part(source, codes, every, vectors=vectors)
            if not instructed:
                return [condition, target]
            words = self._said(towards, generator)
            asked = instruction(words, self._text_vectors([words])[0], len(rows))
            first = [asked, condition] if generator.random() < 0.5 else [condition, asked]
            return [*first, target]
        target = Part(towards, codes, every, target=True)
        if share > _VECTOR_ALONE_TO_MEDIA:
            return [self._vector_only(towards, data.vectors[at], noise), target]
        if instructed:
            words = self._said(towards, generator)
            ids = [[*words, *row] for row in ids]
        tokens, real = _padded(ids)
        vectors = None
        if share < _WORDS_WITH_VECTOR:
            vectors = self._noised(self._text_vectors(ids), noise)
        return [Part(Modality.TEXT, tokens[..., None], real, vectors=vectors), target]

    def _said(self, towards: Modality, generator: np.random.Generator) -> list[int]:
        """Word ids of what a person says to have a kind made."""
        ways = INSTRUCTIONS[towards]
        return self.encoder.tokenizer.encode(ways[int(generator.integers(len(ways)))]).ids[1:-1]

    def conversation(
        self,
        source: Modality,
        towards: Modality,
        rows: np.ndarray,
        generator: np.random.Generator,
        *,
        noise: torch.Generator | None = None,
    ) -> list[Part]:
        """As `parts`, with words that say what is wanted, an exchange before it, or both."""
        kind = int(generator.integers(3))
        now = self.parts(source, towards, rows, generator, noise=noise, instructed=kind != 1)
        if kind == 0:
            return now
        one, other = (source, towards) if generator.random() < 0.5 else (towards, source)
        earlier = self.parts(one, other, np.roll(rows, 1), generator, noise=noise, instructed=True)
        return before(earlier, now)

    def _vector_only(
        self, modality: Modality, vectors: Tensor, noise: torch.Generator | None
    ) -> Part:
        nothing = torch.zeros(len(vectors), 0, 1, dtype=torch.long)
        return Part(modality, nothing, nothing[..., 0].bool(), vectors=self._noised(vectors, noise))

    def _noised(self, vectors: Tensor, noise: torch.Generator | None) -> Tensor:
        if noise is None:
            return vectors
        length = self.settings.vector_noise * torch.rand(len(vectors), 1, generator=noise)
        away = torch.randn(vectors.shape, generator=noise) / vectors.shape[1] ** 0.5
        return functional.normalize(vectors + length * away, dim=-1)

    @torch.no_grad()
    def _text_vectors(self, ids: list[list[int]]) -> Tensor:
        """Search vectors of texts, given without [CLS] and `<EOS>`."""
        rows = [[START_ID, *row, END_ID] for row in ids]
        vectors = self.encoder.network.encode_text(*pad_ids(rows))
        return centred(vectors, self.encoder.means, Modality.TEXT)


def _padded(ids: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Texts as conditions: ids and which are real, [texts, longest]."""
    longest = max(map(len, ids))
    padded = torch.zeros(len(ids), longest, dtype=torch.long)
    for target, row in zip(padded, ids, strict=True):
        target[: len(row)] = torch.tensor(row)
    return padded, torch.arange(longest)[None] < torch.tensor([len(row) for row in ids])[:, None]
