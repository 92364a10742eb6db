"""Vectors of whole files and of texts. A file of several parts gets the mean of its parts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omni_encoder import Encoder, MediaError, MediaItem, Modality
from omni_encoder.arrays import Float32, Float64, Int64

BATCH_ITEMS = 32


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that has no vector.

    Attributes:
        number: Its position among the files that were given.
        reason: A short stable code, such as `truncated`.
        message: One sentence for people.
    """

    number: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedFiles:
    """One unit row for each file, in the order given; the rows of `failures` are zero."""

    vectors: Float32[np.ndarray, "files dim"]
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedFile:
    """The unit vector of one file, and the modality that it was decoded as."""

    modality: Modality
    vector: Float32[np.ndarray, " dim"]


class _Sums:
    """Adds up the vectors of each file's parts, a batch of parts at a time."""

    def __init__(self, encoder: Encoder, *, files: int, batch_items: int) -> None:
        self.totals: Float64[np.ndarray, "files dim"] = np.zeros((files, encoder.spec.dim))
        self.parts: Int64[np.ndarray, " files"] = np.zeros(files, dtype=np.int64)
        self._encoder = encoder
        self._batch_items = batch_items
        self._waiting: list[tuple[int, MediaItem]] = []

    def add(self, number: int, item: MediaItem) -> None:
        """Take one part of file `number`."""
        self._waiting.append((number, item))
        if len(self._waiting) >= self._batch_items:
            self.flush()

    def flush(self) -> None:
        """Encode what waits."""
        if not self._waiting:
            return
        numbers = [number for number, _ in self._waiting]
        vectors = self._encoder.encode([item for _, item in self._waiting])
        np.add.at(self.totals, numbers, vectors)
        np.add.at(self.parts, numbers, 1)
        self._waiting.clear()


def embed_files(
    paths: Sequence[Path],
    encoder: Encoder,
    *,
    batch_items: int = BATCH_ITEMS,
    advance: Callable[[int], None] | None = None,
) -> EmbeddedFiles:
    """Decode and encode media files; one that can't be decoded is reported, not raised.

    Args:
        paths: Files of any mix of the encoder's modalities; a batch is best of one modality.
        encoder: What encodes them.
        batch_items: How many parts are encoded at once.
        advance: Called with the number of files read so far.

    Raises:
        EncoderError: A file is of a modality that the encoder doesn't know.
    """
    from omni_encoder.media import open_media

    sums = _Sums(encoder, files=len(paths), batch_items=batch_items)
    failures: dict[int, Failure] = {}
    for number, path in enumerate(paths):
        try:
            _, items = open_media(path, encoder.spec.layout)
            for item in items:
                sums.add(number, item)
        except MediaError as error:
            failures[number] = Failure(number, error.reason, error.message)
        if advance is not None:
            advance(number + 1)
    sums.flush()
    for number in np.flatnonzero(sums.parts == 0).tolist():
        failures.setdefault(number, Failure(number, "empty", f"{paths[number]} holds nothing"))
    sums.totals[list(failures)] = 0.0
    return EmbeddedFiles(unit(sums.totals), tuple(failures[i] for i in sorted(failures)))


def embed_file(path: Path, encoder: Encoder) -> EmbeddedFile:
    """The unit vector of one media file, and what the file turned out to be.

    Raises:
        MediaError: The file can't be decoded.
        EncoderError: The file is of a modality that the encoder doesn't know.
    """
    from omni_encoder.media import open_media

    info, items = open_media(path, encoder.spec.layout)
    sums = _Sums(encoder, files=1, batch_items=BATCH_ITEMS)
    for item in items:
        sums.add(0, item)
    sums.flush()
    if not sums.parts[0]:
        raise MediaError(f"{path} holds nothing", reason="empty")
    return EmbeddedFile(info.modality, unit(sums.totals)[0])


def embed_texts(
    texts: Sequence[str], encoder: Encoder, *, batch_items: int = BATCH_ITEMS
) -> Float32[np.ndarray, "texts dim"]:
    """One unit row for each text, in the order given; each is one item, however long.

    Raises:
        EncoderError: The encoder doesn't know text.
    """
    vectors = np.zeros((len(texts), encoder.spec.dim), dtype=np.float32)
    # Texts of like length share a batch, so that little padding is encoded.
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), batch_items):
        chosen = order[start : start + batch_items]
        vectors[chosen] = encoder.encode([MediaItem(Modality.TEXT, texts[i]) for i in chosen])
    return vectors


def unit(vectors: Float64[np.ndarray, "rows dim"]) -> Float32[np.ndarray, "rows dim"]:
    """The rows at length 1; rows of zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 1e-12, lengths, np.inf)).astype(np.float32)
