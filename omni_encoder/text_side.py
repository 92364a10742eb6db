"""The text side of an `omni` checkpoint in numpy: the same vectors without importing torch.

Importing torch takes longer than all the rest of a search by words. See `OmniNetwork.encode_text`,
whose numbers these are up to rounding.
"""

# What safetensors returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .arrays import Float32
from .config import OmniConfig
from .fingerprint import FORMAT, fingerprint_of
from .text_tokenizer import text_tokenizer
from .types import EncoderSpec, Modality

_OWN = ("text.positions", "backbone.", "readout.", "text_adapter.", "eos_weight", "bias")


class TextSide:
    """Reads texts as the encoder of a checkpoint does, one after the other."""

    def __init__(
        self, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str], *, name: str
    ) -> None:
        """Take the text side out of a checkpoint.

        Args:
            tensors: As they are stored.
            metadata: Of the same file.
            name: What the encoder is called in collections.

        Raises:
            CheckpointError: Its tokenizer can't be read.
            KeyError, TypeError, ValueError: It is no checkpoint of ours, or damaged.
        """
        if metadata["format"] != FORMAT:
            raise ValueError(f"it is no file of format {FORMAT}")
        self.config = OmniConfig.from_dict(json.loads(metadata["config"]))
        self.means: Float32[np.ndarray, "modalities dim"] | None = tensors.get("means")
        self.spec = EncoderSpec(
            name=name,
            fingerprint=fingerprint_of(tensors, metadata),
            dim=self.config.backbone.width,
            modalities=tuple(Modality),
            layout=self.config.layout(),
        )
        self._tokenizer = text_tokenizer(metadata["tokenizer"], self.config)
        self._words, self._scale = tensors["text.words.int8"], tensors["text.words.scale"]
        self._tensors = {n: t.astype(np.float32) for n, t in tensors.items() if n.startswith(_OWN)}
        if len(self._tensors["text.positions"]) != self.config.text_tokens:
            raise ValueError("it has not as many positions as its configuration says")
        # A tensor that is missing or of another shape shows at the first text.
        first = self.encode(["a"])
        known = (self._scale, self.means, first, *self._tensors.values())
        if not all(np.isfinite(values).all() for values in known if values is not None):
            raise ValueError("it holds values that are not finite")

    @classmethod
    def read(cls, path: Path, *, name: str) -> "TextSide":
        """Read a checkpoint.

        Raises:
            OSError, SafetensorError: The file is missing, or no safetensors file.
            CheckpointError, KeyError, TypeError, ValueError: See `TextSide`.
        """
        from safetensors import safe_open

        with safe_open(path, framework="np") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return cls(tensors, file.metadata() or {}, name=name)

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts dim"]:
        """Unit vectors of texts, which are cut at the model's token limit."""
        return np.stack([self._encode(e.ids) for e in self._tokenizer.encode_batch(list(texts))])

    def _encode(self, ids: list[int]) -> Float32[np.ndarray, " dim"]:
        words = self._words[ids].astype(np.float32) * self._scale[ids, None]
        hidden = self._norm(words + self._tensors["text.positions"][: len(ids)], "input_norm")
        for number in range(self.config.backbone.layers):
            hidden = self._layer(hidden, f"layers.{number}.")
        asked = self._tensors["readout.query.weight"] @ hidden[-1]
        eos = _unit(_softmax(hidden @ asked / np.float32(len(asked) ** 0.5)) @ hidden)
        at = self.spec.modalities.index(Modality.TEXT)
        vector = _unit(self._tensors["eos_weight"][at] * eos + self._tensors["bias"][at])
        return _unit(vector + self._tensors["text_adapter.weight"] @ vector)

    def _layer(self, x: np.ndarray, name: str) -> Float32[np.ndarray, "length width"]:
        heads = self.config.backbone.heads
        q, k, v = self._linear(x, name + "qkv").reshape(len(x), 3, heads, -1).transpose(1, 2, 0, 3)
        weights = _softmax(q @ k.transpose(0, 2, 1) / np.float32(q.shape[2] ** 0.5))
        mixed = (weights @ v).transpose(1, 0, 2).reshape(x.shape)
        x = self._norm(x + self._linear(mixed, name + "out"), name + "attention_norm")
        inner = _gelu(self._linear(x, name + "up"))
        return self._norm(x + self._linear(inner, name + "down"), name + "mlp_norm")

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        weight = self._tensors[f"backbone.{name}.weight"]
        return x @ weight.T + self._tensors[f"backbone.{name}.bias"]

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        away = x - x.mean(axis=1, keepdims=True)
        away /= np.sqrt(np.square(away).mean(axis=1, keepdims=True) + 1e-12)
        weight = self._tensors[f"backbone.{name}.weight"]
        return away * weight + self._tensors[f"backbone.{name}.bias"]


def _softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + _erf(x * np.float32(0.5**0.5))) / 2


def _erf(x: np.ndarray) -> np.ndarray:
    """To 1.5e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26."""
    t = 1 / (1 + np.float32(0.3275911) * np.abs(x))
    sum_ = np.zeros_like(x)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        sum_ = (sum_ + np.float32(factor)) * t
    return np.copysign(1 - sum_ * np.exp(-x * x), x)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / max(float(np.linalg.norm(x)), 1e-12)
