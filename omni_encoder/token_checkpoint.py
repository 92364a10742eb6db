"""Tokenizers on disk: one safetensors file, tied to the encoder they read.

Tensors are named `image.NAME` and `audio.NAME`; matrices are stored in 8 bits as `NAME.int8` and
`NAME.scale`, the rest in half precision. Codes depend on that rounding too, so they are always made
with what was read from the file. The metadata holds `format`, `config` (JSON, one table a
modality), `towers` (which encoder weights the codes depend on) and `training` (JSON).
"""

# What safetensors returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from .errors import CheckpointError
from .network import OmniNetwork
from .packing import packed, unpacked
from .stored import read_stored, write_stored
from .tokenizer import MediaTokenizer, TokenizerConfig
from .types import Modality

FORMAT = "omnidex-tokens-1"


@dataclass(frozen=True, slots=True, eq=False)
class Tokenizers:
    """The tokenizers of a model.

    Attributes:
        by_modality: Image and audio.
        towers: Digest of the encoder weights that they read; see `towers_digest`.
        training: How they were trained; values that JSON can hold.
    """

    by_modality: dict[Modality, MediaTokenizer]
    towers: str
    training: dict[str, object]


def towers_digest(network: OmniNetwork) -> str:
    """A digest of the weights that codes depend on: the vision trunk and the audio encoder."""
    from blake3 import blake3

    digest = blake3()
    late = network.vision.trunk_blocks
    for name, tensor in sorted(network.state_dict().items()):
        parts = name.split(".")
        trunk = parts[0] == "vision" and (
            parts[1] == "stem" or (parts[1] == "blocks" and int(parts[2]) < late)
        )
        if trunk or parts[0] == "audio":
            digest.update(f"{name} {list(tensor.shape)}".encode())
            digest.update(tensor.half().contiguous().numpy().tobytes())
    return digest.hexdigest(16)


def save_tokenizers(tokenizers: Tokenizers, path: Path) -> None:
    """Write tokenizers, whole or not at all."""
    tensors = {
        f"{modality}.{name}": tensor.contiguous()
        for modality, tokenizer in tokenizers.by_modality.items()
        for name, tensor in packed(tokenizer.state_dict(), narrow=_is_map).items()
    }
    config = {str(m): asdict(t.config) for m, t in tokenizers.by_modality.items()}
    metadata = {
        "format": FORMAT,
        "config": json.dumps(config, sort_keys=True),
        "towers": tokenizers.towers,
        "training": json.dumps(tokenizers.training, sort_keys=True),
    }
    write_stored(tensors, metadata, path)


def _is_map(name: str) -> bool:
    """Whether a matrix may be stored in 8 bits: codebooks and places are few and stay precise."""
    return name.endswith(".weight")


def load_tokenizers(path: Path, network: OmniNetwork) -> Tokenizers:
    """Read tokenizers that read `network`.

    Raises:
        CheckpointError: The file is missing, damaged, of another format, holds values that are not
            finite, or belongs to another encoder.
    """
    tensors, metadata = read_tensors(path, FORMAT)
    if metadata["towers"] != towers_digest(network):
        raise CheckpointError(
            f"{path} holds tokenizers of another encoder",
            hint="train them for this one: omnidex train, section [tokens]",
        )
    try:
        tables: Mapping[str, dict[str, object]] = json.loads(metadata["config"])
        made: dict[Modality, MediaTokenizer] = {}
        for name, table in tables.items():
            tokenizer = MediaTokenizer(TokenizerConfig(**table))  # pyright: ignore[reportArgumentType] - the call checks the names
            prefix = f"{name}."
            own = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
            tokenizer.load_state_dict(unpacked(own))
            made[Modality(name)] = tokenizer.eval()
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} doesn't fit the tokenizers it describes: {str(error)[:300]}",
            hint="it was written by another version of omnidex, or altered",
        ) from error
    return Tokenizers(made, metadata["towers"], json.loads(metadata["training"]))


def read_tensors(path: Path, wanted: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors in single precision and metadata of a safetensors file of the format `wanted`.

    Raises:
        CheckpointError: The file is missing, damaged, of another format, or holds values that are
            not finite.
    """
    stored = read_stored(
        path,
        wanted,
        needs=("towers", "training"),
        absent="install omnidex again, or train one and name it: see docs/training.md",
    )
    return {name: tensor.float() for name, tensor in stored.tensors.items()}, stored.metadata
