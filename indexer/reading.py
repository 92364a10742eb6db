"""Reading files in threads: hash, decode, and hand the pieces to the thread that encodes.

Files are hashed first, so that known content is never decoded again. Decoding happens in the thread
itself, or in a child process that it owns: then a file may crash or hang its decoder.
"""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from blake3 import blake3

from omni_encoder import EncoderSpec, MediaError, MediaItem, Modality
from omni_encoder.media import MediaInfo, caption_of, guess_modality, open_media
from omni_encoder.media_remote import RemoteDecoder

from .entries import UNSETTLED, ContentKey, FileStamp
from .exchange import (
    Changed,
    Contents,
    Event,
    Exchange,
    Failed,
    Held,
    Job,
    Known,
    Piece,
    Stopped,
)
from .journal import Journal, Slot
from .scan import stamp_of
from .types import IngestOptions

HASH_BYTES = 16
CHUNK_BYTES = 2**20

SETTLING_NS = 2_000_000_000
"""A file changed less than this before it is read may change again and keep its time stamp."""


@dataclass(frozen=True, slots=True)
class _New:
    """A file whose content is new, and its stamp on the disk before it was hashed."""

    job: Job
    path: Path
    key: ContentKey
    stamp: FileStamp


class Reader:
    """Turns jobs into events, on a thread of its own."""

    def __init__(
        self,
        exchange: Exchange,
        contents: Contents,
        spec: EncoderSpec,
        remote: RemoteDecoder | None = None,
    ) -> None:
        """Set up a reader.

        Args:
            exchange: Where jobs come from and events go.
            contents: What is known, and what is being read.
            spec: The encoder that files are decoded for.
            remote: Where to decode; the caller closes it.
        """
        self._exchange = exchange
        self._contents = contents
        self._spec = spec
        self._remote = remote
        self._slot: Slot | None = None
        self._ahead: _New | Event | None = None

    def run(self, journal: Journal | None, number: int, *, options: IngestOptions) -> None:
        """Read files until the exchange stops.

        Args:
            journal: Where to write down what is being decoded in this process.
            number: Of this reader among all.
            options: `isolate` says whether to decode in a child process.
        """
        with ExitStack() as stack:
            if self._remote is not None:
                pass
            elif options.isolate:
                self._remote = RemoteDecoder(
                    file_seconds=options.file_seconds, file_bytes=options.file_bytes
                )
                stack.enter_context(closing(self._remote))
            elif journal is not None:
                self._slot = stack.enter_context(journal.slot(number))
            stack.enter_context(suppress(Stopped))
            while True:
                looked, self._ahead = self._ahead or self._look(self._exchange.take()), None
                with closing(self._events(looked)) as events:
                    for event in events:
                        self._exchange.put(event)
                if self._slot is not None:
                    self._slot.enter(b"")
                self._exchange.finish()

    def kill(self) -> None:
        """End the child process, if there is one, whatever it is doing; from any thread."""
        if self._remote is not None:
            self._remote.kill()

    def read(self, job: Job) -> Generator[Event, None, None]:
        """Read one file. The last event is one that settles the job."""
        return self._events(self._look(job))

    def _look(self, job: Job) -> "_New | Event":
        """Hash a file: its content is new, and claimed by now, or else the job is settled."""
        content = ""
        try:
            path = Path(job.name)
            guess = guess_modality(path) or Modality.TEXT
            stamp = stamp_of(path, guess)
            job = replace(job, stamp=_settled(stamp, time.time_ns()))
            content = hash_file(path, self._exchange.check)
            key = ContentKey(content, guess)
            claimed = self._contents.claim(key, job.path)
            if claimed:
                return _New(job, path, key, stamp)
            if stamp_of(path, guess) != stamp:
                return Changed(job, content)
            return Known(job, key, caption_of(path)) if claimed is None else Held(job, content)
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - one file's fault must not stop the others
            return _failed(job, content, error)

    def _events(self, looked: "_New | Event") -> Generator[Event, None, None]:
        if not isinstance(looked, _New):
            yield looked
            return
        try:
            yield from self._decode(looked)
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - a decoder's fault must not stop the others
            yield _failed(looked.job, looked.key.content, error)

    def _decode(self, new: "_New") -> Iterator[Event]:
        job, key = new.job, new.key
        self._look_ahead()
        info, items = self._open(job, new.path)
        actual = ContentKey(key.content, info.modality)
        if self._contents.has(actual):  # an animated GIF, say, which its name says is an image
            yield Known(job, actual, info.caption)
            return
        if info.modality not in self._spec.modalities:
            message = f"the encoder {self._spec.name} can't encode {info.modality}"
            yield Failed(job, key.content, "unsupported", message)
            return
        before: MediaItem | None = None
        for item in items:
            if before:
                yield Piece(job, actual, info, before, last=False)
            before = item
        # Only now: the last piece says that the file was read whole, and stayed as it was.
        if stamp_of(new.path, key.modality) != new.stamp:
            yield Changed(job, key.content)
        elif before is None:
            yield Failed(job, key.content, "empty", "there is nothing in it to index")
        else:
            yield Piece(job, actual, info, before, last=True)

    def _look_ahead(self) -> None:
        """Take the next job already, so that a child process never waits for its file."""
        if self._remote is None or (job := self._exchange.take_now()) is None:
            return
        self._ahead = self._look(job)
        if isinstance(self._ahead, _New):
            with suppress(OSError):  # what is gone again is found to be in its turn
                self._remote.follow(self._ahead.path, self._spec.layout)

    def _open(self, job: Job, path: Path) -> tuple[MediaInfo, Iterator[MediaItem]]:
        if self._remote is not None:
            try:
                return self._remote.open(path, self._spec.layout)
            except ChildProcessError:  # too many processes, say: then it has to be done here
                self._remote = None
        if self._slot is not None:
            self._slot.enter(job.path)
        return open_media(path, self._spec.layout)


def _failed(job: Job, content: str, error: Exception) -> Failed:
    if isinstance(error, MediaError):
        return Failed(job, content, str(error.reason), error.message)
    if isinstance(error, FileNotFoundError):
        return Failed(job, content, "missing", "it went away while it was being indexed")
    if isinstance(error, OSError):
        return Failed(job, content, "unreadable", f"it can't be read: {error.strerror or error}")
    message = f"its decoder failed: {type(error).__name__}: {error}"
    return Failed(job, content, "decoder", message)


def hash_file(path: Path, check: Callable[[], None] | None = None) -> str:
    """The digest of a file's bytes that names its content: 32 hexadecimal digits.

    Args:
        path: The file.
        check: Called after every chunk; what it raises ends the reading.
    """
    hasher = blake3()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            hasher.update(chunk)
            if check is not None:
                check()
    return hasher.hexdigest(length=HASH_BYTES)


def _settled(stamp: FileStamp, now_ns: int) -> FileStamp:
    youngest = max(stamp.mtime_ns, stamp.sidecar_mtime_ns)
    return stamp._replace(inode=UNSETTLED) if abs(now_ns - youngest) < SETTLING_NS else stamp
