"""Reference media of an encoder: what its scores are compared with, so that they mean something.

A reference is a sample of training items and texts, as unit vectors. It ships beside the model in
one file and belongs to one encoder, whose fingerprint it carries.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import Float32, Int64

from omni_encoder import Modality, OmniError
from omni_encoder.registry import companion

FILE_NAME = "reference.npz"


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Reference items of one modality.

    Attributes:
        vectors: Unit rows, not centred.
        groups: What each item belongs to; items of one group, of any modality, are related.
    """

    vectors: Float32[np.ndarray, "items dim"]
    groups: Int64[np.ndarray, " items"]

    def __post_init__(self) -> None:
        if len(self.vectors) != len(self.groups) or not len(self.vectors):
            raise ValueError(f"{len(self.vectors)} vectors have {len(self.groups)} groups")


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Cohorts of an encoder's modalities.

    Attributes:
        fingerprint: Of the encoder.
        cohorts: Those that there are.
        limits: By `direction`: a hit is weak where more unrelated items than this are expected to
            score as high.
        strange: By modality: a query part is strange below this familiarity, a cosine.
    """

    fingerprint: str
    cohorts: Mapping[Modality, Cohort]
    limits: Mapping[str, float] = field(default_factory=dict[str, float])
    strange: Mapping[Modality, float] = field(default_factory=dict[Modality, float])


def direction(asked: Modality, found: Modality) -> str:
    """The name of a direction, such as `text->image`."""
    return f"{asked}->{found}"


def save_reference(reference: Reference, path: Path) -> None:
    """Write a reference, whole or not at all; vectors are kept in half precision."""
    arrays: dict[str, np.ndarray] = {"fingerprint": np.array(reference.fingerprint)}
    chosen = {"limits": dict(reference.limits), "strange": dict(reference.strange)}
    arrays["chosen"] = np.array(json.dumps(chosen, sort_keys=True))
    for modality, cohort in reference.cohorts.items():
        arrays[f"{modality}.vectors"] = cohort.vectors.astype(np.float16)
        arrays[f"{modality}.groups"] = cohort.groups
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial.npz")
    np.savez_compressed(unfinished, **arrays)  # pyright: ignore[reportArgumentType] - arrays only
    unfinished.replace(path)


def read_reference(path: Path) -> Reference:
    """Read a reference.

    Raises:
        OmniError: The file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            cohorts = {
                modality: Cohort(
                    stored[f"{modality}.vectors"].astype(np.float32),
                    stored[f"{modality}.groups"].astype(np.int64),
                )
                for modality in Modality
                if f"{modality}.vectors" in stored
            }
            chosen = cast("dict[str, dict[str, float]]", json.loads(str(stored["chosen"])))
            strange = {Modality(name): limit for name, limit in chosen["strange"].items()}
            return Reference(str(stored["fingerprint"]), cohorts, chosen["limits"], strange)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise OmniError(
            f"{path} can't be read as a reference: {error}",
            hint="make it again: omnidex bench reference, see docs/benchmarks.md",
        ) from error


def find_reference(name: str, fingerprint: str) -> Reference | None:
    """The reference that lies beside an encoder's checkpoint, if it belongs to it.

    Args:
        name: The encoder's, as `load_encoder` takes it.
        fingerprint: The encoder's.

    Raises:
        OmniError: The file is damaged.
    """
    path = companion(name, FILE_NAME)
    if path is None or not path.is_file():
        return None
    reference = read_reference(path)
    return reference if reference.fingerprint == fingerprint else None
