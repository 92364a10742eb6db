"""The files that the ingest benchmark makes of each kind of media, from a seed.

Images are JPEGs of 640 x 480 at about 70 KB. Sounds are MP3s of a minute, in stereo at 44.1 kHz,
which make eleven items each. Videos are H.264 of 640 x 360 and 20 seconds: two items. Texts are
notes of 30 words, and every tenth has 800, which makes about ten items.
"""

from pathlib import Path

import numpy as np

from omni_encoder import Modality
from omni_encoder.synthetic import write_photos
from omni_encoder.synthetic_media import write_clips, write_sounds

_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]


def write_files(folder: Path, kind: Modality, count: int, *, seed: int) -> list[Path]:
    """Write files of a kind of media, all different.

    Args:
        folder: Made when absent.
        kind: Which kind.
        count: How many files, at least 1.
        seed: Equal seeds give equal files.
    """
    if kind is Modality.IMAGE:
        return write_photos(folder, count, seed=seed)
    if kind is Modality.AUDIO:
        return write_sounds(folder, count, seed=seed)
    if kind is Modality.VIDEO:
        return write_clips(folder, count, seed=seed)
    return _write_texts(folder, count, seed=seed)


def _write_texts(folder: Path, count: int, *, seed: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"text{number:05d}.txt" for number in range(count)]
    for number, path in enumerate(paths):
        generator = np.random.default_rng([seed, number, 3])
        words = 800 if number % 10 == 9 else 30
        chosen = np.array(_SYLLABLES)[generator.integers(0, len(_SYLLABLES), (words, 3))]
        text: list[str] = ["".join(syllables) for syllables in chosen]
        sentences = (" ".join(text[start : start + 10]) for start in range(0, words, 10))
        path.write_text(". ".join(sentences) + ".\n")
    return paths
