"""How unlike a rebuilt picture or sound is to its original in the eyes and ears of the encoder.

The loss that the decoders of the tokenizers learn by beside pixels (Johnson et al., 1603.08155; the
paper's perceptual loss): the frozen encoder of search sees both, and its features are compared at
each resolution, and the search vector at its end. A network that looks can be pleased by patterns
that mean nothing to a person; pictures are therefore shown shifted, scaled and at several sizes,
each time other ones.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from .audio import mel_filters
from .model import OmniEncoder, centred
from .patches import power_of
from .types import Modality
from .vision import InvertedResidual

_SIDES = (1.0, 0.75, 0.5)  # of the side that search looks at
_SHIFT, _SCALE = 0.12, 0.15  # of half a side; of the scale, either way
_LEAST = 1e-4


class Perception(Protocol):
    """Says how unlike media are; lower is more alike."""

    def __call__(
        self, made: Tensor, true: Tensor, vectors: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Compare rebuilt media to their originals.

        Args:
            made: As the decoder gives them; the only ones that gradients go to.
            true: The originals, laid out alike.
            vectors: The originals' search vectors.
            generator: Where random views come from.

        Returns:
            The mean difference of features, in their mean deviation over the originals; and one
            minus the mean cosine of search vectors, less the mean of their modality.
        """
        ...


def perception(encoder: OmniEncoder, modality: Modality) -> Perception:
    """The encoder's view of a modality; its network is frozen for good."""
    encoder.network.requires_grad_(requires_grad=False)
    return (ImagePerception if modality is Modality.IMAGE else SoundPerception)(encoder)


class ImagePerception:
    """By the vision encoder's last map of each resolution."""

    def __init__(self, encoder: OmniEncoder) -> None:
        self.encoder = encoder

    def __call__(
        self,
        made: Float[Tensor, "batch 3 side side"],
        true: Float[Tensor, "batch 3 side side"],
        vectors: Float[Tensor, "batch dim"],
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """See `Perception`. Pixels are about [-1, 1]."""
        full = self.encoder.network.config.vision.pixels
        at = int(torch.randint(len(_SIDES), (), generator=generator))
        grid = _views(len(made), max(32, int(full * _SIDES[at])), generator)
        mode = ("bilinear", "bicubic")[int(torch.randint(2, (), generator=generator))]

        def shown(pixels: Tensor) -> Tensor:
            return functional.grid_sample(
                pixels, grid, mode=mode, padding_mode="border", align_corners=False
            )

        with torch.no_grad():
            wanted = self._maps(shown(true))
        maps = self._maps(shown(made))
        network = self.encoder.network
        features = network.grid_features(maps[-1], grid=network.config.image_grid)
        real = torch.ones(features.shape[:2], dtype=torch.bool)
        seen = network.encode_media(Modality.IMAGE, features, real)
        unlike = _unlike_vectors(self.encoder, seen, vectors, Modality.IMAGE)
        return _unlike(maps, wanted, dims=(0, 2, 3)), unlike

    def _maps(self, pixels: Tensor) -> list[Tensor]:
        vision = self.encoder.network.vision
        x = self.encoder.network.pixels((pixels + 1) * 127.5)
        x = functional.relu6(vision.stem(x))
        maps: list[Tensor] = []
        for block in vision.blocks:
            assert isinstance(block, InvertedResidual)
            if block.depthwise.stride[0] > 1:
                maps.append(x)
            x = block(x)
        return [*maps, functional.relu6(vision.head(x))]


class SoundPerception:
    """By the audio encoder's layers, from the spectrogram as it would be voiced."""

    def __init__(self, encoder: OmniEncoder) -> None:
        self.encoder = encoder
        self._filters = mel_filters(encoder.network.config.audio.mels)

    def __call__(
        self,
        made: Float[Tensor, "batch 64 frames"],
        true: Float[Tensor, "batch 64 frames"],
        vectors: Float[Tensor, "batch dim"],
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """See `Perception`. Both are made a little louder or softer alike, one by one."""
        gain = (torch.rand(len(made), 1, 1, generator=generator) - 0.5) * 0.2
        with torch.no_grad():
            wanted = self._layers(true + gain)
        layers = self._layers(made + gain)
        network = self.encoder.network
        features = layers[-1].unflatten(1, (-1, network.config.audio_stack)).flatten(2)
        real = torch.ones(features.shape[:2], dtype=torch.bool)
        heard = network.encode_media(Modality.AUDIO, features, real)
        unlike = _unlike_vectors(self.encoder, heard, vectors, Modality.AUDIO)
        return _unlike(layers, wanted, dims=(0, 1)), unlike

    def _layers(self, mels: Tensor) -> list[Tensor]:
        audio = self.encoder.network.audio
        log = (self._filters @ power_of(mels)).clamp(min=1e-10).log10()
        log = torch.maximum(log, log.detach().amax(dim=(1, 2), keepdim=True) - 8)
        layers = [audio.enter((log + 4) / 4)]
        for layer in audio.layers:
            layers.append(layer(layers[-1]))
        return [*layers[:-1], audio.norm(layers[-1])]


def _views(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Sampling grids of pictures, each shifted and scaled in its own way."""
    turn = torch.rand(count, 4, generator=generator) * 2 - 1
    scale = 1 + _SCALE * turn[:, 0]
    stretch = 1 + _SCALE / 3 * turn[:, 1]
    maps = torch.zeros(count, 2, 3)
    maps[:, 0, 0], maps[:, 1, 1] = scale * stretch, scale / stretch
    maps[:, :, 2] = _SHIFT * turn[:, 2:]
    return functional.affine_grid(maps, [count, 3, side, side], align_corners=False)


def _unlike(made: Sequence[Tensor], true: Sequence[Tensor], *, dims: tuple[int, ...]) -> Tensor:
    """Mean difference in mean deviations of features, the mean of all places where we look.

    One deviation for all features of a place: one of its own for each would let the ones that
    hardly ever speak drown the rest.
    """
    parts = [
        (ours - theirs).abs().mean() / theirs.std(dim=dims).mean().clamp(min=_LEAST)
        for ours, theirs in zip(made, true, strict=True)
    ]
    return torch.stack(parts).mean()


def _unlike_vectors(encoder: OmniEncoder, made: Tensor, true: Tensor, modality: Modality) -> Tensor:
    ours, theirs = (centred(vectors, encoder.means, modality) for vectors in (made, true))
    return 1 - (ours * theirs).sum(dim=1).mean()
