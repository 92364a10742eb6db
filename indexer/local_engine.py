"""Reading and encoding changed files in this process."""

from collections.abc import Callable, Mapping
from contextlib import closing

from omni_encoder import Encoder

from .collection import Collection
from .encoding import Decoding, EncodingRun
from .entries import FileRow, FileStamp
from .journal import Journal
from .types import IngestOptions, Phase, Progress, Tally
from .writer import Writer


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
        settled = -1
        with closing(run.steps(changed, known, Decoding(journal))) as steps:
            for _ in steps:
                if settled != tally.settled:
                    settled = tally.settled
                    done, items = tally.bytes, writer.items
                    tell(Progress(Phase.READ, settled, total, done, bytes_total, items))
                rows, seconds = writer.waiting()
                if rows >= options.commit_rows or seconds >= options.commit_seconds:
                    writer.commit()

    def _load(self) -> Encoder:
        source = self._source
        encoder = source if isinstance(source, Encoder) else source()
        self._collection.check_encoder(encoder.spec)
        return encoder
