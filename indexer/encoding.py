"""Encoding what the readers bring, in batches of one modality, and settling file after file."""

import threading
from collections import defaultdict
from collections.abc import Callable, Container, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from omni_encoder import Encoder, EncoderError, EncoderSpec, Modality
from omni_encoder.media_remote import RemoteDecoder

from .batches import Batches
from .entries import ContentKey, ContentRow, FileRow, FileStamp
from .exchange import Changed, Contents, Exchange, Failed, Job, Known, Piece, weight
from .journal import Journal
from .reading import Reader
from .rows import ItemRow
from .types import IngestOptions, Problem, Tally

ATTEMPTS = 2
"""How often a file is read that changes while it is read."""

ENDING_SECONDS = 0.05
"""How often processes that decode are ended until all threads that read have seen it."""

ISOLATE_FILES = 100
ISOLATE_BYTES = 256 * 2**20
"""From so many files or bytes on, starting processes to decode them is worth it."""


class Sink(Protocol):
    """Where the items go: a collection's `Writer`, or the `Shelf` of a shard."""

    def contents(self) -> Container[ContentKey]:
        """The contents that are there, whole; other threads may ask, one at a time."""
        ...

    def add(self, rows: Sequence[ItemRow]) -> None:
        """Add parts of contents, each content's in order."""
        ...

    def enter(self, file: FileRow, content: ContentRow | None = None) -> None:
        """Enter a file, with its content if all parts of that have just been added."""
        ...

    def set_caption(self, key: ContentKey, caption: str | None) -> None:
        """Give another caption to a content that is there."""
        ...

    def discard(self, key: ContentKey) -> None:
        """Take back the parts of a content that couldn't be read to its end."""
        ...


@dataclass(frozen=True, slots=True)
class Decoding:
    """Where files are decoded, beside what the options say.

    Attributes:
        journal: Where to write down what is decoded in this process; None if the process may be
            lost without harm.
        remotes: Processes to decode in, one for each thread, which outlive the run; without any,
            each thread starts its own if the files are to be isolated.
    """

    journal: Journal | None = None
    remotes: Sequence[RemoteDecoder] = field(default_factory=list[RemoteDecoder])


