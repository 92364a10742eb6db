"""Bringing what shards have encoded into the collection, each content once."""

import os
from collections.abc import Sequence
from pathlib import Path

from omni_encoder import OmniError

from .entries import UNSETTLED, ContentKey, ContentRow, FileRow
from .shards import Chunk, Shard
from .types import Problem, Tally
from .writer import Writer

_NOT_SEEN = ("missing", "unreadable")


class EngineError(OmniError):
    """The machines or processes that an ingest was spread over can't do it."""


class ShardWriter:
    """Takes up the chunks of shards, one shard after the other."""

    def __init__(self, writer: Writer, tally: Tally) -> None:
        self._writer = writer
        self._tally = tally
        self._there = writer.catalogue.contents()  # when the present shard began
        self._new: set[ContentKey] = set()  # what it has brought since
        self._open: set[ContentKey] = set()  # of which it has brought a part, but not the last
        self._shard = Shard({}, {})
        self._done: set[bytes] = set()

    def begin(self, shard: Shard) -> None:
        """The chunks that follow are of this shard."""
        self._shard = shard
        self._there |= self._new
        self._new, self._open, self._done = set(), set(), set()

    def take_up(self, chunk: Chunk) -> None:
        """Enter what a chunk holds, and commit it.

        Raises:
            EngineError: The process that did the shard doesn't see files that are here.
        """
        _check_seen([file for file, _ in chunk.entries])
        for key in self._open.intersection(chunk.discarded):
            self._writer.discard(key)
            self._open.discard(key)
        # Another shard may have brought a content while this one encoded it too.
        rows = [row for row in chunk.rows if row.key not in self._there]
        self._writer.add(rows)
        self._open |= {row.key for row in rows}
        captions = {row.key: row.info.caption for row in chunk.rows}
        for file, content in chunk.entries:
            if content is None or content.key not in self._there:
                self._enter(file, content)
                continue
            self._enter(file, None)
            if file.stamp.sidecar != self._sidecar_before(file):
                self._writer.set_caption(content.key, captions[content.key])
        for key, caption in chunk.captions.items():
            self._writer.set_caption(key, caption)
        self._writer.commit()

    def give_up(self) -> Shard:
        """Void what is incomplete, as no more chunks come; returns what is left to do."""
        for key in self._open:
            self._writer.discard(key)
        return self._shard.without(self._done)

    def fail(self, shard: Shard, reason: str, message: str) -> None:
        """Enter all files of a shard as failed."""
        for path, stamp in shard.files.items():
            self._enter(FileRow(path, stamp, None, reason, message), None)
        self._writer.commit()

    def _enter(self, file: FileRow, content: ContentRow | None) -> None:
        self._writer.enter(self._as_seen_here(file), content)
        tally = self._tally
        tally.settled += 1
        tally.bytes += file.stamp.size
        self._done.add(file.path)
        before = self._shard.known.get(file.path)
        if content is not None:
            tally.encoded += 1
            self._new.add(content.key)
            self._open.discard(content.key)
        elif file.key is None:
            path = Path(os.fsdecode(file.path))
            tally.problems.append(Problem(path, file.reason or "", file.message or ""))
        elif before is not None and before.key == file.key:
            tally.unchanged += 1
        else:
            tally.reused += 1

    def _as_seen_here(self, file: FileRow) -> FileRow:
        """The file with this machine's stamp, as others may see other inodes of one drive."""
        here, there = self._shard.files[file.path], file.stamp
        same = (here.size, here.mtime_ns, here.sidecar) == (
            there.size,
            there.mtime_ns,
            there.sidecar,
        )
        if same and there.inode != UNSETTLED:
            return file._replace(stamp=here)
        return file._replace(stamp=there._replace(inode=UNSETTLED))

    def _sidecar_before(self, file: FileRow) -> tuple[int, int]:
        before = self._shard.known.get(file.path)
        return before.stamp.sidecar if before else (-1, -1)


def _check_seen(files: Sequence[FileRow]) -> None:
    """A machine that doesn't have the drive would report all its files as missing."""
    if not files or any(file.reason not in _NOT_SEEN for file in files):
        return
    for file in files:
        path = Path(os.fsdecode(file.path))
        if os.access(path, os.R_OK):
            raise EngineError(
                f"a machine of the cluster can't read {path}, which can be read here",
                hint="mount the folder at the same place on all machines; "
                "what was finished is kept, and the same command goes on from there",
            )
