"""Safetensors files of ours: read and checked in one place, so that each fault has one message."""

# What safetensors returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .errors import CheckpointError


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """What a file holds.

    Attributes:
        tensors: By name, as they were stored.
        metadata: The header's texts, `format` among them.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_stored(path: Path, wanted: str, *, needs: Sequence[str] = (), absent: str = "") -> Stored:
    """Read a safetensors file of the format `wanted`.

    Args:
        path: The file.
        wanted: What its metadata's `format` must be.
        needs: Metadata that must be there.
        absent: What to do when there is no such file.

    Raises:
        CheckpointError: The file is missing, damaged, of another format, lacks metadata, or holds
            values that are not finite.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}", hint=absent)
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a readable safetensors file: {error}",
            hint="fetch it again, or train one: omnidex train",
        ) from error
    if metadata.get("format") != wanted:
        raise CheckpointError(
            f"{path} is not an omnidex file of format {wanted}",
            hint=f"its format is {metadata.get('format', 'not stated')}",
        )
    lacking = [name for name in needs if name not in metadata]
    if lacking:
        raise CheckpointError(
            f"{path} lacks {lacking[0]} in its header", hint="it was altered; fetch it again"
        )
    bad = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if bad:
        raise CheckpointError(
            f"{path} holds values that are not finite, first in {bad[0]}",
            hint="the training that wrote it diverged; use an earlier file",
        )
    return Stored(tensors, metadata)


def write_stored(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path) -> None:
    """Write a safetensors file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial")
    save_file(dict(tensors), unfinished, dict(metadata))
    unfinished.replace(path)
