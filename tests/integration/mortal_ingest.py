"""Ingests for a test to kill, each forked from a process that has imported everything already.

So a start costs a hundredth of what Python and its imports take, and nothing is shared but code:
no file and no table was opened before. For every line on stdin, `isolate 7` or `here 7`, one is
started, which indexes all folders from number 7 on, one after the other, and decodes in processes
of their own or not. It writes `folder N` and the phases that it enters to stdout, between
`start PID` and `end STATUS`.

Usage: python -m tests.integration.mortal_ingest COLLECTION FOLDER
"""

import os
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from indexer import Collection, IngestOptions, ingest, local_engine, sync, table, writer
from tests.toy import ToyEncoder

PHASES = ("scan", "read", "encode", "commit", "sweep", "finish", "sync")

_entered = ["between"]


def tell(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def as_phase(name: str, owner: object, attribute: str) -> None:
    """Tell of a phase when a function begins, and of the one around it when it ends."""
    original: Callable[..., object] = getattr(owner, attribute)

    @wraps(original)
    def told(*arguments: object, **options: object) -> object:
        _entered.append(name)
        tell(name)
        try:
            return original(*arguments, **options)
        finally:
            _entered.pop()
            tell(_entered[-1])

    setattr(owner, attribute, told)


def run(directory: Path, media: Path, *, first: int, isolate: bool) -> None:
    as_phase("recover", writer.Writer, "recover")
    as_phase("scan", sys.modules[ingest.__module__], "scan")
    as_phase("read", local_engine.LocalRun, "read")
    as_phase("encode", ToyEncoder, "encode")
    as_phase("commit", table.VectorTable, "append")
    as_phase("commit", writer.Catalogue, "record")
    as_phase("sweep", writer.Writer, "sweep")
    as_phase("finish", writer.Writer, "finish")
    as_phase("sync", sync, "synchronize")
    encoder = ToyEncoder()
    options = IngestOptions(batch_items=2, commit_rows=4, decode_threads=2, isolate=isolate)
    with Collection.open(directory) as collection:
        for number, folder in list(enumerate(sorted(media.iterdir())))[first:]:
            tell(f"folder {number}")
            ingest([folder], collection, encoder, options=options)


def serve(directory: Path, media: Path) -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            where, first = line.split()
            run(directory, media, first=int(first), isolate=where == "isolate")
            return
        tell(f"start {child}")
        _, status = os.waitpid(child, 0)
        tell(f"end {status}")


if __name__ == "__main__":
    warnings.simplefilter("ignore", RuntimeWarning)  # lancedb's: that it survives a fork is new
    serve(Path(sys.argv[1]), Path(sys.argv[2]))
