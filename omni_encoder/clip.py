"""CLIP models of open_clip as encoders: images, texts and, frame by frame, videos.

Weights stay in float32, so that vectors are open_clip's own. Images are preprocessed as
`open_clip.get_model_preprocess_cfg` says for the model, by `clip_images`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Protocol, cast

import numpy as np
import torch
from blake3 import blake3
from jaxtyping import Float32
from torch import nn

from .clip_loading import ClipModel, LoadedClip, load_clip
from .errors import EncoderError
from .types import EncoderSpec, MediaItem, MediaLayout, Modality

_MODALITIES = (Modality.TEXT, Modality.IMAGE, Modality.VIDEO)
_BATCH = 16  # larger ones gain under 4% on a CPU
# English averages about 1.3 tokens a word; rare words and punctuation take more.
_TOKENS_PER_WORD = 1.5


class _CausalTextTower(Protocol):
    """The parts of open_clip's `CLIP` that its `encode_text` uses."""

    token_embedding: nn.Module
    positional_embedding: torch.Tensor
    attn_mask: torch.Tensor
    ln_final: nn.Module
    text_projection: torch.Tensor | nn.Module | None

    def transformer(self, tokens: torch.Tensor, *, attn_mask: torch.Tensor) -> torch.Tensor: ...


class OpenClipEncoder:
    """An `Encoder` over a contrastive image-text model; a video is the mean of its frames."""

    def __init__(self, clip: LoadedClip) -> None:
        self._clip = clip
        self._cuts_padding = _padding_cut_is_exact(clip.model)
        self._dim = len(self._features_of_texts(["a"])[0])
        layout = MediaLayout(
            image_pixels=max(clip.preprocess.height, clip.preprocess.width),
            passage_words=_passage_words(clip),
        )
        self.spec = EncoderSpec(
            name=clip.name,
            fingerprint=_fingerprint(clip, layout, self._dim),
            dim=self._dim,
            modalities=_MODALITIES,
            layout=layout,
        )
        self.means = None

    @classmethod
    def load(cls, rest: str, threads: int | None = None) -> "OpenClipEncoder":
        """Load `MODEL/TAG`, downloading it if need be, or `MODEL/FILE`.

        Args:
            rest: What follows `open_clip:` in the encoder's name.
            threads: How many torch threads to use; None leaves torch's own choice.

        Raises:
            EncoderError: The model or its weights can't be found, downloaded or loaded.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        return cls(load_clip(rest))

    def encode(self, items: Sequence[MediaItem]) -> Float32[np.ndarray, "items dim"]:
        """See `Encoder.encode`."""
        vectors = np.zeros((len(items), self._dim), dtype=np.float32)
        texts: dict[int, str] = {}
        pictures: list[np.ndarray] = []
        owners: list[int] = []  # to which item each picture belongs
        for number, item in enumerate(items):
            if item.modality not in _MODALITIES:
                raise EncoderError(
                    f"{self.spec.name} can't encode {item.modality}",
                    hint=f"it takes {', '.join(_MODALITIES)}; `omni` takes {item.modality} too",
                )
            if isinstance(item.content, str):
                texts[number] = item.content
            else:
                frames = item.content[None] if item.content.ndim == 3 else item.content
                pictures.extend(frames)
                owners.extend([number] * len(frames))
        # Neighbours of like length waste the least on padding.
        order = sorted(texts, key=lambda number: len(texts[number]))
        for rows in _chunks(order):
            vectors[rows] = self._features_of_texts([texts[row] for row in rows])
        for chosen in _chunks(range(len(pictures))):
            features = self._features_of_images([pictures[place] for place in chosen])
            np.add.at(vectors, [owners[place] for place in chosen], features)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def _features_of_images(self, images: list[np.ndarray]) -> Float32[np.ndarray, "images dim"]:
        inputs = np.stack([self._clip.preprocess(image) for image in images])
        return _unit_rows(self._clip.model.encode_image, torch.from_numpy(inputs))

    def _features_of_texts(self, texts: list[str]) -> Float32[np.ndarray, "texts dim"]:
        tokens = self._clip.tokenizer(texts)
        if not self._cuts_padding:
            return _unit_rows(self._clip.model.encode_text, tokens)
        tower = cast("_CausalTextTower", self._clip.model)
        return _unit_rows(lambda batch: _encode_unpadded(tower, batch), tokens)


def _unit_rows(
    tower: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor
) -> Float32[np.ndarray, "rows dim"]:
    with torch.inference_mode():
        return nn.functional.normalize(tower(inputs).float(), dim=-1).numpy()


def _chunks(numbers: Sequence[int]) -> list[list[int]]:
    return [list(numbers[start : start + _BATCH]) for start in range(0, len(numbers), _BATCH)]


def _padding_cut_is_exact(model: ClipModel) -> bool:
    """Whether no token after the end-of-text token can change the vector.

    So it is in open_clip's `CLIP` class when its mask is causal and it pools at the end-of-text
    token, which has the largest number. Other classes keep their padding.
    """
    mask = getattr(model, "attn_mask", None)
    return (
        type(model).__name__ == "CLIP"
        and getattr(model, "text_pool_type", "") == "argmax"
        and isinstance(mask, torch.Tensor)
        and torch.equal(mask, torch.full_like(mask, -torch.inf).triu(1))
    )


def _encode_unpadded(tower: _CausalTextTower, tokens: torch.Tensor) -> torch.Tensor:
    """open_clip's `CLIP.encode_text`, up to the longest text of the batch."""
    ends = tokens.argmax(dim=-1)
    length = int(ends.max()) + 1
    embedded = tower.token_embedding(tokens[:, :length]) + tower.positional_embedding[:length]
    hidden = tower.transformer(embedded, attn_mask=tower.attn_mask[:length, :length])
    pooled = tower.ln_final(hidden)[torch.arange(len(tokens)), ends]
    if tower.text_projection is None:
        return pooled
    if isinstance(tower.text_projection, nn.Module):
        return tower.text_projection(pooled)
    return pooled @ tower.text_projection


def _passage_words(clip: LoadedClip) -> int:
    tokens = clip.tokenizer(["a"]).shape[1] - 2  # without the start and the end
    return max(1, int(tokens / _TOKENS_PER_WORD))


def _fingerprint(clip: LoadedClip, layout: MediaLayout, dim: int) -> str:
    weights = blake3()
    for name, tensor in sorted(clip.model.state_dict().items()):
        weights.update(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode())
        weights.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    identity = {
        "weights": weights.hexdigest(),
        "architecture": clip.architecture,
        "preprocess": clip.preprocess_config,
        "layout": asdict(layout),
        "dim": dim,
        "prompt": "",
    }
    return blake3(json.dumps(identity, sort_keys=True).encode()).hexdigest(length=16)
