"""Giving items their codes, and reading them: what re-ranking by codes needs (docs/adr/0055).

Codes are made in a pass of its own after an ingest, from the files of the items that lack them. So
vectors and codes don't wait for each other, a collection may be given codes at any time, and
whatever a kill leaves, the next pass completes.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from omni_encoder import CollectionError, EncoderMismatchError, MediaItem, Modality
from omni_encoder.item_codes import CODED, Coder, ItemCodes
from omni_encoder.media import MediaInfo, open_media
from omni_encoder.media_remote import RemoteDecoder

from .collection import Collection
from .encoding import ISOLATE_FILES
from .entries import ContentKey, Location
from .local_engine import COMMIT_SHARE
from .manifest import CODES_PREFIX, CodesSetting, digest_of, has_table, tables_named
from .types import IngestOptions, Record
from .writer import Writer

if TYPE_CHECKING:
    from .code_table import CodedPart

COMMIT_SECONDS = 15.0
"""Codes take longer than vectors, so there is less to lose; each commit is a file more, and in a
long pass they come after `COMMIT_SHARE` of its time, as in an ingest."""

Lacking = Mapping[ContentKey, set[int]]


@dataclass(frozen=True, slots=True)
class CodesReport:
    """What was done about codes, counted in items.

    Attributes:
        added: They have codes now.
        lacking: They have none: no file of theirs could be read as it was when it was indexed.
        dropped: Contents whose codes were dropped, for their items are gone.
        seconds: Wall time.
    """

    added: int = 0
    lacking: int = 0
    dropped: int = 0
    seconds: float = field(default=0.0, compare=False)


def codes_due(collection: Collection) -> bool:
    """Whether codes are kept, and items have come or gone since all had theirs; opens no table."""
    setting, version = collection.codes, collection.version
    if setting is None or version is None:
        return False
    return digest_of(collection.directory, collection.spec, version) != setting.complete


def codes_outdated(collection: Collection, model: str) -> bool:
    """Whether codes are known to be of another model than that of a digest; opens no table."""
    setting = collection.codes
    return setting is not None and bool(setting.model and model) and setting.model != model


def codes_left(collection: Collection) -> bool:
    """Whether there are tables of codes though none are kept: what a kill left of `drop_codes`."""
    return collection.codes is None and bool(tables_named(collection.directory, CODES_PREFIX))


def check_coder(collection: Collection, coder: Coder) -> None:
    """Make sure that codes belong to the encoder of a collection.

    Raises:
        EncoderMismatchError: They don't.
    """
    if coder.encoder_fingerprint != collection.spec.fingerprint:
        raise EncoderMismatchError(
            f"codes are made by the shipped model, and this collection by {collection.spec.name}",
            hint="index into another collection, or leave --codes out",
        )


def keep_codes(
    collection: Collection,
    load: Callable[[], Coder],
    *,
    options: IngestOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
    model: str = "",
) -> CodesReport:
    """Let a collection keep codes, and give them to all items that lack them.

    Whatever stops it, what was committed is kept, and the next run goes on from there.

    Args:
        collection: The collection.
        load: Loads what makes them.
        options: How to read files; how many are encoded at once, and after how many to commit.
        progress: Called with how many contents are done, and of how many.
        model: Digest of the files of what makes them.

    Raises:
        EncoderMismatchError: The collection was made by another encoder than that of the codes.
        CollectionError: Another process is writing, or the collection is damaged.
    """
    started = time.monotonic()
    coder, options = load(), options or IngestOptions()
    check_coder(collection, coder)
    with collection.writing("codes") as writer:
        setting = writer.codes
        if setting is None or setting.fingerprint != coder.fingerprint:
            setting = CodesSetting(coder.fingerprint)
        setting = replace(setting, model=model)
        writer.set_codes(setting)
        if not has_table(collection.directory, collection.spec):
            return CodesReport()
        filling = _Filling(collection, coder, writer, options)
        try:
            report = filling.run(progress or _tell_nobody)
        finally:
            filling.commit()
        _set_complete(collection, writer, setting)
    return replace(report, seconds=time.monotonic() - started)


def complete_codes(
    collection: Collection,
    load: Callable[[], Coder],
    *,
    options: IngestOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
    model: str = "",
) -> CodesReport:
    """As `keep_codes` where codes are kept already; nothing is loaded if no item needs it.

    Codes of items that are gone are dropped either way.
    """
    started, options = time.monotonic(), options or IngestOptions()
    with collection.writing("codes") as writer:
        setting = writer.codes
        if setting is None or not has_table(collection.directory, collection.spec):
            return CodesReport()
        state = _State(collection, setting.fingerprint)
        lacking, orphans = state.compare(CODED)
        files = _Files(collection, writer, options)
        if not any(files.readable(key) for key in lacking):
            state.table.delete(orphans)
            _set_complete(collection, writer, setting)
            left = sum(map(len, lacking.values()))
            return CodesReport(0, left, len(orphans), time.monotonic() - started)
    return keep_codes(collection, load, options=options, progress=progress, model=model)


def _set_complete(collection: Collection, writer: Writer, setting: CodesSetting) -> None:
    version = collection.version
    assert version is not None  # nobody else writes
    digest = digest_of(collection.directory, collection.spec, version)
    writer.set_codes(replace(setting, complete=digest))


def drop_codes(collection: Collection) -> bool:
    """Drop all codes, and keep none from now on.

    Returns:
        Whether there was anything to drop.
    """
    from .code_table import CodeTable

    with collection.writing("codes") as writer:
        setting, left = writer.codes, codes_left(collection)
        if setting is None and not left:
            return False
        # First, so that after a kill nothing is kept; `codes_left` says what is left of the tables.
        writer.set_codes(None)
        CodeTable.drop_all(collection.directory)
    return True


def codes_of(collection: Collection, records: Sequence[Record]) -> dict[str, ItemCodes]:
    """What is kept of some items, by their ids; those without codes are left out.

    Raises:
        CollectionError: The collection keeps no codes, or they are damaged.
    """
    setting = collection.codes
    if setting is None:
        raise no_codes(collection)
    from .code_table import CodeTable

    keys = {ContentKey(record.content, record.modality) for record in records}
    table = CodeTable(collection.directory, setting.fingerprint)
    found = {(one.key, one.part): one.codes for one in table.find(sorted(keys))}
    named = {(ContentKey(one.content, one.modality), one.part): one.id for one in records}
    return {named[place]: codes for place, codes in found.items() if place in named}


def no_codes(collection: Collection) -> CollectionError:
    """What to say of a collection without codes that are asked for."""
    return CollectionError(
        f"the collection in {collection.place} keeps no codes, which s2 and s3 read",
        hint="store them with: omnidex index --codes; or re-rank by s1, which needs none",
    )


def other_codes() -> CollectionError:
    """What to say of codes that another model made than reads them."""
    return CollectionError(
        "this collection keeps codes of another model than the flow reads",
        hint="make them anew with: omnidex index --codes",
    )


class _State:
    """Which items have codes of one model."""

    def __init__(self, collection: Collection, fingerprint: str) -> None:
        from .code_table import CodeTable

        self._collection = collection
        self.table = CodeTable(collection.directory, fingerprint)

    def compare(self, kinds: Sequence[Modality]) -> tuple[Lacking, list[ContentKey]]:
        """The parts of some kinds that lack codes, and the contents with codes that are gone."""
        from .table import VectorTable

        complete, _ = VectorTable.open(
            self._collection.directory, self._collection.spec
        ).inventory()
        there = self.table.parts()
        items = {row.key: row.parts for row in complete}
        lacking: dict[ContentKey, set[int]] = {}
        for key, parts in items.items():
            left = set(range(parts)) - there.get(key, set())
            if left and key.modality in kinds:
                lacking[key] = left
        return lacking, [key for key in there if key not in items]


class _Files:
    """Reads contents from files that are as they were when they were indexed."""

    def __init__(self, collection: Collection, writer: Writer, options: IngestOptions) -> None:
        self._layout = collection.spec.layout
        self._catalogue = writer.catalogue
        self._options = options
        self._remote: RemoteDecoder | None = None

    def isolate(self, stack: ExitStack) -> None:
        """Decode in another process until the stack is left."""
        options = self._options
        self._remote = RemoteDecoder(
            file_seconds=options.file_seconds, file_bytes=options.file_bytes
        )
        stack.enter_context(closing(self._remote))

    def readable(self, key: ContentKey) -> bool:
        """Whether there is a file of a content."""
        return any(
            _is_as_known(Path(os.fsdecode(location.path)), location)
            for location in self._catalogue.locations(key)
        )

    def items(self, key: ContentKey, parts: set[int]) -> Iterator[MediaItem]:
        """The wanted parts of a content."""
        left = set(parts)
        for location in self._catalogue.locations(key):
            path = Path(os.fsdecode(location.path))
            # It was read before: a decoder's fault must not stop the others now.
            with suppress(Exception):
                if not left or not _is_as_known(path, location):
                    continue
                info, items = self._open(path)
                for item in items if info.modality is key.modality else ():
                    if not _is_as_known(path, location):
                        break
                    if item.part in left:
                        left.remove(item.part)
                        yield item

    def _open(self, path: Path) -> tuple[MediaInfo, Iterator[MediaItem]]:
        if self._remote is not None:
            try:
                return self._remote.open(path, self._layout)
            except ChildProcessError:  # too many processes, say: then it has to be done here
                self._remote = None
        return open_media(path, self._layout)


class _Filling:
    """One pass over the items that lack codes."""

    def __init__(
        self, collection: Collection, coder: Coder, writer: Writer, options: IngestOptions
    ) -> None:
        self._coder = coder
        self._options = options
        self._state = _State(collection, coder.fingerprint)
        self._files = _Files(collection, writer, options)
        self._waiting: list[tuple[ContentKey, MediaItem]] = []
        self._made: list[CodedPart] = []
        self._started = self._last_commit = time.monotonic()

    def run(self, progress: Callable[[int, int], None]) -> CodesReport:
        table = self._state.table
        table.drop_others()
        lacking, orphans = self._state.compare(self._coder.modalities)
        table.delete(orphans)
        wanted = sum(map(len, lacking.values()))
        added = 0
        with ExitStack() as stack:
            if self._options.isolate or len(lacking) >= ISOLATE_FILES:
                self._files.isolate(stack)
            for number, key in enumerate(sorted(lacking)):
                for item in self._files.items(key, lacking[key]):
                    self._waiting.append((key, item))
                    added += 1
                    if len(self._waiting) >= self._options.batch_items:
                        self._encode()
                progress(number + 1, len(lacking))
        self._encode()
        self.commit()
        table.compact()
        return CodesReport(added, wanted - added, len(orphans))

    def commit(self) -> None:
        made, self._made = self._made, []
        if made:
            self._state.table.append(made)
        self._last_commit = time.monotonic()

    def _encode(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        from .code_table import CodedPart

        made = self._coder.encode([item for _, item in waiting])
        self._made += [
            CodedPart(key, item.part, codes)
            for (key, item), codes in zip(waiting, made, strict=True)
        ]
        now = time.monotonic()
        most = max(COMMIT_SECONDS, COMMIT_SHARE * (now - self._started))
        late = now - self._last_commit >= most
        if late or len(self._made) >= self._options.commit_rows:
            self.commit()


def _is_as_known(path: Path, location: Location) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (location.size, location.mtime_ns)


def _tell_nobody(_done: int, _total: int) -> None:
    return
