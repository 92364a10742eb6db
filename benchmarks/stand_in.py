"""Encoders that take the time of an accelerator, of a core, or none; vectors follow from bytes."""

import hashlib
import time
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from omni_encoder import EncoderSpec, MediaItem, MediaLayout, Modality

_DIM = 384


class StandIn:
    """Encodes anything at a fixed rate, without computing."""

    def __init__(self, items_per_s: float | None = None) -> None:
        """Set the rate.

        Args:
            items_per_s: How many items a second; None stands for as many as come.
        """
        self.spec = EncoderSpec("stand-in", "5a" * 16, _DIM, tuple(Modality), MediaLayout())
        self.means = None
        self._item_s = 0.0 if items_per_s is None else 1 / items_per_s

    def encode(self, items: Sequence[MediaItem]) -> Float32[np.ndarray, "items dim"]:
        """See `Encoder.encode`."""
        end = time.perf_counter() + self._item_s * len(items)
        vectors = np.zeros((len(items), _DIM), np.float32)
        for row, item in zip(vectors, items, strict=True):
            row[:] = _vector(item.content)
        time.sleep(max(0.0, end - time.perf_counter()))
        return vectors


class Costly(StandIn):
    """Spends a fixed CPU time on every item, as an encoder on a core does."""

    def __init__(self, item_ms: float) -> None:
        """Set the cost.

        Args:
            item_ms: Milliseconds of CPU for each item.
        """
        super().__init__()
        self._cpu_s = item_ms / 1000

    def encode(self, items: Sequence[MediaItem]) -> Float32[np.ndarray, "items dim"]:
        """See `Encoder.encode`."""
        end = time.thread_time() + self._cpu_s * len(items)
        vectors = super().encode(items)
        while time.thread_time() < end:
            sum(range(1000))
        return vectors


def _vector(content: str | np.ndarray) -> Float32[np.ndarray, " dim"]:
    data = content.encode() if isinstance(content, str) else content[::16].tobytes()
    digest = hashlib.blake2b(data, digest_size=48).digest()
    bits = np.unpackbits(np.frombuffer(digest, np.uint8)).astype(np.float32)
    return (2 * bits - 1) / np.float32(np.sqrt(_DIM))
