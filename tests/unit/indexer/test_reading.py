import os
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from indexer.entries import ContentKey, FileStamp
from indexer.exchange import (
    EVENT_BYTES,
    Contents,
    Exchange,
    Failed,
    Held,
    Job,
    Known,
    Piece,
    Stopped,
)
from indexer.reading import Reader, hash_file
from indexer.scan import stamp_of
from indexer.types import IngestOptions
from omni_encoder import MediaItem, MediaLayout, Modality
from omni_encoder.media import MediaInfo
from omni_encoder.media_remote import RemoteDecoder
from tests.toy import ToyEncoder
from tests.unit.indexer.folders import write_image, write_text

KEY = ContentKey("ab" * 16, Modality.AUDIO)
JOB = Job(b"/x.wav", FileStamp(1, 2, 3))


def piece(size: int) -> Piece:
    item = MediaItem(Modality.AUDIO, np.zeros(size // 4, np.float32))
    return Piece(JOB, KEY, MediaInfo(Modality.AUDIO, "audio/wav"), item, last=True)


def in_thread(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


def test_a_reader_waits_for_room_and_the_encoder_is_told_to_make_some() -> None:
    exchange = Exchange(limit_bytes=10_000)
    exchange.submit(JOB)
    first, second = piece(8000), piece(4000)
    exchange.put(first)
    thread = in_thread(lambda: exchange.put(second))
    assert exchange.get() is first
    assert exchange.get() is None  # the reader is stuck: only releasing helps
    assert thread.is_alive()
    exchange.release(first)
    assert exchange.get() is second
    thread.join(10)
    assert not thread.is_alive()


def test_an_event_larger_than_the_limit_goes_alone() -> None:
    exchange = Exchange(limit_bytes=EVENT_BYTES)
    large = piece(100_000)
    exchange.put(large)
    assert exchange.get() is large


def test_nothing_comes_when_all_jobs_are_read() -> None:
    exchange = Exchange(limit_bytes=10_000)
    assert exchange.get() is None
    exchange.submit(JOB)
    assert exchange.take() == JOB
    thread = in_thread(exchange.finish)
    assert exchange.get() is None
    thread.join(10)


def test_stopping_sends_everybody_home() -> None:
    exchange = Exchange(limit_bytes=EVENT_BYTES)
    exchange.put(piece(1000))
    stopped: list[bool] = []

    def wait(call: Callable[[], object]) -> None:
        with pytest.raises(Stopped):
            call()
        stopped.append(True)

    threads = [
        in_thread(lambda: wait(exchange.take)),
        in_thread(lambda: wait(lambda: exchange.put(piece(1000)))),
    ]
    exchange.stop()
    for thread in threads:
        thread.join(10)
    assert len(stopped) == 2


def test_a_content_is_read_for_one_path_at_a_time() -> None:
    contents = Contents(set())
    assert contents.claim(KEY, b"/a") is True
    assert contents.claim(KEY, b"/b") is False
    contents.release(KEY.content, b"/b")  # not its own: nothing happens
    assert contents.is_claimed(KEY.content)
    contents.release(KEY.content, b"/a", KEY)
    assert contents.claim(KEY, b"/b") is None
    assert contents.has(KEY)


def events_of(path: Path, contents: Contents) -> list[object]:
    reader = Reader(Exchange(10**6), contents, ToyEncoder().spec)
    return list(reader.read(Job(str(path).encode(), stamp_of(path, None))))


def test_the_last_piece_and_only_it_says_so(tmp_path: Path) -> None:
    events = events_of(write_text(tmp_path / "a.txt", 0, words=100), Contents(set()))
    assert [event.last for event in events if isinstance(event, Piece)] == [
        *[False] * (len(events) - 1),
        True,
    ]
    assert len(events) > 2


def test_known_and_claimed_contents_are_not_decoded(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", 0)
    key = ContentKey(hash_file(path), Modality.IMAGE)
    [event] = events_of(path, Contents({key}))
    assert isinstance(event, Known)
    contents = Contents(set())
    assert contents.claim(key, b"/elsewhere")
    [event] = events_of(path, contents)
    assert isinstance(event, Held)


def test_a_file_that_went_away_is_a_failure(tmp_path: Path) -> None:
    reader = Reader(Exchange(10**6), Contents(set()), ToyEncoder().spec)
    [event] = reader.read(Job(str(tmp_path / "gone.png").encode(), FileStamp(1, 2, 3)))
    assert isinstance(event, Failed)
    assert event.reason == "missing"


def test_a_decoder_that_breaks_is_a_failure_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("indexer.reading.open_media", broken)
    [event] = events_of(write_image(tmp_path / "a.png", 0), Contents(set()))
    assert isinstance(event, Failed)
    assert event.reason == "decoder"
    assert "RuntimeError: out of luck" in event.message


def test_the_digest_is_blake3_over_all_bytes(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    content = np.random.default_rng(0).bytes(3 * 2**20 + 17)
    path.write_bytes(content)
    assert hash_file(path) == blake3(content).digest(16).hex()


def test_whoever_stops_need_not_wait_until_a_large_file_is_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_text(tmp_path / "large.txt", 1, words=200)
    exchange, chunks = Exchange(limit_bytes=10_000), list[int]()

    def check() -> None:
        chunks.append(1)
        if len(chunks) == 3:
            exchange.stop()
        Exchange.check(exchange)

    monkeypatch.setattr("indexer.reading.CHUNK_BYTES", 100)
    monkeypatch.setattr(exchange, "check", check)
    reader = Reader(exchange, Contents(set()), ToyEncoder().spec)
    job = Job(os.fsencode(path), stamp_of(path, Modality.TEXT))

    with pytest.raises(Stopped):
        list(reader.read(job))
    assert len(chunks) == 3


def test_a_reader_with_a_child_takes_the_next_of_many_files_before_it_waits(
    tmp_path: Path,
) -> None:
    paths = [write_text(tmp_path / f"{number}.txt", number, words=3) for number in range(20)]
    paths[1].write_bytes(b"")
    paths[2].write_bytes(paths[0].read_bytes())  # the same content
    exchange, followed = Exchange(10**6), list[Path]()
    for path in paths:
        exchange.submit(Job(os.fsencode(path), stamp_of(path, Modality.TEXT)))

    class Child(RemoteDecoder):
        def follow(self, path: Path, layout: MediaLayout) -> None:
            followed.append(path)
            super().follow(path, layout)

    with closing(Child(file_seconds=30, file_bytes=2**31)) as child:
        reader = Reader(exchange, Contents(set()), ToyEncoder().spec, child)
        thread = in_thread(lambda: reader.run(None, 0, options=IngestOptions()))
        events = [event for _ in paths if (event := exchange.get())]
        exchange.stop()
        thread.join(10)

    assert [event.job.name for event in events] == list(map(str, paths))
    kinds = [type(event) for event in events]
    assert kinds == [Piece, Failed, Held] + [Piece] * 17
    assert followed == [paths[1]]  # the last 16 are left for other readers
