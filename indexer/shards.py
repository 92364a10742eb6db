"""Shards: parts of an ingest that other processes do, and what they bring back.

The same reading and encoding as in one process, only that the items go onto a shelf, which is
emptied into chunks. Nothing here knows what carries shards and chunks to and fro.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from omni_encoder import Encoder, EncoderSpec
from omni_encoder.media_remote import RemoteDecoder

from .encoding import Decoding, EncodingRun
from .entries import ContentKey, ContentRow, FileRow, FileStamp
from .rows import ItemRow
from .types import IngestOptions, Tally

SHARD_FILES = 256
SHARD_BYTES = 512 * 2**20
SMALLEST_SHARD = 16

SHARDS_PER_CPU = 4
"""So that the last shards don't keep all others waiting."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Some changed files.

    Attributes:
        files: The files to read.
        known: What the catalogue had on them before.
        deaths: How often its process has died.
    """

    files: Mapping[bytes, FileStamp]
    known: Mapping[bytes, FileRow]
    deaths: int = 0

    def without(self, paths: set[bytes]) -> "Shard":
        """The shard without some files."""
        left = {path: stamp for path, stamp in self.files.items() if path not in paths}
        return replace(self, files=left)

    def retried(self) -> list["Shard"]:
        """What to do after its process died: the same again, and after that each half.

        So a file that takes its process along is alone in the end. None is left then.
        """
        if self.deaths == 0:
            return [replace(self, deaths=1)]
        files = list(self.files.items())
        middle = len(files) // 2
        halves = [dict(files[:middle]), dict(files[middle:])] if middle else []
        # A file that is alone is tried twice: its process may have died of something else.
        return [replace(self, files=half, deaths=int(len(half) > 1)) for half in halves]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Some of what a shard has brought. Chunks are taken up in order.

    Attributes:
        discarded: Contents whose parts in earlier chunks are void.
        rows: Parts of contents, each content's in order.
        entries: Files that are dealt with, each with its content if its last part is in `rows`.
        captions: Other captions for contents that are there.
    """

    discarded: tuple[ContentKey, ...]
    rows: tuple[ItemRow, ...]
    entries: tuple[tuple[FileRow, ContentRow | None], ...]
    captions: Mapping[ContentKey, str | None]


class Shelf:
    """Where the items of a shard wait to be taken away as a chunk."""

    def __init__(self, contents: set[ContentKey]) -> None:
        self._contents = contents
        self._discarded: list[ContentKey] = []
        self._rows: list[ItemRow] = []
        self._entries: list[tuple[FileRow, ContentRow | None]] = []
        self._captions: dict[ContentKey, str | None] = {}
        self._taken: set[ContentKey] = set()  # contents of which a part was taken away

    def contents(self) -> set[ContentKey]:
        """The contents that the collection had when the ingest began."""
        return self._contents

    def add(self, rows: Sequence[ItemRow]) -> None:
        """Add parts of contents, each content's in order."""
        self._rows += rows

    def enter(self, file: FileRow, content: ContentRow | None = None) -> None:
        """Enter a file, with its content if all parts of that have just been added."""
        self._entries.append((file, content))

    def set_caption(self, key: ContentKey, caption: str | None) -> None:
        """Give another caption to a content that is there."""
        self._captions[key] = caption

    def discard(self, key: ContentKey) -> None:
        """Take back the parts of a content that couldn't be read to its end."""
        self._rows = [row for row in self._rows if row.key != key]
        if key in self._taken:
            self._taken.discard(key)
            self._discarded.append(key)

    def __len__(self) -> int:
        return len(self._rows)

    def take(self) -> Chunk:
        """Take everything away."""
        chunk = Chunk(
            tuple(self._discarded), tuple(self._rows), tuple(self._entries), self._captions
        )
        self._taken |= {row.key for row in self._rows}
        self._discarded, self._rows, self._entries, self._captions = [], [], [], {}
        return chunk


def plan_shards(
    changed: Mapping[bytes, FileStamp], known: Mapping[bytes, FileRow], *, cpus: int
) -> list[Shard]:
    """Spread files over shards. Files of one size go together: copies are encoded once then."""
    sizes: dict[int, list[bytes]] = defaultdict(list)
    for path, stamp in changed.items():
        sizes[stamp.size].append(path)
    even = -(-len(changed) // (cpus * SHARDS_PER_CPU))
    most = min(SHARD_FILES, max(SMALLEST_SHARD, even))
    shards: list[Shard] = []
    paths: list[bytes] = []
    size = 0

    def close() -> None:
        if paths:
            files = {path: changed[path] for path in paths}
            shards.append(Shard(files, {path: known[path] for path in paths if path in known}))

    for path in (path for together in sizes.values() for path in together):
        if len(paths) >= most or (paths and size + changed[path].size > SHARD_BYTES):
            close()
            paths, size = [], 0
        paths.append(path)
        size += changed[path].size
    close()
    return shards


def encode_shard(
    shard: Shard,
    spec: EncoderSpec,
    load: Callable[[], Encoder],
    contents: set[ContentKey],
    *,
    remotes: Sequence[RemoteDecoder],
    options: IngestOptions,
) -> Generator[Chunk, None, None]:
    """Read and encode the files of a shard.

    Args:
        shard: The files.
        spec: The encoder that they are for.
        load: Loads it, if something must be encoded.
        contents: What the collection had when the ingest began.
        remotes: Processes to decode in, one for each of `options.decode_threads`.
        options: How to do it.
    """
    shelf = Shelf(contents)
    run = EncodingRun(spec, load, shelf, Tally(), options)
    with closing(run.steps(shard.files, shard.known, Decoding(remotes=remotes))) as steps:
        for _ in steps:
            if len(shelf) >= options.commit_rows:
                yield shelf.take()
    yield shelf.take()
