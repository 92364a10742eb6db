"""Media to codes and back, with the shared encoders and the tokenizers that read them."""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from .audio import BLOCK_SAMPLES
from .errors import EncoderError
from .model import OmniEncoder, array_of, square
from .patches import IMAGE_PIXELS, POSITIONS, image_patches, sound_of, sound_patches, spectrogram
from .token_checkpoint import Tokenizers, load_tokenizers
from .tokenizer import MediaTokenizer
from .train_token_data import deep_image, deep_sound
from .types import MediaItem, Modality


class MediaCodec:
    """Turns images, sounds and videos into codes, and codes into media.

    An image is 64 positions of codes, row by row; a video likewise frame after frame; a sound has
    64 positions for each 2.56 s begun.
    """

    def __init__(self, encoder: OmniEncoder, tokenizers: Tokenizers) -> None:
        self.encoder = encoder
        self.tokenizers = tokenizers

    @classmethod
    def load(cls, path: Path, encoder: OmniEncoder) -> "MediaCodec":
        """Read the tokenizers of an encoder.

        Raises:
            CheckpointError: The file is missing, damaged, or belongs to another encoder.
        """
        return cls(encoder, load_tokenizers(path, encoder.network))

    def tokenizer(self, modality: Modality) -> MediaTokenizer:
        """What tokenizes a modality; frames of videos are images.

        Raises:
            EncoderError: There is none for it.
        """
        kind = Modality.IMAGE if modality is Modality.VIDEO else modality
        found = self.tokenizers.by_modality.get(kind)
        if found is None:
            raise EncoderError(
                f"no tokenizer was trained for {modality}",
                hint="texts have words; train the others: omnidex train, section [tokens]",
            )
        return found

    @torch.inference_mode()
    def encode(self, item: MediaItem) -> Int64[np.ndarray, "positions books"]:
        """The codes of one item, `POSITIONS` for each image, frame or block of sound."""
        tokenizer = self.tokenizer(item.modality)
        if item.modality is Modality.AUDIO:
            blocks = _blocks(array_of(item))
            codes = tokenizer.encode(
                deep_sound(self.encoder, blocks), sound_patches(spectrogram(blocks))
            )
        else:
            frames = array_of(item)
            frames = frames if item.modality is Modality.VIDEO else frames[None]
            codes = self._image_codes(tokenizer, frames)
        return codes.flatten(0, 1).numpy()

    def _image_codes(self, tokenizer: MediaTokenizer, frames: np.ndarray) -> Tensor:
        side = self.encoder.network.config.vision.pixels
        large = torch.stack([square(frame, side) for frame in frames])
        small = torch.stack([square(frame, IMAGE_PIXELS) for frame in frames]).float()
        return tokenizer.encode(deep_image(self.encoder, large), image_patches(small) / 127.5 - 1)

    @torch.inference_mode()
    def decode(self, modality: Modality, codes: Int64[np.ndarray, "positions books"]) -> MediaItem:
        """What codes look or sound like: 64 x 64 pixels a frame, or 2.56 s a block.

        Raises:
            ValueError: There are no codes, their number is no multiple of 64, or one is out of
                range.
        """
        tokenizer = self.tokenizer(modality)
        config = tokenizer.config
        if not len(codes) or len(codes) % POSITIONS or codes.shape[1] != config.books:
            raise ValueError(
                f"codes must have a multiple of {POSITIONS} rows of {config.books}, "
                f"got {list(codes.shape)}"
            )
        if codes.min() < 0 or codes.max() >= config.codes:
            raise ValueError(f"codes must be in 0..{config.codes - 1}, got up to {codes.max()}")
        blocks = torch.from_numpy(codes).unflatten(0, (-1, POSITIONS))
        made = tokenizer.decode(blocks)
        if modality is Modality.AUDIO:
            # One spectrogram from end to end, so that phases run on from block to block.
            mels = made.transpose(0, 1).flatten(1)[None]
            return MediaItem(modality, sound_of(mels)[0].numpy())
        pixels = ((made + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        frames = pixels.permute(0, 2, 3, 1).numpy()
        return MediaItem(modality, frames if modality is Modality.VIDEO else frames[0])


def _blocks(samples: np.ndarray) -> Tensor:
    """Samples as blocks of 2.56 s, the last padded with silence."""
    count = -(-len(samples) // BLOCK_SAMPLES)
    blocks = torch.zeros(count * BLOCK_SAMPLES)
    blocks[: len(samples)] = torch.from_numpy(samples)
    return blocks.view(count, BLOCK_SAMPLES)
