"""Vectors of a manifest's files and captions, kept in a cache file between runs when asked for.

The cache of an encoder is `FINGERPRINT.npz` in the cache folder: content keys and unit rows. A key
is a hash of a file's bytes or of a text, so an edited file is encoded anew.
"""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from blake3 import blake3
from jaxtyping import Float32

from omni_encoder import Encoder, MediaItem, Modality, OmniError
from retrieval.embed import EmbeddedFiles, Failure, embed_files, embed_texts


class VectorCache:
    """Unit rows by content key, of one encoder."""

    def __init__(self, folder: Path | None, encoder: Encoder) -> None:
        """Open the cache of `encoder` in `folder`; without a folder nothing outlives the object.

        Raises:
            OmniError: The cache file is damaged.
        """
        self._encoder = encoder
        self._path = None if folder is None else folder / f"{encoder.spec.fingerprint}.npz"
        self._rows: dict[str, Float32[np.ndarray, " dim"]] = {}
        if self._path is not None and self._path.exists():
            self._rows = _read(self._path, dim=encoder.spec.dim)

    @property
    def knows_text(self) -> bool:
        """Whether `texts` can be asked."""
        return Modality.TEXT in self._encoder.spec.modalities

    @property
    def dim(self) -> int:
        """The length of the rows."""
        return self._encoder.spec.dim

    def texts(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts dim"]:
        """One unit row for each text, in the order given."""
        keys = [f"text:{blake3(text.encode()).hexdigest()}" for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._rows}
        vectors = embed_texts(list(new.values()), self._encoder)
        self._rows.update(zip(new, vectors, strict=True))
        return self._stack(keys)

    def files(
        self, paths: Sequence[Path], *, advance: Callable[[int], None] | None = None
    ) -> EmbeddedFiles:
        """As `embed_files`; `advance` counts the files that had to be read."""
        keys = [f"file:{blake3(path.read_bytes()).hexdigest()}" for path in paths]
        new = {key: path for key, path in zip(keys, paths, strict=True) if key not in self._rows}
        embedded = embed_files(list(new.values()), self._encoder, advance=advance)
        failed = {list(new)[failure.number]: failure for failure in embedded.failures}
        for key, vector in zip(new, embedded.vectors, strict=True):
            if key not in failed:
                self._rows[key] = vector
        failures = tuple(
            Failure(number, failed[key].reason, failed[key].message)
            for number, key in enumerate(keys)
            if key in failed
        )
        return EmbeddedFiles(self._stack(keys), failures)

    def row(self, key: str, make: Callable[[], MediaItem]) -> Float32[np.ndarray, " dim"]:
        """The unit row of an item that is made only if no row of its key is kept."""
        if key not in self._rows:
            self._rows[key] = self._encoder.encode([make()])[0]
        return self._rows[key]

    def save(self) -> None:
        """Write the cache file, if there is to be one."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial.npz")
        np.savez(partial, keys=np.array(list(self._rows)), vectors=self._stack(list(self._rows)))
        partial.replace(self._path)

    def _stack(self, keys: Sequence[str]) -> Float32[np.ndarray, "keys dim"]:
        vectors = np.zeros((len(keys), self._encoder.spec.dim), dtype=np.float32)
        for number, key in enumerate(keys):
            if key in self._rows:
                vectors[number] = self._rows[key]
        return vectors


def _read(path: Path, *, dim: int) -> dict[str, Float32[np.ndarray, " dim"]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            keys, vectors = stored["keys"], stored["vectors"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise OmniError(
            f"the cache {path} is damaged: {error}", hint="delete it; it will be made again"
        ) from error
    if vectors.shape != (len(keys), dim) or vectors.dtype != np.float32:
        raise OmniError(
            f"the cache {path} has vectors of another form", hint="delete it; it will be made again"
        )
    return {str(key): vector for key, vector in zip(keys, vectors, strict=True)}
