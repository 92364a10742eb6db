"""How one would run the network without a thought for speed: the baseline of `bench encode`.

Plain float32 modules in torch's own memory order, items in the order given, and texts padded to
the longest that the model takes, as tokenizers do when told to pad to the model's limit, or to the
longest of their batch.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from .checkpoint import load_checkpoint
from .model import OmniEncoder, pad_ids
from .shipped import shipped_checkpoint
from .types import MediaItem, Modality
from .vision import normalise_pixels


class NaiveEncoder(OmniEncoder):
    """Encodes like `OmniEncoder`, and gives the same vectors but for rounding."""

    def __init__(self, *, pads_to_limit: bool = True) -> None:
        """Load the shipped model.

        Args:
            pads_to_limit: Whether texts are padded to the model's limit, not to their batch's.
        """
        super().__init__(load_checkpoint(shipped_checkpoint()), name="naive", plain=True)
        self.network.vision.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue] - torch's stub lacks it
        self.network.pixels = _contiguous_pixels
        self._pads_to_limit = pads_to_limit

    @torch.no_grad()
    def encode(self, items: Sequence[MediaItem]) -> Float32[np.ndarray, "items dim"]:
        """See `Encoder.encode`; all items are of one modality and make one batch."""
        encoders = {
            Modality.TEXT: self._encode_texts,
            Modality.IMAGE: self._encode_images,
            Modality.AUDIO: self._encode_audio,
            Modality.VIDEO: self._encode_videos,
        }
        return encoders[items[0].modality](list(items)).numpy()

    def _encode_texts(self, items: list[MediaItem]) -> Tensor:
        encodings = self.tokenizer.encode_batch([str(item.content) for item in items])
        ids, real = pad_ids([encoding.ids for encoding in encodings])
        if self._pads_to_limit:
            more = (0, self.network.config.text_tokens - ids.shape[1])
            ids = torch.nn.functional.pad(ids, more)
            real = torch.nn.functional.pad(real, more)
        return self.network.encode_text(ids, real)


def _contiguous_pixels(pixels: Tensor) -> Tensor:
    return normalise_pixels(pixels).contiguous()
