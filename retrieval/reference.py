"""Reference media of an encoder: what its scores are compared with, so that they mean something.

A reference is a sample of training items and texts, as unit vectors. It ships beside the model in
one file and belongs to one encoder, whose fingerprint it carries.
"""

import json
import zipfile
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from omni_encoder import Modality, OmniError
from omni_encoder.arrays import Float32, Int64
from omni_encoder.shipped import companion

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


class StoredCohorts(Mapping[Modality, Cohort]):
    """The cohorts in a file. A query needs those of two modalities; unpacking all takes long."""

    def __init__(self, path: Path, modalities: Sequence[Modality]) -> None:
        """Read nothing yet."""
        self._path = path
        self._modalities = modalities
        self._read: dict[Modality, Cohort] = {}

    def __iter__(self) -> Iterator[Modality]:
        return iter(self._modalities)

    def __len__(self) -> int:
        return len(self._modalities)

    def __getitem__(self, modality: Modality) -> Cohort:
        """Read one.

        Raises:
            OmniError: The file is damaged.
            KeyError: It has none of this modality.
        """
        if modality not in self._modalities:
            raise KeyError(modality)
        if modality not in self._read:
            with _opened(self._path) as stored:
                self._read[modality] = Cohort(
                    stored[f"{modality}.vectors"].astype(np.float32),
                    stored[f"{modality}.groups"].astype(np.int64),
                )
        return self._read[modality]


def read_reference(path: Path) -> Reference:
    """Read a reference; its cohorts when they are asked for.

    Raises:
        OmniError: The file is missing or damaged.
    """
    with _opened(path) as stored:
        modalities = [one for one in Modality if f"{one}.vectors" in stored]
        chosen = cast("dict[str, dict[str, float]]", json.loads(str(stored["chosen"])))
        strange = {Modality(name): limit for name, limit in chosen["strange"].items()}
        fingerprint = str(stored["fingerprint"])
        return Reference(fingerprint, StoredCohorts(path, modalities), chosen["limits"], strange)


@contextmanager
def _opened(path: Path) -> Generator[Mapping[str, np.ndarray], None, None]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            yield stored
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
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
