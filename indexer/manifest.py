"""`omnidex.json`: what makes a directory a collection. It is always written last, by rename."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np

from omni_encoder import (
    CollectionError,
    EncoderMismatchError,
    EncoderSpec,
    MediaLayout,
    Modality,
)
from omni_encoder.arrays import Float32

from .catalogue import CATALOGUE_NAME
from .lock import LOCK_NAME
from .remote import FETCH_NAME, MANIFEST_NAME, MIRROR_NAME, SEEN_NAME, URI_NAME, remote_of, shown

LANCE_NAME = "lance"
CODES_PREFIX = "codes_"
"""Of the names of the tables that hold codes; see `code_table`."""

FORMAT = 1

REFERENCE_WEIGHT = 64
"""A collection's own mean counts as much as the encoder's reference mean at this many items."""

Means = Mapping[Modality, Float32[np.ndarray, " dim"]]


@dataclass(frozen=True, slots=True)
class CodesSetting:
    """That codes are kept beside the items.

    Attributes:
        fingerprint: Of what makes them.
        complete: The digest of the newest version of the items' table whose items all got theirs,
            as far as their files could be read; empty if there is none.
        model: Digest of the model's files, by which it is known without loading it; empty if that
            was not said.
    """

    fingerprint: str
    complete: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Manifest:
    """A collection's encoder and the means that search subtracts.

    Attributes:
        spec: The encoder that made the vectors.
        reference: The encoder's own mean vectors; empty when it has none.
        means: The mean vector of each modality, mixed from the items' own and `reference`.
        codes: Whether codes are kept; None if they aren't.
    """

    spec: EncoderSpec
    reference: Means = field(default_factory=dict[Modality, Float32[np.ndarray, " dim"]])
    means: Means = field(default_factory=dict[Modality, Float32[np.ndarray, " dim"]])
    codes: CodesSetting | None = None

    def mean(self, modality: Modality) -> Float32[np.ndarray, " dim"]:
        """The mean to subtract from vectors of one modality; zeros when nothing is known."""
        if modality in self.means:
            return self.means[modality]
        return self.reference.get(modality, np.zeros(self.spec.dim, dtype=np.float32))

    def with_means(self, sums: Mapping[Modality, tuple[int, np.ndarray]]) -> "Manifest":
        """Recompute the means: (n * own mean + 64 * reference mean) / (n + 64).

        Args:
            sums: How many items of each modality there are, and the sum of their vectors.
        """
        zeros = np.zeros(self.spec.dim)
        means = {
            modality: (
                (total + REFERENCE_WEIGHT * self.reference.get(modality, zeros))
                / (count + REFERENCE_WEIGHT)
            ).astype(np.float32)
            for modality, (count, total) in sums.items()
        }
        return replace(self, means=means)


def table_name(spec: EncoderSpec) -> str:
    """The name of the table that holds an encoder's vectors."""
    return f"emb_{spec.fingerprint[:16]}"


def table_location(directory: Path) -> Path | str:
    """Where the tables of a collection are."""
    remote = remote_of(directory)
    return directory / LANCE_NAME if remote is None else f"{remote.uri}/{LANCE_NAME}"


def has_table(directory: Path, spec: EncoderSpec) -> bool:
    """Whether an encoder's table is there; found out without opening it."""
    return any(name.endswith(".manifest") for name in _versions(directory, spec))


def tables_named(directory: Path, beginning: str) -> list[str]:
    """The names of the tables that begin so; found out without opening any."""
    remote = remote_of(directory)
    try:
        names = remote.names(LANCE_NAME) if remote else os.listdir(directory / LANCE_NAME)  # noqa: PTH208 - as in `_versions`
    except OSError:
        return []
    return [name.removesuffix(".lance") for name in names if name.startswith(beginning)]


def read_version(directory: Path, spec: EncoderSpec, version: int) -> bytes:
    """The file that says what belongs to a version of the table; empty if it isn't kept."""
    # Lance counts them down from 2**64 - 1, so that the newest comes first.
    name = f"{_versions_folder(spec)}/{2**64 - 1 - version:020}.manifest"
    remote = remote_of(directory)
    if remote is not None:
        return remote.read(name) or b""
    try:
        return (directory / name).read_bytes()
    except FileNotFoundError:
        return b""


def digest_of(directory: Path, spec: EncoderSpec, version: int) -> str:
    """A hash of a version's own file, which never changes; empty if it isn't kept."""
    import hashlib  # a search in the cache needs it not

    content = read_version(directory, spec, version)
    return hashlib.blake2b(content, digest_size=16).hexdigest() if content else ""


def newest_version(directory: Path, spec: EncoderSpec) -> int | None:
    """The table's newest version, by the name of its file; None if there is no table."""
    # Lance counts them down from 2**64 - 1, in 20 digits, so that the newest comes first.
    for name in sorted(_versions(directory, spec)):
        digits, _, rest = name.partition(".")
        if rest == "manifest" and len(digits) == 20 and digits.isdigit():
            return 2**64 - 1 - int(digits)
    return None


def _versions_folder(spec: EncoderSpec) -> str:
    return f"{LANCE_NAME}/{table_name(spec)}.lance/_versions"


def _versions(directory: Path, spec: EncoderSpec) -> list[str]:
    remote = remote_of(directory)
    if remote is not None:
        return remote.names(_versions_folder(spec))
    try:  # asked before every query, and globbing takes ten times as long
        return os.listdir(directory / _versions_folder(spec))  # noqa: PTH208
    except OSError:
        return []


