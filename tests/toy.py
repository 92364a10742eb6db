"""A small deterministic encoder without torch: words, colours and spectra, randomly projected.

It gives equal media equal vectors and similar media similar ones, which is all that tests of
indexing and search need.
"""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
from jaxtyping import Float32

from omni_encoder import EncoderSpec, MediaItem, MediaLayout, Modality

DIM = 32


class ToyEncoder:
    """Encodes any modality into 32 dimensions."""

    def __init__(self, *, name: str = "toy", seed: int = 0) -> None:
        self.spec = EncoderSpec(
            name=name,
            fingerprint=f"{crc32(f'{name}{seed}'.encode()):08x}" * 4,
            dim=DIM,
            modalities=tuple(Modality),
            layout=MediaLayout(image_pixels=32, video_frames=2),
        )
        self.means = None
        self.encoded = 0  # how many items so far: tests count re-used vectors by it
        generator = np.random.default_rng(seed)
        self._colours = generator.standard_normal((48, DIM))
        self._spectra = generator.standard_normal((64, DIM))
        self._seed = seed

    def encode(self, items: Sequence[MediaItem]) -> Float32[np.ndarray, "items dim"]:
        """See `Encoder.encode`."""
        self.encoded += len(items)
        rows = [self._row(item) for item in items]
        vectors = np.stack(rows) if rows else np.zeros((0, DIM))
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)

    def _row(self, item: MediaItem) -> np.ndarray:
        content = item.content
        if isinstance(content, str):
            return np.sum([self._word(word) for word in content.lower().split()], axis=0)
        if item.modality is Modality.AUDIO:
            padded = np.pad(content, (0, max(0, 256 - len(content))))
            blocks = padded[: len(padded) // 128 * 128].reshape(-1, 128)
            spectrum = np.abs(np.fft.rfft(blocks, axis=1)).mean(axis=0)[:64]
            return np.log1p(spectrum) @ self._spectra + 1e-3
        frames = content if item.modality is Modality.VIDEO else content[None]
        rows = np.array_split(frames.mean(axis=0), 4, axis=0)
        cells = [cell.mean(axis=(0, 1)) for row in rows for cell in np.array_split(row, 4, axis=1)]
        return np.concatenate(cells) @ self._colours + 1e-3

    def _word(self, word: str) -> np.ndarray:
        return np.random.default_rng([self._seed, crc32(word.encode())]).standard_normal(DIM)
