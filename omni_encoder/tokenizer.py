"""Media tokenizers: what the shared encoders saw, quantized to codes, and drawn or voiced again.

One shape serves images and sounds. A position's features from the understanding encoder and its own
pixels or spectrogram strip are projected and summed, mixed by attention, quantized (`quantize`),
and decoded to patches. So codes say what is there and what it looks or sounds like.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from .audio import AudioLayer
from .patches import IMAGE_GRID, POSITIONS, joined_image, joined_sound
from .quantize import MultiCodebook, Quantized
from .types import Modality


@dataclass(frozen=True, slots=True)
class TokenizerConfig:
    """Shape of a tokenizer.

    Attributes:
        modality: Image or audio.
        deep: Features a position has from the understanding encoder.
        patch: Numbers a position has in its patch.
        books: Codebooks.
        codes: Entries of a codebook.
        code_width: Length of a code vector.
        width: Inner width.
        heads: Attention heads.
        encoder_layers: Layers before quantization.
        decoder_layers: Layers after it.
        vector: Length of the search vector that the codes are taught to know.
        use_deep: Whether the understanding encoder's features are read.
        use_patch: Whether the patches themselves are read.
    """

    modality: str
    deep: int
    patch: int
    books: int
    codes: int = 256
    code_width: int = 8
    width: int = 192
    heads: int = 6
    encoder_layers: int = 2
    decoder_layers: int = 3
    vector: int = 384
    use_deep: bool = True
    use_patch: bool = True

    def __post_init__(self) -> None:
        if self.modality not in (Modality.IMAGE, Modality.AUDIO):
            raise ValueError(f"modality must be image or audio, got {self.modality!r}")
        if not (self.use_deep or self.use_patch):
            raise ValueError("a tokenizer must read features, patches or both")


def image_tokenizer_config(*, deep: int = 448, vector: int = 384) -> TokenizerConfig:
    """The nano image tokenizer: 64 positions of 4 codes."""
    return TokenizerConfig(Modality.IMAGE, deep=deep, patch=192, books=4, vector=vector)


def sound_tokenizer_config(*, deep: int = 768, vector: int = 384) -> TokenizerConfig:
    """The nano sound tokenizer: 64 positions of 2 codes for 2.56 s."""
    return TokenizerConfig(Modality.AUDIO, deep=deep, patch=256, books=2, vector=vector)


class _PixelHead(nn.Module):
    """Hidden features of 8 x 8 squares to pixels: up by 2, three times, with a look around each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(width, 4 * 64, 1)
        self.look1 = nn.Conv2d(64, 64, 3, padding=1)
        self.up = nn.Conv2d(64, 4 * 32, 1)
        self.look2 = nn.Conv2d(32, 32, 3, padding=1)
        self.leave = nn.Conv2d(32, 4 * 3, 1)

    def forward(self, hidden: Float[Tensor, "batch 64 width"]) -> Float[Tensor, "batch 3 64 64"]:
        x = hidden.transpose(1, 2).unflatten(2, (IMAGE_GRID, IMAGE_GRID))
        x = functional.pixel_shuffle(self.enter(x), 2)
        x = x + self.look1(functional.gelu(x))
        x = functional.pixel_shuffle(self.up(functional.gelu(x)), 2)
        x = x + self.look2(functional.gelu(x))
        return functional.pixel_shuffle(self.leave(functional.gelu(x)), 2)


