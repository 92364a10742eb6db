"""Indexes a folder and prints a line for every step, so that a test can kill it anywhere.

Usage: python -m tests.integration.ingest_child COLLECTION FOLDER
"""

import sys
from pathlib import Path

import lancedb  # noqa: F401 - imported before the first line, so that kills hit the work

from indexer import Collection, IngestOptions, Progress, ingest
from tests.toy import ToyEncoder


def report(progress: Progress) -> None:
    sys.stdout.write(f"{progress.phase} {progress.done}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    encoder = ToyEncoder()
    options = IngestOptions(batch_items=2, commit_rows=12, decode_threads=2)
    with Collection.open_or_create(Path(sys.argv[1]), encoder.spec) as collection:
        ingest(
            [Path(sys.argv[2])],
            collection,
            encoder,
            options=options,
            progress=report,
        )
