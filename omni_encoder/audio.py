"""The audio encoder: log-mel spectrogram and Whisper's transformer, sound in, features every 20 ms.

Clips are padded with silence to a whole number of blocks, so a clip's features depend on its own
length only, never on its batch. Whisper itself pads everything to 30 s (Radford et al., 2212.04356,
section 2.2); we don't, which costs nothing after training and is several times faster.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from .config import AudioConfig
from .types import SAMPLE_RATE_HZ

_FFT, _HOP = 400, 160
BLOCK_POSITIONS = 128  # 2.56 s; two mel frames of 10 ms make a position
BLOCK_SAMPLES = BLOCK_POSITIONS * 2 * _HOP


def mel_filters(mels: int) -> Float[Tensor, "mels bins"]:
    """Triangular filters on Slaney's mel scale with equal area, up to 8 kHz, as Whisper uses."""

    def hertz(mel: Tensor) -> Tensor:
        # Linear below 1 kHz (15 mel), logarithmic above.
        return torch.where(
            mel < 15, mel * 200 / 3, 1000 * torch.exp((mel - 15) * math.log(6.4) / 27)
        )

    top = 15 + 27 * math.log(SAMPLE_RATE_HZ / 2 / 1000) / math.log(6.4)
    edges = hertz(torch.linspace(0, top, mels + 2, dtype=torch.float64))
    bins = torch.linspace(0, SAMPLE_RATE_HZ / 2, _FFT // 2 + 1, dtype=torch.float64)
    widths = edges.diff()
    slopes = edges[:, None] - bins[None, :]
    rising = -slopes[:-2] / widths[:-1, None]
    falling = slopes[2:] / widths[1:, None]
    area = 2 / (edges[2:] - edges[:-2])
    return (torch.minimum(rising, falling).clamp(min=0) * area[:, None]).float()


def log_mel(
    samples: Float[Tensor, "batch samples"], filters: Float[Tensor, "mels bins"]
) -> Float[Tensor, "batch mels frames"]:
    """Whisper's input: log10 mel power, floored 8 below each clip's maximum, about [-1, 1.5].

    One frame each 10 ms: frames = samples / 160.
    """
    window = torch.hann_window(_FFT, device=samples.device)
    spectrum = torch.stft(samples, _FFT, _HOP, window=window, return_complex=True)
    power = spectrum[..., :-1].abs() ** 2
    log = (filters @ power).clamp(min=1e-10).log10()
    floor = log.amax(dim=(1, 2), keepdim=True) - 8
    return (torch.maximum(log, floor) + 4) / 4


class AudioLayer(nn.Module):
    """A pre-norm transformer layer; `quick` takes the sigmoid for GELU, as OpenAI's CLIP does."""

    def __init__(self, width: int, heads: int, *, quick: bool = False) -> None:
        super().__init__()
        self.heads, self.quick = heads, quick
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(
        self,
        x: Float[Tensor, "batch length width"],
        mask: Bool[Tensor, "*batch length length"] | None = None,
    ) -> Float[Tensor, "batch length width"]:
        """Let every position see every other, or those that `mask` allows it."""
        batch, length, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(batch, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        inner = self.up(self.mlp_norm(x))
        active = inner * torch.sigmoid(1.702 * inner) if self.quick else functional.gelu(inner)
        return x + self.down(active)


class AudioEncoder(nn.Module):
    """Whisper's encoder on clips of any number of blocks."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.conv1 = nn.Conv1d(config.mels, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.positions = nn.Parameter(torch.zeros(config.positions, width))
        self.layers = nn.ModuleList(AudioLayer(width, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.register_buffer("filters", mel_filters(config.mels), persistent=False)

    def forward(
        self, samples: Float[Tensor, "batch samples"]
    ) -> Float[Tensor, "batch positions width"]:
        """Encode clips.

        Args:
            samples: Mono at 16 kHz in [-1, 1], padded to a multiple of `BLOCK_SAMPLES`.

        Returns:
            A feature for each 20 ms.
        """
        x = self.enter(log_mel(samples, self.get_buffer("filters")))
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def enter(
        self, mels: Float[Tensor, "batch mels frames"]
    ) -> Float[Tensor, "batch positions width"]:
        """What the first layer reads, from `log_mel`."""
        x = functional.gelu(self.conv1(mels.to(self.conv1.weight.dtype)))
        x = functional.gelu(self.conv2(x)).transpose(1, 2)
        return x + self.positions[: x.shape[1]]


def padded_length(samples: int) -> int:
    """The length a clip is padded to: the next multiple of `BLOCK_SAMPLES`, at least one."""
    return max(1, math.ceil(samples / BLOCK_SAMPLES)) * BLOCK_SAMPLES
