"""Reading and encoding changed files in this process."""

import time
from collections.abc import Callable, Mapping
from contextlib import closing

from omni_encoder import Encoder

from .collection import Collection
from .encoding import Decoding, EncodingRun
from .entries import FileRow, FileStamp
from .journal import Journal
from .types import IngestOptions, Phase, Progress, Tally
from .writer import Writer

COMMIT_SHARE = 0.01
"""A long run commits after this share of its time: every commit leaves a list of all pieces so far,
which grows by 150 bytes each, so ten hours of a commit every five seconds would leave 4 GB."""


class LocalRun:
    """Brings the items of changed files into a collection, committing now and then."""

    def __init__(
        self,
        collection: Collection,
        encoder: Encoder | Callable[[], Encoder],
        writer: Writer,
        tally: Tally,
        options: IngestOptions,
    ) -> None:
        self._collection = collection
        self._source = encoder
        self._writer = writer
        self._tally = tally
        self._options = options

    def read(
        self,
        changed: Mapping[bytes, FileStamp],
        known: Mapping[bytes, FileRow],
        tell: Callable[[Progress], None],
    ) -> None:
        """Read files, encode what is new, and commit.

        Args:
            changed: The files to read.
            known: What the catalogue had on them before.
            tell: Called after every file.
        """
        total, bytes_total = len(changed), sum(stamp.size for stamp in changed.values())
        tally, writer, options = self._tally, self._writer, self._options
        run = EncodingRun(self._collection.spec, self._load, writer, tally, options)
        journal = Journal(self._collection.directory)
        settled, started = -1, time.monotonic()
        with closing(run.steps(changed, known, Decoding(journal))) as steps:
            for _ in steps:
                if settled != tally.settled:
                    settled = tally.settled
                    done, items = tally.bytes, writer.items
                    tell(Progress(Phase.READ, settled, total, done, bytes_total, items))
                rows, seconds = writer.waiting()
                most = max(options.commit_seconds, COMMIT_SHARE * (time.monotonic() - started))
                if rows >= options.commit_rows or seconds >= most:
                    writer.commit()

    def _load(self) -> Encoder:
        source = self._source
        encoder = source if isinstance(source, Encoder) else source()
        self._collection.check_encoder(encoder.spec)
        return encoder