def reference_means(
    spec: EncoderSpec, means: Float32[np.ndarray, "modalities dim"] | None
) -> dict[Modality, Float32[np.ndarray, " dim"]]:
    """Name the rows of an encoder's `means`.

    Raises:
        ValueError: There isn't one row of length `spec.dim` for each of `spec.modalities`.
    """
    if means is None:
        return {}
    expected = (len(spec.modalities), spec.dim)
    if means.shape != expected:
        raise ValueError(f"means must have the shape {expected}, got {means.shape}")
    return {modality: means[i].astype(np.float32) for i, modality in enumerate(spec.modalities)}


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step: after a crash it is the old one or the new one, whole."""
    spec = asdict(manifest.spec)
    document = {
        "format": FORMAT,
        "encoder": spec,
        "reference_means": _to_lists(manifest.reference),
        "means": _to_lists(manifest.means),
    }
    if manifest.codes is not None:
        document["codes"] = asdict(manifest.codes)
    target = directory / MANIFEST_NAME
    temporary = directory / f"{MANIFEST_NAME}.new"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    if os.name == "posix":  # elsewhere a directory can't be opened, nor need it be
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_manifest(directory: Path) -> Manifest:
    """Read a collection's manifest.

    Raises:
        CollectionError: There is none, it is damaged, or a newer omnidex wrote it.
    """
    path = directory / MANIFEST_NAME
    try:
        document = cast("object", json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError) as error:
        option = "" if remote_of(directory) is None else f" -c {shown(directory)}"
        raise CollectionError(
            f"there is no collection in {shown(directory)}",
            hint=f"make one with: omnidex index{option} FOLDER",
        ) from error
    except (OSError, ValueError) as error:
        raise CollectionError(f"can't read {path}: {error}") from error
    try:
        return _parse(cast("dict[str, object]", document), path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CollectionError(
            f"{path} is damaged: {type(error).__name__}: {error}",
            hint="restore it from a backup, or index into a new collection",
        ) from error


def manifest_stamp(directory: Path) -> tuple[int, int, int]:
    """A value that is another one after the manifest has been replaced."""
    try:
        status = (directory / MANIFEST_NAME).stat()
    except OSError:
        return (0, 0, 0)
    return status.st_ino, status.st_size, status.st_mtime_ns


def _parse(document: dict[str, object], path: Path) -> Manifest:
    if document["format"] != FORMAT:
        raise CollectionError(
            f"{path} has format {document['format']}, this omnidex reads {FORMAT}",
            hint="use the version of omnidex that wrote it, or index into a new collection",
        )
    encoder = cast("dict[str, object]", document["encoder"])
    modalities = tuple(Modality(name) for name in cast("list[str]", encoder["modalities"]))
    spec = EncoderSpec(
        name=str(encoder["name"]),
        fingerprint=str(encoder["fingerprint"]),
        dim=int(cast("int", encoder["dim"])),
        modalities=modalities,
        layout=MediaLayout(**cast("dict[str, int]", encoder["layout"])),
    )
    return Manifest(
        spec=spec,
        reference=_from_lists(document["reference_means"], spec.dim),
        means=_from_lists(document["means"], spec.dim),
        codes=_codes(document.get("codes")),
    )


def _codes(value: object) -> CodesSetting | None:
    if value is None:
        return None
    setting = cast("dict[str, object]", value)
    model = str(setting.get("model", ""))
    return CodesSetting(str(setting["fingerprint"]), str(setting["complete"]), model)


def _to_lists(means: Means) -> dict[str, list[float]]:
    # Nine significant digits are enough to get every float32 back exactly.
    return {name: [float(f"{x:.9g}") for x in mean.tolist()] for name, mean in means.items()}


def _from_lists(value: object, dim: int) -> dict[Modality, Float32[np.ndarray, " dim"]]:
    means = {
        Modality(name): np.asarray(mean, dtype=np.float32)
        for name, mean in cast("dict[str, list[float]]", value).items()
    }
    for name, mean in means.items():
        if mean.shape != (dim,):
            raise ValueError(f"the mean of {name} must have {dim} numbers, not {mean.shape}")
    return means


def check_spec(directory: Path, made: EncoderSpec, given: EncoderSpec) -> None:
    """Make sure that an encoder is the one that made the vectors in a directory.

    Raises:
        EncoderMismatchError: It isn't.
    """
    if given.fingerprint == made.fingerprint:
        return
    message = (
        f"the collection in {shown(directory)} was made with the encoder {made.name}"
        f" ({made.fingerprint[:8]})"
    )
    if given.name == made.name:
        raise EncoderMismatchError(
            f"{message}, whose weights have changed since ({given.fingerprint[:8]})",
            hint="index again into a new collection (omnidex index -c NEW PATH), or name the"
            " old checkpoint file with --encoder",
        )
    raise EncoderMismatchError(
        f"{message}, which is not {given.name} ({given.fingerprint[:8]})",
        hint=f"use --encoder {made.name}, or index into another collection with -c FOLDER",
    )


def check_empty(directory: Path) -> None:
    """Make sure that a collection can be made in a directory.

    Raises:
        CollectionError: There is something in it already.
    """
    # What a creation that was cut off has left is no obstacle.
    names = {path.name for path in directory.iterdir()}
    if MANIFEST_NAME in names:
        raise CollectionError(f"{shown(directory)} is a collection already")
    others = {
        name
        for name in names
        if name not in (LOCK_NAME, FETCH_NAME, MIRROR_NAME, URI_NAME, SEEN_NAME)
        and not name.startswith((CATALOGUE_NAME, MANIFEST_NAME))
    }
    if others:
        raise CollectionError(
            f"{directory} holds other files, such as {min(others)}",
            hint="name a folder that is empty or doesn't exist",
        )
