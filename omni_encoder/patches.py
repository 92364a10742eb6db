"""Media cut into a tokenizer's positions, and back: pixel squares, and strips of a spectrogram.

Both tokenizers see 64 positions. An image of 64 x 64 pixels is 8 x 8 squares of 8 x 8 pixels; a
block of 2.56 s is 64 strips of four spectrogram frames. What the shared encoders know of the same
media is laid out by the same positions.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from .audio import BLOCK_SAMPLES, log_mel, mel_filters
from .types import SAMPLE_RATE_HZ

IMAGE_PIXELS, IMAGE_GRID = 64, 8
MELS, STRIP_FRAMES = 64, 4
POSITIONS = 64
BLOCK_FRAMES = POSITIONS * STRIP_FRAMES
BLOCK_SECONDS = BLOCK_SAMPLES / SAMPLE_RATE_HZ
_FFT, _HOP = 400, 160
_LOG_RANGE, _LOG_OFFSET = 4.0, 4.0  # of audio.log_mel: (log10 power + 4) / 4


def image_patches(
    pixels: Float[Tensor, "batch 3 64 64"],
) -> Float[Tensor, "batch 64 192"]:
    """Squares of an image, row by row; each holds channel by channel, row by row."""
    return functional.pixel_unshuffle(pixels, IMAGE_GRID).flatten(2).transpose(1, 2)


def joined_image(patches: Float[Tensor, "batch 64 192"]) -> Float[Tensor, "batch 3 64 64"]:
    """The inverse of `image_patches`."""
    squares = patches.transpose(1, 2).unflatten(2, (IMAGE_GRID, IMAGE_GRID))
    return functional.pixel_shuffle(squares, IMAGE_GRID)


def grid_positions(maps: Float[Tensor, "batch f h w"]) -> Float[Tensor, "batch 64 f4"]:
    """A grid of features by the same 64 squares, each with four samples of the grid."""
    fine = functional.interpolate(
        maps, size=(2 * IMAGE_GRID, 2 * IMAGE_GRID), mode="bilinear", align_corners=False
    )
    return functional.pixel_unshuffle(fine, 2).flatten(2).transpose(1, 2)


def mirrored(positions: Float[Tensor, "batch 64 f"], *, inner: int) -> Float[Tensor, "batch 64 f"]:
    """Positions of an image mirrored left to right; `inner` is the side of what each holds."""
    grid = positions.unflatten(1, (IMAGE_GRID, IMAGE_GRID)).unflatten(3, (-1, inner, inner))
    return grid.flip(2, 5).flatten(3).flatten(1, 2)


def sound_patches(mels: Float[Tensor, "batch 64 256"]) -> Float[Tensor, "batch 64 256"]:
    """Strips of a spectrogram in time order; each holds frame by frame, low bands first."""
    return mels.transpose(1, 2).unflatten(1, (POSITIONS, STRIP_FRAMES)).flatten(2)


def joined_sound(patches: Float[Tensor, "batch 64 256"]) -> Float[Tensor, "batch 64 256"]:
    """The inverse of `sound_patches`."""
    return patches.unflatten(2, (STRIP_FRAMES, MELS)).flatten(1, 2).transpose(1, 2)


def spectrogram(samples: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch 64 frames"]:
    """The log-mel spectrogram that the sound tokenizer keeps: see `audio.log_mel`."""
    return log_mel(samples, mel_filters(MELS))


def power_of(mels: Float[Tensor, "batch 64 frames"]) -> Float[Tensor, "batch bins frames"]:
    """The power spectrum that is voiced for a spectrogram, by the filters' pseudo-inverse."""
    power = 10 ** (mels * _LOG_RANGE - _LOG_OFFSET)
    return (torch.linalg.pinv(mel_filters(MELS)) @ power).clamp(min=0)


def sound_of(
    mels: Float[Tensor, "batch 64 frames"], *, rounds: int = 60, seed: int = 0
) -> Float[Tensor, "batch samples"]:
    """Samples whose spectrogram is like `mels`, by Griffin and Lim's alternation.

    Magnitudes come from the filters' pseudo-inverse; phases start random and are made consistent
    `rounds` times, with momentum 0.99 (Perraudin et al., fast Griffin-Lim).
    """
    magnitude = power_of(mels).sqrt()
    magnitude = functional.pad(magnitude, (0, 1), mode="replicate")  # the frame log_mel drops
    generator = torch.Generator().manual_seed(seed)
    angle = torch.rand(magnitude.shape, generator=generator) * 2 * torch.pi
    phase = torch.polar(torch.ones_like(angle), angle)
    window = torch.hann_window(_FFT)
    length = mels.shape[-1] * _HOP
    before = torch.zeros_like(phase)
    for _ in range(rounds):
        samples = torch.istft(magnitude * phase, _FFT, _HOP, window=window, length=length)
        now = torch.stft(samples, _FFT, _HOP, window=window, return_complex=True)
        phase = now + 0.99 * (now - before)
        phase = phase / phase.abs().clamp(min=1e-12)
        before = now
    samples = torch.istft(magnitude * phase, _FFT, _HOP, window=window, length=length)
    return samples.clamp(-1, 1)
