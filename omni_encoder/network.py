"""The omni network: three modality encoders feed one bidirectional backbone, read at `<EOS>`.

Shapes of the paper's figure 2 (NExT-OMNI, 2510.13721): one encoder per modality, features
projected to the backbone's width, one interleaved sequence, the `<EOS>` feature as search vector.
Towers (pixels and samples to features) and fusion (features to vector) are apart, so that training
can keep the features of frozen towers.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from .audio import AudioEncoder
from .backbone import Backbone, EosReadout
from .config import OmniConfig
from .types import Modality
from .vision import VisionEncoder, normalise_pixels

_CLS_ID, _EOS_ID = 101, 102  # [CLS] and [SEP] of the vocabulary; [SEP] serves as <EOS>
SAMPLES_PER_POSITION = 320


class TextInput(nn.Module):
    """Word and position embeddings."""

    def __init__(self, config: OmniConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocabulary, config.backbone.width)
        self.positions = nn.Parameter(torch.zeros(config.text_tokens, config.backbone.width))

    def forward(self, ids: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length width"]:
        """Embed token ids, at most `text_tokens` long."""
        return self.words(ids) + self.positions[: ids.shape[1]]


class MediaInput(nn.Module):
    """Features of one modality as tokens of the backbone's width, with positions and a marker."""

    def __init__(self, features: int, tokens: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.dropout = nn.Dropout(0.0)  # training sets it
        self.project = nn.Linear(features, width)
        self.positions = nn.Parameter(torch.randn(tokens, width) * 0.02)
        self.concept = nn.Linear(width, width)

    def forward(
        self, features: Float[Tensor, "batch tokens f"], concept: Float[Tensor, "batch width"]
    ) -> Float[Tensor, "batch tokens+1 width"]:
        """Project features; the concept vector becomes one more token, in front."""
        tokens = self.project(self.dropout(self.norm(features)))
        tokens = tokens + self.positions[: features.shape[1]]
        return torch.cat([self.concept(concept)[:, None], tokens], dim=1)


class ConceptHead(nn.Module):
    """Named classes that an encoder tells apart, as a mixture of the names' text vectors.

    It says in the space of text what the encoder knows before any pair was seen, so search works
    for classes that no pair named.
    """

    def __init__(self, features: int, classes: int, config: OmniConfig, *, hidden: int = 0) -> None:
        super().__init__()
        self.top, self.temperature = min(config.concept_top, classes), config.concept_temperature
        last = nn.Linear(hidden or features, classes)
        layers = [nn.Linear(features, hidden), nn.GELU(), last] if hidden else [last]
        self.classifier = nn.Sequential(*layers)
        self.vectors = nn.Parameter(
            torch.zeros(classes, config.backbone.width), requires_grad=False
        )

    def forward(self, features: Float[Tensor, "batch f"]) -> Float[Tensor, "batch width"]:
        """The unit vector of the likeliest classes' names, less the mean over all names."""
        return self.mix(self.classifier(features))

    def mix(self, logits: Float[Tensor, "batch classes"]) -> Float[Tensor, "batch width"]:
        """As `forward`, from class logits."""
        best, index = (logits / self.temperature).topk(self.top, dim=-1)
        weights = torch.zeros_like(logits).scatter(-1, index, best.softmax(dim=-1))
        return functional.normalize(weights @ self.vectors - self.vectors.mean(dim=0), dim=-1)


class Adapter(nn.Module):
    """A correction of the concept vector, from an encoder's pooled features. It starts as none."""

    def __init__(self, features: int, width: int, *, hidden: int) -> None:
        super().__init__()
        self.scale = 10.0
        self.enter = nn.Linear(features + width, hidden)
        self.leave = nn.Linear(hidden, width)
        self.dropout_in, self.dropout = nn.Dropout(0.2), nn.Dropout(0.3)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(
        self, pooled: Float[Tensor, "batch f"], concept: Float[Tensor, "batch width"]
    ) -> Float[Tensor, "batch width"]:
        """What to add to the concept vector."""
        known = torch.cat([self.scale * functional.normalize(pooled, dim=-1), concept], dim=-1)
        return self.leave(self.dropout(functional.gelu(self.enter(self.dropout_in(known)))))


class OmniNetwork(nn.Module):
    """All parameters of the omni model.

    A vector is the unit-length sum of the `<EOS>` feature, weighted by modality, a bias and, for
    media, the adapted concept vector. A text's is adapted by one linear map.
    """

    def __init__(self, config: OmniConfig) -> None:
        super().__init__()
        self.config = config
        width = config.backbone.width
        self.text = TextInput(config)
        self.vision = VisionEncoder(config.vision)
        self.audio = AudioEncoder(config.audio)
        self.backbone = Backbone(config.backbone)
        self.readout = EosReadout(width)
        image_tokens = 1 + config.image_grid**2
        frame_tokens = 1 + config.frame_grid**2
        audio_tokens = config.audio.positions // config.audio_stack
        features = config.vision.features
        stacked = config.audio.width * config.audio_stack
        self.inputs = nn.ModuleDict(
            {
                Modality.IMAGE: MediaInput(features, image_tokens, width),
                Modality.VIDEO: MediaInput(features, frame_tokens * config.frames, width),
                Modality.AUDIO: MediaInput(stacked, audio_tokens, width),
            }
        )
        self.image_concepts = ConceptHead(features, config.image_concepts, config)
        self.audio_concepts = ConceptHead(
            2 * config.audio.width, config.audio_concepts, config, hidden=2 * width
        )
        hidden = config.adapter_hidden
        self.adapters = nn.ModuleDict(
            {
                "vision": Adapter(features, width, hidden=hidden),
                "audio": Adapter(2 * config.audio.width, width, hidden=hidden),
            }
        )
        self.text_adapter = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.text_adapter.weight)
        order = list(Modality)
        # The `<EOS>` feature is all of a text's vector; media tokens are strangers to the backbone
        # at first, so theirs starts with no say.
        self.eos_weight = nn.Parameter(torch.tensor([float(m is Modality.TEXT) for m in order]))
        self.bias = nn.Parameter(torch.zeros(len(order), width))
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    # Towers: media to features.

    def image_features(
        self, pixels: Float[Tensor, "batch 3 side side"], *, grid: int
    ) -> Float[Tensor, "batch grid*grid+1 features"]:
        """Features of RGB images in 0..255: the mean over the image first, then a grid of cells."""
        return self.grid_features(self.vision(self.pixels(pixels)), grid=grid)

    @staticmethod
    def pixels(pixels: Tensor) -> Tensor:
        """RGB in 0..255 as the vision encoder takes it."""
        return normalise_pixels(pixels).contiguous(memory_format=torch.channels_last)

    def grid_features(
        self, maps: Float[Tensor, "batch features h w"], *, grid: int
    ) -> Float[Tensor, "batch grid*grid+1 features"]:
        """The mean over the vision encoder's grid first, then `grid` x `grid` cells, row by row."""
        cells = functional.adaptive_avg_pool2d(maps, grid).flatten(2).transpose(1, 2)
        return torch.cat([maps.mean(dim=(2, 3))[:, None], cells], dim=1)

    def video_features(
        self, frames: Float[Tensor, "batch frames 3 side side"]
    ) -> Float[Tensor, "batch tokens features"]:
        """Features of RGB frames in 0..255, frame after frame."""
        batch, count = frames.shape[:2]
        features = self.image_features(frames.flatten(0, 1), grid=self.config.frame_grid)
        return features.unflatten(0, (batch, count)).flatten(1, 2)

    def audio_features(
        self, samples: Float[Tensor, "batch samples"]
    ) -> Float[Tensor, "batch tokens features"]:
        """Features of clips padded to whole blocks, `audio_stack` positions side by side a row."""
        positions = self.audio(samples)
        return positions.unflatten(1, (-1, self.config.audio_stack)).flatten(2)

    def audio_tokens(self, samples: int) -> int:
        """How many tokens of a clip hold sound rather than padding."""
        return max(1, -(-samples // (SAMPLES_PER_POSITION * self.config.audio_stack)))

    # Fusion: features to vectors.

    def encode_text(
        self, ids: Int[Tensor, "batch length"], real: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch width"]:
        """Unit vectors of token ids, each row ending in `<EOS>`."""
        hidden = self.backbone(self.text(ids), real)
        last = real.sum(dim=1) - 1
        eos = hidden[torch.arange(len(ids), device=ids.device), last]
        return self.adapt_text(functional.normalize(self.readout(hidden, real, eos), dim=-1))

    def adapt_text(self, eos: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        """Unit vectors of texts from their unit `<EOS>` features."""
        at = list(Modality).index(Modality.TEXT)
        vector = functional.normalize(self.eos_weight[at] * eos + self.bias[at], dim=-1)
        return functional.normalize(vector + self.text_adapter(vector), dim=-1)

    def concepts(
        self,
        modality: Modality,
        features: Float[Tensor, "batch tokens f"],
        real: Bool[Tensor, "batch tokens"],
    ) -> Float[Tensor, "batch width"]:
        """What the named classes say about media features."""
        if modality is Modality.AUDIO:
            return self.audio_concepts(self.pooled_audio(features, real))
        whole = self._whole(modality, features)
        mixed = self.image_concepts(whole.flatten(0, 1)).unflatten(0, whole.shape[:2])
        return functional.normalize(mixed.sum(dim=1), dim=-1)

    def _whole(self, modality: Modality, features: Tensor) -> Tensor:
        """The whole-image token of an image, or of each frame of a video: [batch, frames, f]."""
        step = features.shape[1] if modality is Modality.IMAGE else 1 + self.config.frame_grid**2
        return features[:, ::step]

    def pooled(
        self,
        modality: Modality,
        features: Float[Tensor, "batch tokens f"],
        real: Bool[Tensor, "batch tokens"],
    ) -> Float[Tensor, "batch f2"]:
        """One feature row an item, as the modality's adapter takes it."""
        if modality is Modality.AUDIO:
            return self.pooled_audio(features, real)
        return self._whole(modality, features).mean(dim=1)

    def pooled_audio(
        self, features: Float[Tensor, "batch tokens f"], real: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch f2"]:
        """Mean and maximum of the 20 ms features over the tokens that hold sound."""
        positions = features.unflatten(2, (self.config.audio_stack, -1))
        there = real[:, :, None, None]
        count = (real.sum(dim=1) * self.config.audio_stack)[:, None]
        mean = (positions * there).sum(dim=(1, 2)) / count
        top = positions.masked_fill(~there, float("-inf")).amax(dim=(1, 2))
        return torch.cat([mean, top], dim=1)

    def encode_media(
        self,
        modality: Modality,
        features: Float[Tensor, "batch tokens f"],
        real: Bool[Tensor, "batch tokens"],
        concept: Float[Tensor, "batch width"] | None = None,
    ) -> Float[Tensor, "batch width"]:
        """Unit vectors of media: the sequence `[CLS]` concept tokens `<EOS>`, read at `<EOS>`.

        Args:
            modality: Image, audio or video.
            features: What the modality's tower made.
            real: Which tokens are not padding.
            concept: The concept vectors if they are known already.
        """
        if concept is None:
            concept = self.concepts(modality, features, real)
        pooled = self.pooled(modality, features, real)
        eos = None
        if self.eos_weight[list(Modality).index(modality)] != 0 or self.training:
            eos = self._media_eos(modality, features, real, concept)
        return self.fuse(modality, pooled, concept, eos)

    def _media_eos(
        self, modality: Modality, features: Tensor, real: Tensor, concept: Tensor
    ) -> Tensor:
        """Unit `<EOS>` features of media sequences."""
        batch = len(features)
        tokens = self.inputs[modality](features, concept)
        ends = torch.tensor([[_CLS_ID, _EOS_ID]], device=features.device) % self.config.vocabulary
        start, eos = self.text(ends).expand(batch, 2, -1).split(1, dim=1)
        always = real.new_ones(batch, 2)
        real = torch.cat([always, real, always[:, :1]], dim=1)
        hidden = self.backbone(torch.cat([start, tokens, eos], dim=1), real)
        return functional.normalize(self.readout(hidden, real, hidden[:, -1]), dim=-1)

    def fuse(
        self,
        modality: Modality,
        pooled: Float[Tensor, "batch f"],
        concept: Float[Tensor, "batch width"],
        eos: Float[Tensor, "batch width"] | None = None,
    ) -> Float[Tensor, "batch width"]:
        """Unit vectors of media from pooled features, concept vectors and `<EOS>` features."""
        at = list(Modality).index(modality)
        adapter = self.adapters["audio" if modality is Modality.AUDIO else "vision"]
        vector = concept + adapter(pooled, concept) + self.bias[at]
        if eos is not None:
            vector = vector + self.eos_weight[at] * eos
        return functional.normalize(vector, dim=-1)
