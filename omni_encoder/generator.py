"""Media from media: a prompt of any kinds, answered in any of them."""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from blake3 import blake3
from jaxtyping import Float32, UInt8
from torch import Tensor

from .audio import BLOCK_SAMPLES
from .codes import MediaCodec
from .errors import EncoderError, QueryError
from .flow_checkpoint import END_ID, Flow, load_flow
from .flow_generate import GenerateRule, Piece, generate, text_slots
from .flow_model import Part
from .model import OmniEncoder, array_of, centred
from .network import SAMPLES_PER_POSITION
from .patches import BLOCK_SECONDS, POSITIONS
from .prompt import (
    FRAMES,
    MOST_BLOCKS,
    MOST_POSITIONS,
    Coded,
    is_too_long,
    parts_of,
    positions_of_answer,
)
from .shipped import shipped_checkpoint, shipped_flow, shipped_tokens
from .types import MediaItem, Modality

LONGEST_SECONDS = 8 * BLOCK_SECONDS
NOTHING = "(nothing)"  # what an empty text is shown as


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        modality: Of the answer.
        seconds: Length of a sound, rounded up to blocks of 2.56 s.
        rule: How to draw.
        keys: Of the answers, one each: an answer depends on the seed and its key alone.
    """

    modality: Modality
    seconds: float = BLOCK_SECONDS
    rule: GenerateRule = field(default_factory=GenerateRule)
    keys: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= LONGEST_SECONDS:
            raise ValueError(f"seconds must be in (0, {LONGEST_SECONDS}], got {self.seconds}")
        if not self.keys:
            raise ValueError("at least one answer must be asked for")


class OmniGenerator:
    """Draws texts, pictures, sounds and short videos with the discrete flow."""

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

    def fingerprint(self) -> str:
        """A digest of all that codes and answers depend on."""
        digest = blake3(self.codec.encoder.tokenizer.to_str().encode())
        for modality, row in sorted(self.flow.paths.items()):
            digest.update(f"{modality} {[path.c for path in row]}".encode())
        modules = [self.flow.model, *self.codec.tokenizers.by_modality.values()]
        for module in modules:
            for name, tensor in sorted(module.state_dict().items()):
                digest.update(f"{name} {list(tensor.shape)}".encode())
                digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest(16)

    def generate(
        self,
        prompt: Sequence[MediaItem],
        modality: Modality,
        *,
        count: int = 1,
        rule: GenerateRule | None = None,
        seconds: float = BLOCK_SECONDS,
    ) -> list[MediaItem]:
        """Draw items of one modality.

        The first of several is what `count=1` draws: each has noise of its own.

        Args:
            prompt: At least one item, in order. Texts enter by their words, the rest by codes:
                videos by those of four frames, sounds by those of their first 10.24 s; and all by
                their search vectors.
            modality: Of what is drawn; a video has four frames.
            count: How many to draw.
            rule: How to draw.
            seconds: Length of a sound.

        Raises:
            QueryError: The prompt is empty, or too long for the model.
            EncoderError: The model can't draw this modality, or read one of the prompt.
            ValueError: `count` is less than 1, or `seconds` out of range.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        request = Request(modality, seconds, rule or GenerateRule(), tuple(range(count)))
        coded = [self.read(item) for item in prompt]
        return [self.show(answer) for answer in self.draw(coded, request)]

    @torch.inference_mode()
    def read(self, item: MediaItem, *, cut: bool = False) -> Coded:
        """What the model sees of an item.

        Args:
            item: The item.
            cut: Of a text that is too long, take the beginning rather than refuse it.

        Raises:
            QueryError: A text is too long or has no word.
            EncoderError: There is no tokenizer for the item.
        """
        if item.modality is Modality.TEXT:
            encoded = self.codec.encoder.tokenizer.encode(str(item.content))
            ids = np.array(encoded.ids[1:-1], dtype=np.int64)[:, None]  # no [CLS] and <EOS>
            longest = self.codec.encoder.network.config.text_tokens
            if not len(ids) or (len(encoded.ids) >= longest and not cut):
                raise QueryError(
                    f"a text must have 1 to {longest - 3} tokens, this one has "
                    f"{f'{len(ids)} or more' if len(ids) else 'none'}",
                    hint="say it in fewer words" if len(ids) else "",
                )
            return Coded(item.modality, ids, vector=self.vector(item))
        content = array_of(item)
        if item.modality is Modality.AUDIO:
            content = content[: MOST_BLOCKS * BLOCK_SAMPLES]
        elif item.modality is Modality.VIDEO:
            content = some_frames(content)
        self._must_draw(item.modality, "read")
        heard = MediaItem(item.modality, content)
        return Coded(item.modality, self.codec.encode(heard), vector=self.vector(heard))

    def vector(self, item: MediaItem) -> Float32[np.ndarray, " dim"]:
        """An item's search vector less the mean of its modality, at unit length.

        Of a sound, the vector of as much as the encoder takes at once.
        """
        encoder = self.codec.encoder
        if item.modality is Modality.AUDIO:
            longest = encoder.network.config.audio.positions * SAMPLES_PER_POSITION
            item = MediaItem(item.modality, array_of(item)[:longest])
        encoded = torch.from_numpy(encoder.encode([item]))
        return centred(encoded, encoder.means, item.modality)[0].numpy()

    def show(self, coded: Coded) -> MediaItem:
        """An item that codes stand for; an empty text becomes `(nothing)`."""
        if coded.modality is not Modality.TEXT:
            return self.codec.decode(coded.modality, coded.codes)
        text = self.codec.encoder.tokenizer.decode(coded.codes[:, 0].tolist()).strip()
        return MediaItem(Modality.TEXT, text or NOTHING)

    def draw(self, prompt: Sequence[Coded], request: Request) -> list[Coded]:
        """Draw answers to a prompt, one for each of the request's keys.

        A video's frames are drawn one after the other, each from the frame before, noised again;
        a sound's blocks likewise, each hearing the block before.

        Raises:
            QueryError: The prompt is empty, or too long for the model.
            EncoderError: The model can't draw this modality.
        """
        modality, rule, count = request.modality, request.rule, len(request.keys)
        if not prompt:
            raise QueryError("there is nothing to start from", hint="give words or a file")
        self._must_draw(modality, "draw")
        if is_too_long(prompt, self.room_for(request)):
            raise QueryError(
                f"the prompt takes more than {MOST_POSITIONS} positions with its answer",
                hint="a picture takes 66, a video 72, 2.56 s of sound 66, a word about 1",
            )
        condition = [part for coded in prompt for part in parts_of(coded, count)]
        if modality is Modality.TEXT:
            slots = text_slots(self.flow.model, self.flow.paths, condition, end=END_ID, rule=rule)
            return [_text(row) for row in self._piece(condition, request, slots=slots)]
        pieces: list[Tensor] = []
        for frame in range(self._count_pieces(request)):
            before = pieces[-1] if pieces else None
            heard = condition
            if modality is Modality.AUDIO and before is not None:
                real = torch.ones(before.shape[:2], dtype=torch.bool)
                heard = [*condition, Part(modality, before, real, frame=frame - 1)]
                before = None
            piece = Piece(frame, before)
            pieces.append(self._piece(heard, request, slots=POSITIONS, piece=piece))
        return [Coded(modality, row.numpy()) for row in torch.cat(pieces, dim=1)]

    @staticmethod
    def room_for(request: Request) -> int:
        """How many positions an answer may take."""
        longest = request.rule.block * request.rule.most_blocks
        return positions_of_answer(request.modality, text_slots=longest)

    def _piece(
        self, condition: list[Part], request: Request, *, slots: int, piece: Piece | None = None
    ) -> Tensor:
        kind = Modality.IMAGE if request.modality is Modality.VIDEO else request.modality
        keys = torch.tensor(request.keys)
        model, paths, rule = self.flow.model, self.flow.paths, request.rule
        return generate(
            model, paths, condition, kind, slots=slots, rule=rule, keys=keys, piece=piece
        )

    @staticmethod
    def _count_pieces(request: Request) -> int:
        if request.modality is Modality.AUDIO:
            return math.ceil(request.seconds / BLOCK_SECONDS)
        return FRAMES if request.modality is Modality.VIDEO else 1

    def _must_draw(self, modality: Modality, verb: str) -> None:
        kind = Modality.IMAGE if modality is Modality.VIDEO else modality
        if kind not in self.flow.paths:
            raise EncoderError(
                f"this model can't {verb} {modality}",
                hint=f"it knows {', '.join(self.flow.paths)}, and video by its images",
            )


def some_frames(frames: UInt8[np.ndarray, "frames h w 3"]) -> UInt8[np.ndarray, "four h w 3"]:
    """The four frames of a video that the model sees, spread evenly from the first to the last."""
    return frames[np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)]


def _text(row: Tensor) -> Coded:
    """A text's word ids up to its end."""
    ids = row[:, 0].tolist()
    ids = ids[: ids.index(END_ID)] if END_ID in ids else ids
    return Coded(Modality.TEXT, np.array(ids, dtype=np.int64)[:, None])
