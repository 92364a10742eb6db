import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_encoder.audio import BLOCK_SAMPLES
from omni_encoder.patches import (
    grid_positions,
    image_patches,
    joined_image,
    joined_sound,
    mirrored,
    sound_of,
    sound_patches,
    spectrogram,
)


@given(seed=st.integers(0, 99))
@settings(max_examples=10)
def test_patches_are_squares_and_come_together_again(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(2, 3, 64, 64, generator=generator)
    mels = torch.rand(2, 64, 256, generator=generator)

    patches = image_patches(pixels)

    assert torch.equal(joined_image(patches), pixels)
    assert torch.equal(joined_sound(sound_patches(mels)), mels)
    assert torch.equal(patches[0, 10].view(3, 8, 8), pixels[0, :, 8:16, 16:24])
    assert torch.equal(sound_patches(mels)[0, 3, :64], mels[0, :, 12])


@given(seed=st.integers(0, 99))
@settings(max_examples=10)
def test_mirrored_positions_are_the_positions_of_the_mirrored_image(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(2, 3, 64, 64, generator=generator)
    grid = torch.rand(2, 5, 14, 14, generator=generator)

    assert torch.equal(mirrored(image_patches(pixels), inner=8), image_patches(pixels.flip(3)))
    torch.testing.assert_close(
        mirrored(grid_positions(grid), inner=2), grid_positions(grid.flip(3))
    )


def test_a_spectrogram_voiced_again_sounds_alike() -> None:
    time = torch.arange(BLOCK_SAMPLES) / 16_000
    samples = 0.3 * torch.sin(2 * torch.pi * (300 + 200 * time) * time)[None]
    mels = spectrogram(samples)

    voiced = sound_of(mels)

    assert voiced.shape == samples.shape
    # Where there is sound at all: the floor lies 8 powers of ten below, and nobody hears it.
    loud = mels > mels.max() - 0.75
    gap = (spectrogram(voiced) - mels)[loud].abs().mean().item()
    assert gap < 0.06, gap
    assert np.isfinite(voiced.numpy()).all()


def test_silence_stays_silent() -> None:
    quiet = sound_of(spectrogram(torch.zeros(1, BLOCK_SAMPLES)))

    assert quiet.abs().max() < 1e-3
