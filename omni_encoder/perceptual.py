"""How unlike a rebuilt picture or sound is to its original in the eyes and ears of the encoder.

The loss that the decoders of the tokenizers learn by beside pixels (Johnson et al., 1603.08155; the
paper's perceptual loss): the frozen encoder of search sees both, and its features are compared at
each resolution, and the search vector at its end. A network that looks can be pleased by patterns
that mean nothing to a person; so everything is shown shifted and scaled by fractions, pictures at
several sizes, and each time otherwise.
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
# Either way, as a share of half a side and of the scale. In a spectrogram: 5 frames, a band.
_IMAGE_SHIFT, _IMAGE_SCALE = 0.12, 0.15
_SOUND_SHIFT, _SOUND_SCALE = 0.04, 0.05
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
        side = max(32, int(full * _SIDES[at]))
        grid = _views((len(made), side, side), generator, shift=_IMAGE_SHIFT, scale=_IMAGE_SCALE)
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
        """See `Perception`. Each is a little higher or lower, sooner or later, louder or softer."""
        gain = (torch.rand(len(made), 1, 1, generator=generator) - 0.5) * 0.2
        # Between frames and bands, or the decoder would learn a chequered hum that only we like.
        grid = _views(tuple(made.shape), generator, shift=_SOUND_SHIFT, scale=_SOUND_SCALE)

        def played(mels: Tensor) -> Tensor:
            moved = functional.grid_sample(
                mels[:, None], grid, padding_mode="border", align_corners=False
            )
            return moved[:, 0] + gain

        with torch.no_grad():
            wanted = self._layers(played(true))
        layers = self._layers(played(made))
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


def _views(
    shape: tuple[int, ...], generator: torch.Generator, *, shift: float, scale: float
) -> Tensor:
    """Sampling grids of pictures or spectrograms, each shifted and scaled in its own way.

    Args:
        shape: How many, their height and their width.
        generator: Of the views.
        shift: The farthest, as a share of half a side.
        scale: The most, either way; a third of it as stretch.
    """
    count, height, width = shape
    turn = torch.rand(count, 4, generator=generator) * 2 - 1
    size = 1 + scale * turn[:, 0]
    stretch = 1 + scale / 3 * turn[:, 1]
    maps = torch.zeros(count, 2, 3)
    maps[:, 0, 0], maps[:, 1, 1] = size * stretch, size / stretch
    maps[:, :, 2] = shift * turn[:, 2:]
    return functional.affine_grid(maps, [count, 1, height, width], align_corners=False)


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
