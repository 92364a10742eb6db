"""The `omni` encoder: media items in, unit vectors out, in batches of one modality."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn import functional

from .audio import BLOCK_SAMPLES, padded_length
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .config import tiny_config
from .errors import EncoderError
from .fast import fast_copy
from .joint import JointReader, load_pseudo_words
from .network import SAMPLES_PER_POSITION, OmniNetwork
from .shipped import companion
from .text_tokenizer import text_tokenizer
from .types import EncoderSpec, MediaItem, Modality

_BATCH = {Modality.TEXT: 64, Modality.IMAGE: 16, Modality.AUDIO: 8, Modality.VIDEO: 4}


class OmniEncoder:
    """Encodes text, images, audio and video with one network. See `Encoder`."""

    def __init__(self, checkpoint: Checkpoint, *, name: str = "omni", plain: bool = False) -> None:
        """Make an encoder of a checkpoint.

        Args:
            checkpoint: The model.
            name: What the encoder is called in collections.
            plain: Compute with torch's own modules in float32, as training does.
        """
        self.network: OmniNetwork = checkpoint.network.eval()
        self.network.vision.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - torch's stub lacks it
        self._fast = self.network if plain else fast_copy(self.network)
        self.tokenizer = text_tokenizer(checkpoint.tokenizer, self.network.config)
        self.means = checkpoint.means
        self.training = checkpoint.training
        self._joint: JointReader | None = None
        self.spec = EncoderSpec(
            name=name,
            fingerprint=checkpoint.fingerprint,
            dim=self.network.config.backbone.width,
            modalities=tuple(Modality),
            layout=self.network.config.layout(),
        )

    @classmethod
    def load(
        cls, path: Path, *, name: str, threads: int | None = None, plain: bool = False
    ) -> "OmniEncoder":
        """Read a checkpoint.

        Args:
            path: A safetensors file of ours.
            name: What the encoder is called in collections.
            threads: How many torch threads to use from now on; None leaves torch's choice.
            plain: See `OmniEncoder`.

        Raises:
            CheckpointError: The file is missing, damaged, or not ours.
            ValueError: `threads` is less than 1.
        """
        if threads is not None:
            if threads < 1:
                raise ValueError(f"threads must be at least 1, got {threads}")
            torch.set_num_threads(threads)
        return cls(load_checkpoint(path), name=name, plain=plain)

    @torch.inference_mode()
    def encode(self, items: Sequence[MediaItem]) -> Float32[np.ndarray, "items dim"]:
        """See `Encoder.encode`. Texts beyond the model's token limit are cut at it."""
        vectors = np.zeros((len(items), self.spec.dim), dtype=np.float32)
        encoders: dict[Modality, Callable[[list[MediaItem]], Tensor]] = {
            Modality.TEXT: self._encode_texts,
            Modality.IMAGE: self._encode_images,
            Modality.AUDIO: self._encode_audio,
            Modality.VIDEO: self._encode_videos,
        }
        for modality, encode in encoders.items():
            rows = [i for i, item in enumerate(items) if item.modality is modality]
            # Equal lengths side by side waste the least padding.
            rows.sort(key=lambda i: len(items[i].content))
            for start in range(0, len(rows), _BATCH[modality]):
                batch = rows[start : start + _BATCH[modality]]
                vectors[batch] = encode([items[i] for i in batch]).float().numpy()
        return vectors

    def encode_joint(
        self, sequences: Sequence[Sequence[str | Float32[np.ndarray, " dim"]]]
    ) -> Float32[np.ndarray, "sequences dim"]:
        """See `JointEncoder.encode_joint`. What it needs lies in a file beside the checkpoint.

        Raises:
            CheckpointError: That file is missing, damaged, or belongs to another checkpoint.
        """
        if self._joint is None:
            path = companion(self.spec.name, "joint.safetensors")
            assert path is not None  # our own names have one
            words = load_pseudo_words(path, fingerprint=self.spec.fingerprint)
            self._joint = JointReader(self.network, self.tokenizer, words)
        return self._joint.read(sequences)

    def _encode_texts(self, items: list[MediaItem]) -> Tensor:
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch([_text(i) for i in items])]
        return self._fast.encode_text(*pad_ids(rows))

    def _encode_images(self, items: list[MediaItem]) -> Tensor:
        pixels = torch.stack(
            [square(array_of(item), self.spec.layout.image_pixels) for item in items]
        )
        features = self._fast.image_features(pixels, grid=self.network.config.image_grid)
        return self._fast.encode_media(Modality.IMAGE, features, _all_real(features))

    def _encode_videos(self, items: list[MediaItem]) -> Tensor:
        side, count = self.spec.layout.image_pixels, self.spec.layout.video_frames
        clips = [even_frames(array_of(item), count=count, side=side) for item in items]
        features = self._fast.video_features(torch.stack(clips))
        return self._fast.encode_media(Modality.VIDEO, features, _all_real(features))

    def _encode_audio(self, items: list[MediaItem]) -> Tensor:
        longest = self.network.config.audio.positions * SAMPLES_PER_POSITION
        lengths = [len(item.content) for item in items]
        if max(lengths) > longest:
            raise EncoderError(
                f"an audio item holds {max(lengths)} samples, the model takes {longest}",
                hint="decode it in parts with open_media and the encoder's layout",
            )
        vectors: list[Tensor] = []
        # Only clips of equal padded length share a batch: padding is part of what Whisper hears.
        for blocks in sorted({padded_length(length) // BLOCK_SAMPLES for length in lengths}):
            group = [i for i in items if padded_length(len(i.content)) == blocks * BLOCK_SAMPLES]
            vectors.append(self._encode_clips(group, blocks * BLOCK_SAMPLES))
        return torch.cat(vectors)  # items come sorted by length, so the order is kept

    def _encode_clips(self, items: list[MediaItem], length: int) -> Tensor:
        samples = torch.zeros(len(items), length)
        for row, item in zip(samples, items, strict=True):
            clip = torch.from_numpy(array_of(item))
            row[: len(clip)] = clip
        features = self._fast.audio_features(samples)
        counts = torch.tensor([self.network.audio_tokens(len(item.content)) for item in items])
        real = torch.arange(features.shape[1])[None] < counts[:, None]
        return self._fast.encode_media(Modality.AUDIO, features, real)


def _text(item: MediaItem) -> str:
    assert isinstance(item.content, str)  # MediaItem checks it
    return item.content


def array_of(item: MediaItem) -> np.ndarray:
    """The content of an item that is no text."""
    assert isinstance(item.content, np.ndarray)  # MediaItem checks it
    return item.content


def _all_real(features: Tensor) -> Tensor:
    return torch.ones(features.shape[:2], dtype=torch.bool)


def centred(
    vectors: Float[Tensor, "items dim"],
    means: Float32[np.ndarray, "modalities dim"] | None,
    modality: Modality,
) -> Float[Tensor, "items dim"]:
    """Search vectors less the mean of their modality, at unit length again."""
    if means is not None:
        vectors = vectors - torch.from_numpy(means[list(Modality).index(modality)])
    return functional.normalize(vectors, dim=-1)


def square(pixels: np.ndarray, side: int) -> Tensor:
    """Resize an RGB image to a square, whole (aspect ratio given up): uint8 [3, side, side].

    Nothing is cropped, so what stands at an edge can be found too.
    """
    from PIL import Image

    image = Image.fromarray(pixels)
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def even_frames(frames: np.ndarray, *, count: int, side: int) -> Tensor:
    """`count` frames of a video, evenly spread, as squares: uint8 [count, 3, side, side].

    Too few frames are repeated.
    """
    at = np.linspace(0, len(frames) - 1, count).round().astype(int)
    return torch.stack([square(frames[i], side) for i in at])


@torch.inference_mode()
def encode_texts(
    network: OmniNetwork, tokenizer: str, texts: Sequence[str], *, batch: int = 128
) -> Float32[np.ndarray, "texts dim"]:
    """Unit vectors of many texts, in the order given."""
    rows = [e.ids for e in text_tokenizer(tokenizer, network.config).encode_batch(list(texts))]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    vectors = np.zeros((len(rows), network.config.backbone.width), dtype=np.float32)
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        vectors[part] = network.encode_text(*pad_ids([rows[i] for i in part])).numpy()
    return vectors


def pad_ids(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids of several texts as one batch, and which of them are real."""
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    real = torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        real[i, : len(row)] = True
    return ids, real


def tiny_checkpoint(path: Path, *, seed: int = 0) -> Path:
    """Write a seeded random model of about 0.1M parameters in the real format, for tests."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    config = tiny_config()
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {
        word: i for i, word in enumerate([*words, *letters, *(f"##{c}" for c in letters)])
    }
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = OmniNetwork(config)
        # Torch's own initialisation of convolutions fades images out: all would get one vector.
        for module in network.vision.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight)
        network.image_concepts.vectors.data.normal_()
        network.audio_concepts.vectors.data.normal_()
    means = np.zeros((4, config.backbone.width), dtype=np.float32)
    checkpoint = Checkpoint(network, tokenizer.to_str(), means, {"seed": seed})
    save_checkpoint(replace(checkpoint), path)
    return path
