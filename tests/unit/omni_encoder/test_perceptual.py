"""The encoder's view of what is rebuilt."""

import pytest
import torch

from omni_encoder.audio import BLOCK_SAMPLES, log_mel, mel_filters
from omni_encoder.model import OmniEncoder, tiny_checkpoint
from omni_encoder.patches import power_of, spectrogram
from omni_encoder.perceptual import perception
from omni_encoder.types import Modality

SHAPES = {Modality.IMAGE: (3, 3, 64, 64), Modality.AUDIO: (3, 64, 256)}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> OmniEncoder:
    path = tiny_checkpoint(tmp_path_factory.mktemp("perceptual") / "tiny.safetensors")
    return OmniEncoder.load(path, name="tiny")


def _media(modality: Modality, seed: int) -> torch.Tensor:
    return torch.rand(SHAPES[modality], generator=torch.Generator().manual_seed(seed))


def _vectors() -> torch.Tensor:
    rows = torch.randn(3, 32, generator=torch.Generator().manual_seed(5))
    return torch.nn.functional.normalize(rows, dim=1)


def _look(
    encoder: OmniEncoder, modality: Modality, made: torch.Tensor, *, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    views = torch.Generator().manual_seed(seed)
    return perception(encoder, modality)(made, _media(modality, 1), _vectors(), views)


@pytest.mark.parametrize("modality", list(SHAPES))
def test_the_original_is_nothing_unlike_and_what_is_farther_is_more(
    encoder: OmniEncoder, modality: Modality
) -> None:
    true, other = _media(modality, 1), _media(modality, 2)

    same, near, far = (
        _look(encoder, modality, true + share * (other - true))[0].item()
        for share in (0.0, 0.1, 1.0)
    )

    assert same == 0
    assert 0 < near < far


@pytest.mark.parametrize("modality", list(SHAPES))
def test_gradients_reach_what_was_made_and_never_the_encoder(
    encoder: OmniEncoder, modality: Modality
) -> None:
    made = _media(modality, 2).requires_grad_()

    sum(_look(encoder, modality, made), torch.zeros(())).backward()

    assert made.grad is not None
    assert made.grad.isfinite().all()
    assert made.grad.flatten(1).norm(dim=1).min() > 0
    assert all(p.grad is None for p in encoder.network.parameters())


def test_views_differ_from_step_to_step_and_are_those_of_the_seed(encoder: OmniEncoder) -> None:
    made = _media(Modality.IMAGE, 2)

    first, again, other = (_look(encoder, Modality.IMAGE, made, seed=s)[0] for s in (0, 0, 1))

    assert first == again != other


def test_a_spectrogram_is_heard_much_as_the_sound_it_is_of() -> None:
    generator = torch.Generator().manual_seed(0)
    samples = torch.rand(2, BLOCK_SAMPLES, generator=generator) * torch.tensor([[1.0], [0.1]])
    filters = mel_filters(80)

    heard = (filters @ power_of(spectrogram(samples))).clamp(min=1e-10).log10() / 4 + 1

    # 64 bands don't say all that 80 do.
    assert (heard - log_mel(samples, filters)).abs().mean() < 0.06
