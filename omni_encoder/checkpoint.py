"""Checkpoints as safetensors: half precision, 8-bit word embeddings, and all that explains them.

Tensors carry the state-dict names of `OmniNetwork`, except that `text.words.weight` is stored as
`text.words.int8` and `text.words.scale` (one scale a row), and `means` holds the mean vector of
each modality over reference media. The header's metadata holds `format`, `config` (JSON),
`tokenizer` (JSON of the tokenizers library) and `training` (JSON: data, seed, steps). No pickle
anywhere.
"""

# What safetensors returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from .config import OmniConfig
from .errors import CheckpointError
from .fingerprint import FORMAT, fingerprint_of
from .network import OmniNetwork
from .stored import read_stored, write_stored

_WORDS = "text.words.weight"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A network with what it needs to be used.

    Attributes:
        network: The network, in evaluation mode.
        tokenizer: JSON of the text tokenizer.
        means: Mean vector of text, image, audio and video, in this order, or None.
        training: How it was trained; values that JSON can hold.
        fingerprint: Hex digest of all that vectors depend on; empty before it is saved.
    """

    network: OmniNetwork
    tokenizer: str
    means: Float32[np.ndarray, "modalities dim"] | None
    training: dict[str, object]
    fingerprint: str = ""


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint, whole or not at all."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in checkpoint.network.state_dict().items():
        if name == _WORDS:
            scale = (tensor.abs().amax(dim=1, keepdim=True) / 127).clamp(min=1e-8)
            tensors["text.words.int8"] = (tensor / scale).round().to(torch.int8)
            tensors["text.words.scale"] = scale.squeeze(1).float()
        else:
            tensors[name] = tensor.half().contiguous()
    if checkpoint.means is not None:
        tensors["means"] = torch.from_numpy(checkpoint.means)
    metadata = {
        "format": FORMAT,
        "config": json.dumps(checkpoint.network.config.to_dict()),
        "tokenizer": checkpoint.tokenizer,
        "training": json.dumps(checkpoint.training, sort_keys=True),
    }
    write_stored(tensors, metadata, path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint of ours.

    Raises:
        CheckpointError: The file is missing, not safetensors, damaged, of another format or another
            size, or holds values that are not finite.
    """
    stored = read_stored(
        path,
        FORMAT,
        needs=("config", "tokenizer"),
        absent="name a file: --encoder omni:FILE.safetensors",
    )
    tensors, metadata = stored.tensors, stored.metadata
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    fingerprint = fingerprint_of(arrays, metadata)
    means = tensors.pop("means", None)
    return Checkpoint(
        network=_network(tensors, metadata["config"], path),
        tokenizer=metadata["tokenizer"],
        means=None if means is None else means.numpy(),
        training=json.loads(metadata.get("training", "{}")),
        fingerprint=fingerprint,
    )


def _network(tensors: dict[str, Tensor], config: str, path: Path) -> OmniNetwork:
    """A network holding `tensors`, in single precision."""
    try:
        scale = tensors.pop("text.words.scale")
        tensors[_WORDS] = tensors.pop("text.words.int8").float() * scale[:, None]
        network = OmniNetwork(OmniConfig.from_dict(json.loads(config)))
        network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} doesn't fit the model it describes: {str(error)[:300]}",
            hint="it was written by another version of omnidex, or altered",
        ) from error
    return network.eval()
