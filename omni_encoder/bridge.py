"""The frozen bridge: a baseline that was never trained on a pair.

What a classifier sees, said in words: the probabilities of its classes times the text vectors of
the classes' names. Images and video frames go through EfficientNet-Lite0's 1,000 ImageNet classes,
sounds through YAMNet's 521 AudioSet classes, texts through MiniLM. It needs the packages of
training (docs/training.md), so it serves benchmarks and not collections.
"""

from collections.abc import Sequence

import numpy as np
import torch
from blake3 import blake3
from jaxtyping import Float32
from torch import Tensor
from torch.nn import functional

from .model import encode_texts, square
from .start import start_network
from .teachers import SoundTeacher
from .types import EncoderSpec, MediaItem, Modality


class BridgeEncoder:
    """Encodes any modality by named classes alone. See `Encoder`."""

    def __init__(self, *, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.network, self.tokenizer = start_network(vision_size=0, seed=0)
        self.sounds = SoundTeacher(threads=threads or 1)
        self.means = None
        self.spec = EncoderSpec(
            name="bridge",
            fingerprint=blake3(b"bridge-1").hexdigest(16),
            dim=self.network.config.backbone.width,
            modalities=tuple(Modality),
            layout=self.network.config.layout(),
        )

    @torch.inference_mode()
    def encode(self, items: Sequence[MediaItem]) -> Float32[np.ndarray, "items dim"]:
        """See `Encoder.encode`."""
        vectors = np.zeros((len(items), self.spec.dim), dtype=np.float32)
        texts = [(i, item.content) for i, item in enumerate(items) if isinstance(item.content, str)]
        if texts:
            rows = encode_texts(self.network, self.tokenizer, [text for _, text in texts])
            centred = torch.from_numpy(rows) - self.network.image_concepts.vectors.mean(dim=0)
            vectors[[i for i, _ in texts]] = functional.normalize(centred, dim=-1).numpy()
        for i, item in enumerate(items):
            if item.modality is not Modality.TEXT:
                vectors[i] = self._media(item).numpy()
        return vectors

    def _media(self, item: MediaItem) -> Tensor:
        content = item.content
        assert isinstance(content, np.ndarray)  # texts are dealt with before
        if item.modality is Modality.AUDIO:
            logits = torch.from_numpy(self.sounds.logits(content))
            return self.network.audio_concepts.mix(logits[None])[0]
        frames = content if item.modality is Modality.VIDEO else content[None]
        pixels = torch.stack([square(frame, self.spec.layout.image_pixels) for frame in frames])
        maps = self.network.vision(self.network.pixels(pixels))
        mixed = self.network.image_concepts(maps.mean(dim=(2, 3)))
        return functional.normalize(mixed.sum(dim=0), dim=0)
