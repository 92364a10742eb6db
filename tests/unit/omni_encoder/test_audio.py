import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from omni_encoder.audio import (
    BLOCK_SAMPLES,
    AudioConfig,
    AudioEncoder,
    log_mel,
    mel_filters,
    padded_length,
)


def _hertz(mel: float) -> float:
    """Slaney's scale: 200/3 Hz a mel below 1 kHz, then 27 mel for each factor of 6.4."""
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def _edges(mels: int) -> list[float]:
    top = 15 + 27 * math.log(8) / math.log(6.4)
    return [_hertz(top * i / (mels + 1)) for i in range(mels + 2)]


def test_mel_filters_are_triangles_of_equal_area_on_slaneys_scale() -> None:
    edges, bins = _edges(80), np.arange(201) * 40.0
    expected = np.stack(
        [
            np.interp(bins, [low, peak, high], [0, 2 / (high - low), 0])
            for low, peak, high in zip(edges, edges[1:], edges[2:], strict=False)
        ]
    )

    filters = mel_filters(80).numpy()

    assert filters.shape == (80, 201)
    np.testing.assert_allclose(filters, expected, atol=1e-7)
    # Unit area in hertz; narrow low bands fall between bins of 40 Hz, so only the wide are summed.
    np.testing.assert_allclose(filters[50:].sum(axis=1) * 40, 1, atol=0.05)


def test_a_sine_of_1_khz_peaks_in_the_band_around_1_khz() -> None:
    time = torch.arange(16_000) / 16_000
    samples = 0.5 * torch.sin(2 * math.pi * 1000 * time)[None]

    mel = log_mel(samples, mel_filters(80))

    assert mel.shape == (1, 80, 100)
    nearest = int(np.argmin(np.abs(np.array(_edges(80)[1:-1]) - 1000)))
    assert set(mel[0, :, 5:-5].argmax(dim=0).tolist()) == {nearest}


def test_the_spectrogram_is_floored_8_decades_below_the_maximum_of_its_own_clip() -> None:
    generator = torch.Generator().manual_seed(0)
    loud = torch.randn(1, 3200, generator=generator)
    loud[:, 1600:] = 0
    both = torch.cat([loud, loud * 0.1])

    mel = log_mel(both, mel_filters(40))

    torch.testing.assert_close(mel.amax(dim=(1, 2)) - mel.amin(dim=(1, 2)), torch.full((2,), 2.0))
    # A tenth of the amplitude is 2 decades less power, a quarter of which is 0.5.
    torch.testing.assert_close(mel[0] - 0.5, mel[1], rtol=0, atol=1e-4)


def test_silence_is_finite() -> None:
    assert log_mel(torch.zeros(1, 1600), mel_filters(80)).isfinite().all()


@given(st.integers(0, 10 * BLOCK_SAMPLES))
def test_clips_are_padded_to_the_next_whole_block_and_at_least_one(samples: int) -> None:
    length = padded_length(samples)

    assert length % BLOCK_SAMPLES == 0
    assert length >= max(samples, 1)
    assert length - samples < BLOCK_SAMPLES or samples == 0
    assert padded_length(length) == length


@torch.inference_mode()
def test_the_encoder_makes_a_feature_each_20_ms() -> None:
    encoder = AudioEncoder(AudioConfig(width=16, heads=2, layers=1, positions=256)).eval()

    assert encoder(torch.zeros(2, BLOCK_SAMPLES)).shape == (2, 128, 16)
    assert encoder(torch.zeros(1, 2 * BLOCK_SAMPLES)).shape == (1, 256, 16)
