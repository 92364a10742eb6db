"""A run that is broken off ends at once, whatever its readers are waiting for."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from indexer.encoding import Decoding, EncodingRun
from indexer.entries import ContentKey, ContentRow, FileRow
from indexer.rows import ItemRow
from indexer.scan import stamp_of
from indexer.types import IngestOptions, Tally
from omni_encoder import MediaError, MediaItem, MediaLayout, Modality
from omni_encoder.media import MediaInfo
from omni_encoder.media_remote import RemoteDecoder
from tests.toy import ToyEncoder


class Nowhere:
    """Takes everything and keeps nothing."""

    def contents(self) -> set[ContentKey]:
        return set()

    def add(self, rows: Sequence[ItemRow]) -> None:
        pass

    def enter(self, file: FileRow, content: ContentRow | None = None) -> None:
        pass

    def set_caption(self, key: ContentKey, caption: str | None) -> None:
        pass

    def discard(self, key: ContentKey) -> None:
        pass


class Starting(RemoteDecoder):
    """Reads the first file; for the second it starts a process, whose decoder hangs."""

    def __init__(self) -> None:
        super().__init__(file_seconds=30, file_bytes=2**31)
        self.starts, self.runs, self.killed = (threading.Event() for _ in range(3))
        self.files = 0

    def open(
        self,
        path: Path,
        layout: MediaLayout,  # noqa: ARG002 - the decoder's
    ) -> tuple[MediaInfo, Iterator[MediaItem]]:
        self.files += 1
        if self.files == 1:
            item = MediaItem(Modality.TEXT, path.read_text())
            return MediaInfo(Modality.TEXT, "text/plain"), iter([item])
        self.starts.set()
        time.sleep(0.3)
        self.runs.set()
        assert self.killed.wait(10)
        raise MediaError("it was ended")

    def kill(self) -> None:
        if self.runs.is_set():  # before, there is nothing that could be ended
            self.killed.set()


def test_a_process_that_is_just_being_started_keeps_nobody_waiting(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.txt").write_text(f"note {number}")
    paths = sorted(tmp_path.iterdir())
    changed = {os.fsencode(path): stamp_of(path, Modality.TEXT) for path in paths}
    remote, encoder = Starting(), ToyEncoder()
    run = EncodingRun(encoder.spec, lambda: encoder, Nowhere(), Tally(), IngestOptions())
    steps = run.steps(changed, {}, Decoding(remotes=[remote]))
    next(steps)
    assert remote.starts.wait(10)

    begun = time.monotonic()
    steps.close()
    assert time.monotonic() - begun < 5
    assert remote.killed.is_set()
