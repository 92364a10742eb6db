"""Folders of small media whose content follows from a seed, and what a collection holds of them."""

import os
import wave
from pathlib import Path

import numpy as np
from PIL import Image

from indexer import Collection

Item = tuple[bytes, tuple[str, ...], str | None]

LONG_AGO = 1_700_000_000


def write_text(path: Path, seed: int, *, words: int = 30) -> Path:
    numbers = np.random.default_rng([seed, 1]).integers(0, 10_000, words)
    sentences = [f"Word{number} is said here." for number in numbers]
    path.write_text(" ".join(sentences))
    return settle(path)


def write_image(path: Path, seed: int) -> Path:
    pixels = np.random.default_rng([seed, 2]).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return settle(path)


def write_sound(path: Path, seed: int, *, duration: float = 12.0) -> Path:
    noise = np.random.default_rng([seed, 3]).integers(-9000, 9000, round(16_000 * duration))
    with wave.open(os.fspath(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(noise.astype("<i2").tobytes())
    return settle(path)


def settle(path: Path) -> Path:
    """Make a file look old, so that its time stamp is trusted."""
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def write_folder(folder: Path, *, texts: int = 0, images: int = 0, sounds: int = 0) -> Path:
    """Short and long texts, images and sounds, spread over two subfolders."""
    (folder / "a").mkdir(parents=True)
    (folder / "b").mkdir()
    for seed in range(texts):
        # Every fifth one has several parts, so that contents straddle batches and commits.
        words = 150 if seed % 5 == 0 else 20
        write_text(folder / "ab"[seed % 2] / f"text{seed:03}.txt", seed, words=words)
    for seed in range(images):
        write_image(folder / "ab"[seed % 2] / f"image{seed:03}.png", seed)
    for seed in range(sounds):
        write_sound(folder / "ab"[seed % 2] / f"sound{seed:03}.wav", seed)
    return folder


def items_of(collection: Collection) -> dict[str, Item]:
    """Every item by id, with its vector, the names of its files and its caption.

    Each id must be there once.
    """
    anything = np.ones(collection.spec.dim, np.float32)
    found = collection.nearest(anything, k=1_000_000)
    records = collection.records(np.sort(found.rows))
    vectors = [collection.vector_of(record.id) for record in records]
    ids = [record.id for record in records]
    assert len(set(ids)) == len(ids)
    return {
        record.id: (
            vector.tobytes(),
            tuple(path.name for path in record.paths),
            record.caption,
        )
        for record, vector in zip(records, vectors, strict=True)
    }


def names_in(collection: Collection) -> set[str]:
    return {name for _, files, _ in items_of(collection).values() for name in files}
