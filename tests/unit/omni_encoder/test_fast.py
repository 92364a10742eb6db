"""The fast arrangement of the network against the plain one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from omni_encoder import MediaItem, Modality, fast
from omni_encoder.checkpoint import load_checkpoint
from omni_encoder.config import VisionConfig
from omni_encoder.fast import FusedVision, fast_copy
from omni_encoder.model import OmniEncoder, tiny_checkpoint
from omni_encoder.naive import NaiveEncoder
from omni_encoder.shipped import shipped_checkpoint
from omni_encoder.vision import VisionEncoder


@pytest.mark.parametrize("side", [32, 65, 96])
def test_fused_convolutions_give_what_plain_ones_do(side: int) -> None:
    torch.manual_seed(0)
    vision = VisionEncoder(VisionConfig(width=0.5, depth=0.5, features=64)).eval()
    for module in vision.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    pixels = (torch.rand(2, 3, side, side) * 2 - 1).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        plain = vision(pixels)
        torch.testing.assert_close(FusedVision(vision)(pixels), plain, atol=1e-4, rtol=1e-4)
        assert plain.std() > 0.1


def test_the_network_itself_stays_as_it_is(tmp_path: Path) -> None:
    network = load_checkpoint(tiny_checkpoint(tmp_path / "tiny.safetensors")).network.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    made = fast_copy(network)
    assert isinstance(made.vision, FusedVision)
    assert isinstance(network.vision, VisionEncoder)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, before[name], atol=0, rtol=0)


def test_where_torch_lacks_the_operators_the_plain_network_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise AttributeError("no such operator")

    monkeypatch.setattr(fast, "FusedConv", missing)
    network = load_checkpoint(tiny_checkpoint(tmp_path / "tiny.safetensors")).network.eval()
    assert fast_copy(network) is network


def test_vectors_of_the_shipped_model_stay_where_they_are() -> None:
    generator = np.random.default_rng(0)
    encoder = OmniEncoder(load_checkpoint(shipped_checkpoint()))
    plain = OmniEncoder(load_checkpoint(shipped_checkpoint()), plain=True)
    noise = generator.integers(0, 256, (224, 224, 3), dtype=np.uint8)
    items = [
        MediaItem(Modality.TEXT, "a dog on a beach"),
        MediaItem(Modality.TEXT, "rain on a tin roof, and thunder far away " * 8),
        MediaItem(Modality.IMAGE, noise),
        MediaItem(Modality.IMAGE, np.full_like(noise, 120)),
        MediaItem(Modality.VIDEO, np.stack([noise, noise[::-1]])),
        MediaItem(Modality.AUDIO, generator.standard_normal(16_000).astype(np.float32) * 0.1),
        MediaItem(Modality.AUDIO, np.zeros(50_000, np.float32)),
    ]
    cosines = (encoder.encode(items) * plain.encode(items)).sum(axis=1)
    assert cosines.min() > 0.99999


def test_the_baseline_of_the_benchmark_gives_the_same_vectors() -> None:
    texts = [MediaItem(Modality.TEXT, text) for text in ("a cat", "two dogs that run by the sea")]
    images = [MediaItem(Modality.IMAGE, np.full((224, 224, 3), 99, np.uint8))]
    plain = OmniEncoder(load_checkpoint(shipped_checkpoint()), plain=True)
    for items in (texts, images):
        exact = plain.encode(items)
        np.testing.assert_allclose(NaiveEncoder().encode(items), exact, atol=1e-5)
