"""Media from media: a prompt of texts, pictures and sounds, answered in any of them."""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from pathlib import Path

import torch

from .audio import BLOCK_SAMPLES
from .codes import MediaCodec
from .errors import EncoderError, QueryError
from .flow_checkpoint import END_ID, Flow, load_flow
from .flow_generate import GenerateRule, generate, text_slots
from .flow_model import Part
from .model import OmniEncoder, array_of, centred
from .patches import POSITIONS
from .registry import shipped_checkpoint, shipped_flow, shipped_tokens
from .types import MediaItem, Modality


class OmniGenerator:
    """Draws texts, pictures and sounds with the discrete flow."""

    def __init__(self, codec: MediaCodec, flow: Flow) -> None:
        self.codec, self.flow = codec, flow

    @classmethod
    def load(
        cls,
        *,
        encoder: Path | None = None,
        tokens: Path | None = None,
        flow: Path | None = None,
        threads: int | None = None,
    ) -> "OmniGenerator":
        """Read a model's three files; what is not named is the shipped one.

        Raises:
            CheckpointError: A file is missing, damaged, or belongs to another model.
        """
        model = OmniEncoder.load(encoder or shipped_checkpoint(), name="omni", threads=threads)
        codec = MediaCodec.load(tokens or shipped_tokens(), model)
        return cls(codec, load_flow(flow or shipped_flow(), model.network, codec.tokenizers))

    def generate(
        self,
        prompt: Sequence[MediaItem],
        modality: Modality,
        *,
        count: int = 1,
        rule: GenerateRule | None = None,
    ) -> list[MediaItem]:
        """Draw items of one modality.

        The first of several is what `count=1` draws: each has noise of its own.

        Args:
            prompt: At least one item, in order. Texts enter by their words, pictures by their
                codes, sounds by those of their first 2.56 s, and everything by its search vector.
            modality: Text, image or audio.
            count: How many to draw.
            rule: How to draw.

        Raises:
            QueryError: The prompt is empty, or too long for the model.
            EncoderError: The model can't draw this modality, or read one of the prompt.
            ValueError: `count` is less than 1.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        if not prompt:
            raise QueryError("there is nothing to start from", hint="give words or a file")
        if modality is Modality.VIDEO or modality not in self.flow.paths:
            raise EncoderError(
                f"this model can't draw {modality}",
                hint=f"it draws {', '.join(self.flow.paths)}",
            )
        rule = rule or GenerateRule()
        condition = [self.part(item, count=count) for item in prompt]
        slots = POSITIONS
        if modality is Modality.TEXT:
            slots = text_slots(self.flow.model, self.flow.paths, condition, end=END_ID, rule=rule)
        keys = torch.arange(count)
        codes = generate(
            self.flow.model, self.flow.paths, condition, modality, slots=slots, rule=rule, keys=keys
        )
        if modality is Modality.TEXT:
            return [self._text([int(code) for code in row[:, 0]]) for row in codes]
        return [self.codec.decode(modality, row.numpy()) for row in codes]

    def part(self, item: MediaItem, *, count: int = 1) -> Part:
        """An item as a part of the sequence, the same in every row.

        Raises:
            QueryError: It is a text of no tokens, or of too many.
            EncoderError: The model has no codes of its modality.
        """
        if item.modality is Modality.TEXT:
            encoded = self.codec.encoder.tokenizer.encode(str(item.content))
            rows = torch.tensor(encoded.ids[1:-1])[:, None]  # without [CLS] and <EOS>
            longest = self.codec.encoder.network.config.text_tokens
            if not len(rows) or len(encoded.ids) >= longest:
                raise QueryError(
                    f"the text must have 1 to {longest - 3} tokens, it has {len(rows)} or more"
                )
        elif item.modality is Modality.AUDIO:
            first = MediaItem(item.modality, array_of(item)[:BLOCK_SAMPLES])
            rows = torch.from_numpy(self.codec.encode(first))
        elif item.modality is Modality.IMAGE:
            rows = torch.from_numpy(self.codec.encode(item))
        else:
            rows = torch.zeros(0, 1, dtype=torch.long)
        encoder = self.codec.encoder
        vector = centred(torch.from_numpy(encoder.encode([item])), encoder.means, item.modality)
        tokens = rows.expand(count, *rows.shape)
        real = torch.ones(tokens.shape[:2], dtype=torch.bool)
        return Part(item.modality, tokens, real, vectors=vector.expand(count, -1))

    def _text(self, ids: list[int]) -> MediaItem:
        ids = ids[: ids.index(END_ID)] if END_ID in ids else ids
        text = self.codec.encoder.tokenizer.decode(ids).strip()
        return MediaItem(Modality.TEXT, text or "(nothing)")
