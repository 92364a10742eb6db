"""Indexes a folder and prints, as JSON, what came of it and how much memory it took at most.

Usage: python -m tests.integration.memory_child COLLECTION FOLDER
"""

import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from indexer import Collection, IngestOptions, Phase, Progress, ingest
from omni_encoder import MediaItem
from tests.toy import DIM, ToyEncoder

MB = 1024  # Linux counts in kB


def peak_mb() -> int:
    """The most memory that this process has had; `ru_maxrss` would count its parent's too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // MB


class Quick(ToyEncoder):
    """Looks at how large items are, and no further."""

    def encode(self, items: Sequence[MediaItem]) -> np.ndarray:
        rows = np.ones((len(items), DIM), np.float32)
        rows[:, 0] += np.array([len(item.content) % 97 for item in items], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def main(directory: Path, folder: Path) -> None:
    peaks: dict[str, int] = {}

    def note(progress: Progress) -> None:
        peaks[str(progress.phase)] = peak_mb()

    encoder = Quick()
    options = IngestOptions(isolate=True)
    with Collection.create(directory, encoder.spec) as collection:
        report = ingest([folder], collection, encoder, options=options, progress=note)
    outcome = {
        "encoded": report.encoded,
        "items": report.items,
        "problems": {problem.path.name: problem.reason for problem in report.problems},
        "scan_mb": peaks[Phase.SCAN],
        "read_mb": peaks[Phase.FINISH],
        "whole_mb": peak_mb(),
        "child_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // MB,
    }
    sys.stdout.write(json.dumps(outcome) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