class _StripHead(nn.Module):
    """Hidden features of 40 ms strips to a spectrogram, smoothed over neighbouring frames."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, patch)
        bands = joined_sound(torch.zeros(1, POSITIONS, patch)).shape[1]
        self.look = nn.Conv1d(bands, 128, 5, padding=2)
        self.leave = nn.Conv1d(128, bands, 5, padding=2)

    def forward(self, hidden: Float[Tensor, "batch 64 width"]) -> Float[Tensor, "batch 64 256"]:
        x = joined_sound(self.enter(hidden))
        return x + self.leave(functional.gelu(self.look(x)))


class MediaTokenizer(nn.Module):
    """Encoder, codebooks, decoder and semantic head of one modality."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.deep_norm = nn.LayerNorm(config.deep)
        self.deep = nn.Linear(config.deep, width)
        self.patch = nn.Linear(config.patch, width)
        self.positions = nn.Parameter(torch.randn(POSITIONS, width) * 0.02)
        self.encoder = nn.Sequential(
            *(AudioLayer(width, config.heads) for _ in range(config.encoder_layers))
        )
        self.encoder_norm = nn.LayerNorm(width)
        self.to_codes = nn.Linear(width, config.books * config.code_width)
        # Without it all latents drift into one direction, and two codes of 256 serve everything.
        self.spread = nn.BatchNorm1d(config.books * config.code_width, affine=False, momentum=0.05)
        self.books = MultiCodebook(config.books, config.codes, config.code_width)
        self.from_codes = nn.Linear(config.books * config.code_width, width)
        self.decoder_positions = nn.Parameter(torch.randn(POSITIONS, width) * 0.02)
        self.decoder = nn.Sequential(
            *(AudioLayer(width, config.heads) for _ in range(config.decoder_layers))
        )
        self.decoder_norm = nn.LayerNorm(width)
        self.head = (
            _PixelHead(width)
            if config.modality == Modality.IMAGE
            else _StripHead(width, config.patch)
        )
        self.semantic_norm = nn.LayerNorm(width)
        self.semantic = nn.Linear(width, config.vector)

    def only_decoder(self) -> None:
        """Freeze all but what draws from code vectors; what codes mean stays frozen, too."""
        self.requires_grad_(requires_grad=False)
        self.decoder_positions.requires_grad_()
        for part in (self.decoder, self.decoder_norm, self.head):
            part.requires_grad_()

    def latents(
        self, deep: Float[Tensor, "batch 64 f"], patches: Float[Tensor, "batch 64 p"]
    ) -> Float[Tensor, "batch 64 codes"]:
        """What is quantized: one vector a position.

        Args:
            deep: The understanding encoder's features.
            patches: Pixels in [-1, 1], or the log-mel spectrogram.
        """
        x = self.positions
        if self.config.use_deep:
            x = x + self.deep(self.deep_norm(deep))
        if self.config.use_patch:
            x = x + self.patch(patches)
        latents: Tensor = self.to_codes(self.encoder_norm(self.encoder(x)))
        return self.spread(latents.flatten(0, 1)).view_as(latents)

    def encode(
        self, deep: Float[Tensor, "batch 64 f"], patches: Float[Tensor, "batch 64 p"]
    ) -> Int[Tensor, "batch 64 books"]:
        """Codes of media."""
        quantized: Quantized = self.books(self.latents(deep, patches))
        return quantized.codes

    def decode(self, codes: Int[Tensor, "batch 64 books"]) -> Tensor:
        """Pixels [batch, 3, 64, 64] in about [-1, 1], or a spectrogram [batch, 64, 256]."""
        return self.draw(self.books.lookup(codes))

    def draw(self, vectors: Float[Tensor, "batch 64 codes"]) -> Tensor:
        """As `decode`, from code vectors."""
        hidden = self.decoder(self.from_codes(vectors) + self.decoder_positions)
        return self.head(self.decoder_norm(hidden))

    def meaning(self, vectors: Float[Tensor, "batch 64 codes"]) -> Float[Tensor, "batch vector"]:
        """A guess of the item's search vector from its code vectors alone. Unit rows.

        The mean of the projected codes through one linear map, as UniTok's semantic branch.
        """
        pooled = self.from_codes(vectors).mean(dim=1)
        return functional.normalize(self.semantic(self.semantic_norm(pooled)), dim=-1)

    def joined(self, patches: Float[Tensor, "batch 64 p"]) -> Tensor:
        """Patches as `decode` lays them out."""
        if self.config.modality == Modality.IMAGE:
            return joined_image(patches)
        return joined_sound(patches)


def reconstruction_loss(
    made: Float[Tensor, "*batch"], true: Float[Tensor, "*batch"], *, scales: int
) -> Float[Tensor, ""]:
    """L1, plus L1 of the differences between neighbours on grids of 1, 2, 4, ... to a cell.

    The differences hold edges that L1 alone would blur. They stand in for the paper's adversarial
    loss; its perceptual loss is in `perceptual`.
    """
    left = made if made.ndim == 4 else made[:, None]
    right = true if true.ndim == 4 else true[:, None]
    loss = functional.l1_loss(left, right)
    for scale in range(scales):
        if scale:
            left, right = functional.avg_pool2d(left, 2), functional.avg_pool2d(right, 2)
        for axis in (2, 3):
            loss = loss + functional.l1_loss(left.diff(dim=axis), right.diff(dim=axis)) / scales
    return loss
