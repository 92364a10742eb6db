"""What a tokenizer keeps of a file: the file to codes and back to media."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from .codes import MediaCodec
from .media import open_media
from .media_writing import check_writable, write_item
from .model import OmniEncoder, array_of, square
from .patches import IMAGE_PIXELS
from .shipped import shipped_checkpoint, shipped_tokens
from .types import MediaItem, Modality

_LONGEST_PARTS = 6  # of sound, about a minute


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What became of a file.

    Attributes:
        modality: Of the file.
        codes: How many codes stand for it.
        bits: What they would take.
        error: Mean absolute difference of pixels, in [0, 1], at the tokenizer's resolution; None
            for sound, whose phases are free.
    """

    modality: Modality
    codes: int
    bits: int
    error: float | None


def reconstruct(
    path: Path,
    out: Path,
    *,
    encoder: Path | None = None,
    tokens: Path | None = None,
    beside: bool = False,
    threads: int | None = None,
) -> Reconstruction:
    """Encode a file to codes, decode them, and write what comes out.

    Args:
        path: An image, a sound (its first minute) or a video (its first part).
        out: Where to; its suffix must suit.
        encoder: The encoder's checkpoint; the shipped one if not given.
        tokens: The tokenizers' file; the shipped one if not given.
        beside: Put the original, at the same resolution, to the left of each picture or before the
            sound.
        threads: How many torch threads to use; None leaves torch's own choice.

    Raises:
        MediaError: The file can't be decoded.
        EncoderError: The encoder or the tokenizers can't be loaded, or the file is a text.
        WritingError: `out` can't hold it.
    """
    model = OmniEncoder.load(encoder or shipped_checkpoint(), name="omni", threads=threads)
    codec = MediaCodec.load(tokens or shipped_tokens(), model)
    layout = model.spec.layout
    # Parts of sound that don't overlap, so that they can be put end to end.
    layout = replace(layout, audio_hop_s=layout.audio_part_s)
    item = _whole(open_media(path, layout)[1])
    tokenizer = codec.tokenizer(item.modality)
    check_writable(item.modality, out)
    codes = codec.encode(item)
    made = codec.decode(item.modality, codes)
    original = _as_seen(item, made)
    first, second = array_of(original), array_of(made)
    error = None
    if item.modality is not Modality.AUDIO:
        error = float(np.abs(first.astype(np.float32) - second).mean() / 255)
    if beside:
        axis = 0 if item.modality is Modality.AUDIO else first.ndim - 2
        made = MediaItem(item.modality, np.concatenate([first, second], axis=axis))
    write_item(made, out)
    bits = codes.size * (tokenizer.config.codes - 1).bit_length()
    return Reconstruction(item.modality, codes.size, bits, error)


def _whole(parts: Iterator[MediaItem]) -> MediaItem:
    """Parts of a sound end to end; of anything else, the first."""
    first = next(parts)
    if first.modality is not Modality.AUDIO:
        return first
    more = islice(parts, _LONGEST_PARTS - 1)
    return MediaItem(
        Modality.AUDIO, np.concatenate([array_of(first), *(array_of(item) for item in more)])
    )


def _as_seen(item: MediaItem, made: MediaItem) -> MediaItem:
    """The original at the tokenizer's resolution, or as long as what was made of it."""
    content = array_of(item)
    if item.modality is Modality.AUDIO:
        missing = len(array_of(made)) - len(content)
        return MediaItem(item.modality, np.pad(content, (0, missing)))
    frames = content if item.modality is Modality.VIDEO else content[None]
    small = np.stack([square(f, IMAGE_PIXELS).permute(1, 2, 0).numpy() for f in frames])
    return MediaItem(item.modality, small if item.modality is Modality.VIDEO else small[0])
