"""Random operations on a collection, which a test starts in a process that it kills.

Operation number n follows from n alone, so that the state after any number of them is known.
"""

import sys
from pathlib import Path

import numpy as np

from indexer import Collection
from indexer.entries import ContentKey, ContentRow, FileRow, FileStamp
from indexer.rows import MODALITIES, ItemRow
from indexer.writer import Writer
from omni_encoder.media import MediaInfo
from tests.toy import DIM, ToyEncoder

SPEC = ToyEncoder().spec
NAMES = 400
MOST_ADDED = 12


def key_of(name: int) -> ContentKey:
    return ContentKey(f"{name:032x}", MODALITIES[name % 3])


def path_of(name: int) -> Path:
    return Path(f"/media/{name % 5}/{name}")


def operation(number: int) -> tuple[str, list[int]]:
    """What to do, and to which names."""
    generator = np.random.default_rng([7, number])
    kind = ["add", "add", "remove", "caption"][int(generator.integers(4))]
    count = int(generator.integers(1, MOST_ADDED + 1))
    return kind, sorted(set(generator.integers(0, NAMES, count).tolist()))


def vector_of(name: int) -> np.ndarray:
    vector = np.random.default_rng([8, name]).standard_normal(DIM)
    vector += 1.5 * np.random.default_rng([9, name % 3]).standard_normal(DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def state_after(numbers: int) -> dict[int, str | None]:
    """The names that are there after so many operations, and their captions."""
    state: dict[int, str | None] = {}
    for number in range(numbers):
        kind, names = operation(number)
        for name in names:
            if kind == "add":
                state.setdefault(name, None)
            elif kind == "remove":
                state.pop(name, None)
            elif name in state:
                state[name] = f"caption {number}"
    return state


def apply(collection: Collection, number: int, state: dict[int, str | None]) -> None:
    """Do one operation on a collection that is in a state."""
    kind, names = operation(number)
    if kind == "remove":
        there = [path_of(name) for name in names if name in state]
        if there:
            collection.remove(there)
        return
    with collection.writing("soak") as writer:
        for name in names:
            key = key_of(name)
            if kind == "caption" and name in state:
                writer.set_caption(key, f"caption {number}")
            if kind == "add" and name not in state:
                info = MediaInfo(key.modality, "x/y")
                writer.add([ItemRow(key, 0, True, None, None, info, vector_of(name))])
                enter(writer, name)


def enter(writer: Writer, name: int) -> None:
    """Say which file holds an item."""
    key = key_of(name)
    file = FileRow(str(path_of(name)).encode(), FileStamp(1, 1, name + 1), key)
    writer.enter(file, ContentRow(key, 1, partial=False))


def main(directory: Path, first: int, last: int, journal: Path) -> None:
    state = state_after(first)
    with Collection.open(directory) as collection:
        for number in range(first, last):
            apply(collection, number, state)
            state = state_after(number + 1) if number % 50 == 0 else advanced(state, number)
            written = journal.with_suffix(".new")
            written.write_text(str(number + 1))
            written.replace(journal)  # a kill leaves the old number or the new one


def advanced(state: dict[int, str | None], number: int) -> dict[int, str | None]:
    """The state after one more operation."""
    kind, names = operation(number)
    state = dict(state)
    for name in names:
        if kind == "add":
            state.setdefault(name, None)
        elif kind == "remove":
            state.pop(name, None)
        elif name in state:
            state[name] = f"caption {number}"
    return state


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
