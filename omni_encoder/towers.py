"""The frozen towers of a training run, as functions from decoded items to kept features."""

from collections.abc import Sequence

import numpy as np
import torch

from .audio import padded_length
from .model import array_of, even_frames, square
from .network import SAMPLES_PER_POSITION, OmniNetwork
from .teachers import SoundTeacher
from .types import MediaItem

Pair = tuple[np.ndarray, np.ndarray]


class ImageTower:
    """Images to the vision trunk's grid, row by row, and the logits of the ImageNet classifier."""

    def __init__(self, network: OmniNetwork) -> None:
        self.network = network

    @torch.inference_mode()
    def __call__(self, items: Sequence[MediaItem]) -> list[Pair]:
        """Per item: [grid cells, channels] in half precision, and [1000] logits."""
        side = self.network.config.vision.pixels
        pixels = torch.stack([square(array_of(item), side) for item in items])
        return [self._pair(row) for row in zip(*self._encode(pixels), strict=True)]

    def _encode(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        trunk = self.network.vision.trunk(self.network.pixels(pixels))
        pooled = self.network.vision.late(trunk).mean(dim=(2, 3))
        return trunk.flatten(2).transpose(1, 2), self.network.image_concepts.classifier(pooled)

    @staticmethod
    def _pair(row: tuple[torch.Tensor, torch.Tensor]) -> Pair:
        return row[0].half().numpy(), row[1].numpy()


class VideoTower(ImageTower):
    """Videos likewise: frame after frame, and the frames' mean logits."""

    @torch.inference_mode()
    def __call__(self, items: Sequence[MediaItem]) -> list[Pair]:
        """Per item: [frames * grid cells, channels] in half precision, and [1000] logits."""
        side, count = self.network.config.vision.pixels, self.network.config.frames
        pairs: list[Pair] = []
        for item in items:
            trunk, logits = self._encode(even_frames(array_of(item), count=count, side=side))
            pairs.append(self._pair((trunk.flatten(0, 1), logits.mean(dim=0))))
        return pairs


class AudioTower:
    """Clips to stacked audio features, and the sound teacher's logits."""

    def __init__(self, network: OmniNetwork, teacher: SoundTeacher) -> None:
        self.network = network
        self.teacher = teacher

    @torch.inference_mode()
    def __call__(self, items: Sequence[MediaItem]) -> list[Pair]:
        """Per item: [tokens, audio_stack * width] in half precision, and [521] logits."""
        pairs: list[Pair | None] = [None] * len(items)
        longest = self.network.config.audio.positions * SAMPLES_PER_POSITION
        clips = [array_of(item)[:longest] for item in items]
        for length in {padded_length(len(clip)) for clip in clips}:
            rows = [i for i, clip in enumerate(clips) if padded_length(len(clip)) == length]
            samples = torch.zeros(len(rows), length)
            for target, i in zip(samples, rows, strict=True):
                target[: len(clips[i])] = torch.from_numpy(clips[i])
            for i, features in zip(rows, self.network.audio_features(samples), strict=True):
                kept = features[: self.network.audio_tokens(len(clips[i]))]
                pairs[i] = (kept.half().numpy(), self.teacher.logits(clips[i]))
        return [pair for pair in pairs if pair is not None]
