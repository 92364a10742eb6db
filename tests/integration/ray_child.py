"""Encoders for the workers of a test's cluster, and a driver that a test can kill.

Usage: python -m tests.integration.ray_child COLLECTION FOLDER
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from indexer import Collection, Engine, IngestOptions, Progress, ingest
from omni_encoder import EncoderError, MediaItem
from tests.toy import ToyEncoder

OPTIONS = IngestOptions(engine=Engine.RAY, batch_items=4, commit_rows=16, decode_threads=1)


class Mortal(ToyEncoder):
    """Takes its process along: once when `once` is missing, and at every text with `deadly`."""

    def __init__(self, once: Path | None = None, deadly: str | None = None) -> None:
        super().__init__()
        self._once = once
        self._deadly = deadly

    def encode(self, items: Sequence[MediaItem]) -> np.ndarray:
        texts = [item.content for item in items if isinstance(item.content, str)]
        if self._deadly is not None and any(self._deadly in text for text in texts):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._once is not None and self.encoded > 12:
            try:
                self._once.touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(items)


class Broken(ToyEncoder):
    """Can't encode anything."""

    def encode(self, items: Sequence[MediaItem]) -> np.ndarray:
        raise EncoderError(f"out of order for {len(items)}", hint="mend it")


class Slow(ToyEncoder):
    """Takes its time, so that there is time to kill the driver."""

    def encode(self, items: Sequence[MediaItem]) -> np.ndarray:
        time.sleep(0.05)
        return super().encode(items)


def report(progress: Progress) -> None:
    sys.stdout.write(f"{progress.phase} {progress.done}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with Collection.open_or_create(Path(sys.argv[1]), ToyEncoder().spec) as collection:
        ingest([Path(sys.argv[2])], collection, Slow, options=OPTIONS, progress=report)
