"""Indexes a folder where no file may grow beyond so many bytes, and says how it ended.

Usage: python -m tests.integration.full_disk_child COLLECTION FOLDER LIMIT
"""

import signal
import sys
from pathlib import Path

import lancedb  # noqa: F401 - what it writes when imported is none of this

from indexer import Collection, IngestOptions, ingest
from omni_encoder import CollectionError
from tests.toy import ToyEncoder

if __name__ == "__main__":
    encoder = ToyEncoder()
    with Collection.open_or_create(Path(sys.argv[1]), encoder.spec) as collection:
        limit = int(sys.argv[3])
        if limit:
            import resource

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            options = IngestOptions(batch_items=4, commit_rows=8)
            ingest([Path(sys.argv[2])], collection, encoder, options=options)
        except CollectionError as error:
            sys.stdout.write(f"{error.message}\n{error.hint}\n")
            sys.exit(2)