class EncodingRun:
    """Reads changed files and brings their items into a sink."""

    def __init__(
        self,
        spec: EncoderSpec,
        load: Callable[[], Encoder],
        sink: Sink,
        tally: Tally,
        options: IngestOptions,
    ) -> None:
        """Set up a run.

        Args:
            spec: The encoder that the items are for.
            load: Loads it, if something must be encoded.
            sink: Where the items go.
            tally: What is counted.
            options: How to do it.
        """
        self._spec = spec
        self._load = load
        self._encoder: Encoder | None = None
        self._sink = sink
        self._tally = tally
        self._options = options
        self._batches = Batches(options.batch_items)
        self._exchange = Exchange(options.in_flight_bytes)
        self._contents = Contents(sink.contents())
        self._pending: dict[Modality, list[Piece]] = defaultdict(list)
        self._open: dict[bytes, ContentKey] = {}  # what is being read for which path
        self._held: dict[str, list[Job]] = defaultdict(list)

    def steps(
        self,
        changed: Mapping[bytes, FileStamp],
        known: Mapping[bytes, FileRow],
        decoding: Decoding,
    ) -> Generator[None, None, None]:
        """Read files and encode what is new, step by step; after each the sink may be emptied.

        Args:
            changed: The files to read.
            known: What the catalogue had on them before.
            decoding: Where files are decoded.
        """
        total, bytes_total = len(changed), sum(stamp.size for stamp in changed.values())
        for path, stamp in changed.items():
            self._exchange.submit(Job(path, stamp))
        options = self._isolated(total, bytes_total, decoding.journal)
        readers = [
            Reader(self._exchange, self._contents, self._spec, remote)
            for remote in self._remotes(total, options, decoding)
        ]
        threads = [
            threading.Thread(
                target=reader.run,
                args=(decoding.journal, number),
                kwargs={"options": options},
                name=f"reader-{number}",
                daemon=True,
            )
            for number, reader in enumerate(readers)
        ]
        for thread in threads:
            thread.start()
        try:
            while self._step(known):
                yield
        except BaseException:
            # Whatever a decoder is doing, nobody waits for it any more. One that is just being
            # started can be ended only then.
            self._exchange.stop()
            while left := [thread for thread in threads if thread.is_alive()]:
                for reader in readers:
                    reader.kill()
                left[0].join(ENDING_SECONDS)
            raise
        finally:
            self._exchange.stop()
            for thread in threads:
                thread.join()

    def _remotes(
        self, files: int, options: IngestOptions, decoding: Decoding
    ) -> Sequence[RemoteDecoder | None]:
        """The process that each reading thread decodes in, or None where it starts its own."""
        count = min(options.decode_threads, files)
        return decoding.remotes[:count] or [None] * count

    def _isolated(self, files: int, size: int, journal: Journal | None) -> IngestOptions:
        """The options, with it decided whether to decode in other processes."""
        suspects = journal.suspects() if journal else []
        isolate = self._options.isolate
        if isolate is None:
            isolate = bool(suspects) or files >= ISOLATE_FILES or size >= ISOLATE_BYTES
        return replace(self._options, isolate=isolate)

    def _step(self, known: Mapping[bytes, FileRow]) -> bool:
        """Deal with the next event; False when there is nothing left to do."""
        event = self._exchange.get()
        if event is None:
            # Nothing comes before room is made, or nothing comes at all.
            sizes = {m: sum(map(weight, pieces)) for m, pieces in self._pending.items() if pieces}
            if sizes:
                self._encode(max(sizes, key=lambda modality: sizes[modality]))
            return bool(sizes)
        if isinstance(event, Piece):
            self._open[event.job.path] = event.key
            pieces = self._pending[event.key.modality]
            pieces.append(event)
            if len(pieces) >= self._batches.size(event.key.modality):
                self._encode(event.key.modality)
            return True
        self._exchange.release(event)
        if isinstance(event, Known):
            self._reuse(event, known.get(event.job.path))
        elif isinstance(event, Failed):
            self._fail(event.job, event.content, event.reason, event.message)
        elif isinstance(event, Changed):
            self._void(event.job)
            if event.job.attempt + 1 < ATTEMPTS:
                self._contents.release(event.content, event.job.path)
                self._exchange.submit(event.job.again())
                self._wake(event.content)
            else:
                message = "it is being written to: it changed each time while it was read"
                self._fail(event.job, event.content, "changing", message)
        elif self._contents.is_claimed(event.content):
            self._held[event.content].append(event.job)
        else:  # it has been settled since
            self._exchange.submit(event.job)
        return True

    def _encode(self, modality: Modality) -> None:
        pieces = self._pending.pop(modality)
        items = [piece.item for piece in pieces]
        vectors = self._batches.encode(self._load_encoder(), items)
        if vectors.shape != (len(items), self._spec.dim):
            raise EncoderError(f"the encoder returned {vectors.shape} for {len(items)} items")
        if not np.isfinite(vectors).all():
            raise EncoderError("the encoder returned numbers that are not finite")
        rows = [
            ItemRow(
                key=piece.key,
                part=piece.item.part,
                last=piece.last,
                span=piece.item.span,
                text=piece.item.content if isinstance(piece.item.content, str) else None,
                info=piece.info,
                vector=vector,
            )
            for piece, vector in zip(pieces, vectors, strict=True)
        ]
        self._sink.add(rows)
        for piece in pieces:
            self._exchange.release(piece)
            if piece.last:
                job, key = piece.job, piece.key
                content = ContentRow(key, piece.item.part + 1, partial=piece.info.partial)
                self._sink.enter(FileRow(job.path, job.stamp, key), content)
                self._tally.encoded += 1
                self._settle(job, key.content, complete=key)

    def _load_encoder(self) -> Encoder:
        if self._encoder is None:
            self._encoder = self._load()
        return self._encoder

    def _reuse(self, event: Known, before: FileRow | None) -> None:
        job, key = event.job, event.key
        self._sink.enter(FileRow(job.path, job.stamp, key))
        if before and before.key == key:
            self._tally.unchanged += 1
        else:
            self._tally.reused += 1
        old, new = (before.stamp if before else FileStamp(0, 0, 0)), job.stamp
        if old.sidecar != new.sidecar:
            self._sink.set_caption(key, event.caption)
        self._settle(job, key.content)

    def _fail(self, job: Job, content: str, reason: str, message: str) -> None:
        self._void(job)
        self._sink.enter(FileRow(job.path, job.stamp, None, reason, message))
        self._tally.problems.append(Problem(Path(job.name), reason, message))
        self._settle(job, content)

    def _void(self, job: Job) -> None:
        """Take back the pieces of a file that couldn't be read to its end."""
        key = self._open.pop(job.path, None)
        if key is None:
            return
        pieces = self._pending[key.modality]
        for piece in [piece for piece in pieces if piece.job.path == job.path]:
            pieces.remove(piece)
            self._exchange.release(piece)
        self._sink.discard(key)

    def _settle(self, job: Job, content: str, complete: ContentKey | None = None) -> None:
        """A file is dealt with; files of the same content that waited for it can go on."""
        self._open.pop(job.path, None)
        self._tally.settled += 1
        self._tally.bytes += job.stamp.size
        self._contents.release(content, job.path, complete)
        self._wake(content)

    def _wake(self, content: str) -> None:
        for job in self._held.pop(content, []):
            self._exchange.submit(job)
