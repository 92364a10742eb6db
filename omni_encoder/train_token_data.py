"""What the tokenizers are trained on: patches, encoder features and the search vector of each item.

Everything is made once from the frozen encoder and kept in the run folder in blocks, as the search
stage keeps its features.
"""

# What torch and numpy return is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from blake3 import blake3
from torch import Tensor

from .audio import BLOCK_SAMPLES
from .model import OmniEncoder, array_of, square
from .patches import IMAGE_PIXELS, grid_positions, image_patches, sound_patches, spectrogram
from .train_config import TrainingError
from .train_data import Features, TrainItem, build_features
from .types import MediaItem, Modality

Pair = tuple[np.ndarray, np.ndarray]


def deep_image(encoder: OmniEncoder, pixels: Tensor) -> Tensor:
    """The vision trunk's features of square images in 0..255, by the tokenizer's positions."""
    network = encoder.network
    return grid_positions(network.vision.trunk(network.pixels(pixels)))


def deep_sound(encoder: OmniEncoder, samples: Tensor) -> Tensor:
    """The audio encoder's features of 2.56 s blocks; two of 20 ms make a position."""
    return encoder.network.audio(samples).unflatten(1, (-1, 2)).flatten(2)


class ImageSource:
    """Images to rows of encoder features and pixels, and their search vectors."""

    modality = Modality.IMAGE

    def __init__(self, encoder: OmniEncoder) -> None:
        self.encoder = encoder

    @torch.inference_mode()
    def __call__(self, items: Sequence[MediaItem]) -> list[Pair]:
        """Per item: [64, trunk + pixel features] in half precision (pixels 0..255), and [dim]."""
        network = self.encoder.network
        side = network.config.vision.pixels
        large = torch.stack([square(array_of(item), side) for item in items])
        small = torch.stack([square(array_of(item), IMAGE_PIXELS) for item in items]).float()
        trunk = network.vision.trunk(network.pixels(large))
        features = network.grid_features(network.vision.late(trunk), grid=network.config.image_grid)
        real = torch.ones(features.shape[:2], dtype=torch.bool)
        vectors = network.encode_media(Modality.IMAGE, features, real)
        rows = torch.cat([grid_positions(trunk), image_patches(small)], dim=2)
        return list(zip(rows.half().numpy(), vectors.float().numpy(), strict=True))


class SoundSource:
    """The first 2.56 s of clips to rows of encoder features and spectrogram, and search vectors."""

    modality = Modality.AUDIO

    def __init__(self, encoder: OmniEncoder) -> None:
        self.encoder = encoder

    @torch.inference_mode()
    def __call__(self, items: Sequence[MediaItem]) -> list[Pair]:
        """Per item: [64, audio + mel features] in half precision, and [dim]."""
        network = self.encoder.network
        samples = torch.zeros(len(items), BLOCK_SAMPLES)
        for row, item in zip(samples, items, strict=True):
            clip = array_of(item)[:BLOCK_SAMPLES]
            row[: len(clip)] = torch.from_numpy(clip)
        positions = network.audio(samples)
        features = positions.unflatten(1, (-1, network.config.audio_stack)).flatten(2)
        counts = [
            min(features.shape[1], network.audio_tokens(len(array_of(item)))) for item in items
        ]
        real = torch.arange(features.shape[1])[None] < torch.tensor(counts)[:, None]
        vectors = network.encode_media(Modality.AUDIO, features, real)
        deep = positions.unflatten(1, (-1, 2)).flatten(2)
        rows = torch.cat([deep, sound_patches(spectrogram(samples))], dim=2)
        return list(zip(rows.half().numpy(), vectors.float().numpy(), strict=True))


def token_features(
    items: Sequence[TrainItem],
    source: ImageSource | SoundSource,
    run: Path,
    progress: Callable[[str, int, int], None],
) -> Features:
    """Rows and search vectors of items of one modality, from the run folder as far as it goes.

    Raises:
        TrainingError: There is no item of this modality.
    """
    modality = source.modality
    if not items:
        raise TrainingError(f"the manifests hold no {modality}", hint="see docs/training.md")
    names = "\n".join(f"{i.id} {i.path.stat().st_size}" for i in items if i.path.exists())
    key = blake3(f"{source.encoder.spec.fingerprint}\n{names}".encode()).hexdigest(6)
    layout = source.encoder.spec.layout
    return build_features(
        items,
        source,
        run / "features" / f"tokens-{modality}-{key}",
        view=0,
        seed=0,
        layout=replace(layout, image_pixels=max(layout.image_pixels, IMAGE_PIXELS)),
        progress=lambda done, total: progress(f"{modality} rows", done, total),
    )
