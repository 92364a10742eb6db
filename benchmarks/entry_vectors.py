"""Vectors of a benchmark's entries: every file and text is encoded once, and kept as it goes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np
from jaxtyping import Float32

from omni_encoder import Modality
from retrieval.embed import Failure, unit

from .tasks import Entry, Part, Task
from .vectors import VectorCache

CHUNK = 256
SAVE_EVERY_S = 60.0

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class PartVectors:
    """Unit rows of all parts of a benchmark.

    Attributes:
        rows: One for each part.
        numbers: Which row a part has; parts that can't be decoded have none.
        failures: Files that can't be decoded, and why.
    """

    rows: Float32[np.ndarray, "parts dim"]
    numbers: dict[Part, int]
    failures: dict[Path, Failure]

    def knows(self, entry: Entry) -> bool:
        """Whether all parts of an entry have vectors."""
        return all(part in self.numbers for part in entry.parts)

    def of(self, entries: Sequence[Entry]) -> Float32[np.ndarray, "entries dim"]:
        """One unit row for each entry, the normalised sum of its parts."""
        result = np.zeros((len(entries), self.rows.shape[1]), dtype=np.float32)
        for i, entry in enumerate(entries):
            if len(entry.parts) == 1:
                result[i] = self.rows[self.numbers[entry.parts[0]]]
            else:
                chosen = [self.numbers[part] for part in entry.parts]
                result[i] = unit(self.rows[chosen].sum(axis=0, dtype=np.float64)[None])[0]
        return result


def embed_parts(
    entries: Sequence[Entry], cache: VectorCache, *, progress: Progress | None = None
) -> PartVectors:
    """Encode every part of some entries once, saving the cache about every minute."""
    parts = list(dict.fromkeys(part for entry in entries for part in entry.parts))
    texts = [part for part in parts if part.modality is Modality.TEXT]
    failures: dict[Path, Failure] = {}
    rows: list[Float32[np.ndarray, "some dim"]] = []
    good: list[Part] = []
    saver = _Saver(cache)
    for modality in Modality:
        if modality is Modality.TEXT:
            continue
        files = [part for part in parts if part.modality is modality]
        for start in range(0, len(files), CHUNK):
            chunk = files[start : start + CHUNK]
            embedded = cache.files([_path(part) for part in chunk])
            bad = {failure.number: failure for failure in embedded.failures}
            kept = [number for number in range(len(chunk)) if number not in bad]
            failures |= {_path(chunk[number]): failure for number, failure in bad.items()}
            rows.append(embedded.vectors[kept])
            good += [chunk[number] for number in kept]
            _tell(progress, modality, start + len(chunk), len(files))
            saver.maybe()
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        rows.append(cache.texts([str(part.content) for part in chunk]))
        good += chunk
        _tell(progress, Modality.TEXT, start + len(chunk), len(texts))
        saver.maybe()
    cache.save()
    stacked = np.concatenate(rows) if rows else np.zeros((0, cache.dim), dtype=np.float32)
    return PartVectors(stacked, {part: number for number, part in enumerate(good)}, failures)


def centred(
    vectors: Float32[np.ndarray, "entries dim"], kinds: Sequence[str]
) -> Float32[np.ndarray, "entries dim"]:
    """Unit rows less the mean of their kind, which is what closes the gap between modalities."""
    result = vectors.astype(np.float64)
    for kind in set(kinds):
        chosen = np.array([other == kind for other in kinds])
        result[chosen] -= result[chosen].mean(axis=0)
    return unit(result)


def task_vectors(
    task: Task, vectors: PartVectors, *, centre: bool
) -> tuple[Float32[np.ndarray, "queries dim"], Float32[np.ndarray, "candidates dim"]]:
    """Unit rows of a task's queries and of its candidates."""
    queries, candidates = vectors.of(task.queries), vectors.of(task.candidates)
    if centre:
        queries = centred(queries, [entry.kind for entry in task.queries])
        candidates = centred(candidates, [entry.kind for entry in task.candidates])
    return queries, candidates


class _Saver:
    """Saves a cache now and then."""

    def __init__(self, cache: VectorCache) -> None:
        self._cache = cache
        self._last = monotonic()

    def maybe(self) -> None:
        if monotonic() - self._last >= SAVE_EVERY_S:
            self._cache.save()
            self._last = monotonic()


def _path(part: Part) -> Path:
    assert isinstance(part.content, Path)  # only texts have none
    return part.content


def _tell(progress: Progress | None, modality: Modality, done: int, total: int) -> None:
    if progress is not None:
        progress(f"Encoding {modality}", done, total)
