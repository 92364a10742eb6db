"""Ingest when something is wrong: with files, drives, encoders, or the collection itself."""

import errno
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from indexer import Collection, IngestOptions, ingest, maintenance
from indexer.catalogue import CATALOGUE_NAME
from indexer.maintenance import verify
from indexer.table import VectorTable
from omni_encoder import (
    CollectionError,
    EncoderError,
    EncoderMismatchError,
    MediaError,
    MediaItem,
    Modality,
)
from tests.toy import DIM, ToyEncoder
from tests.unit.indexer.folders import (
    items_of,
    names_in,
    settle,
    write_image,
    write_sound,
    write_text,
)

SMALL = IngestOptions(batch_items=4, commit_rows=8)


def test_bad_files_are_reported_and_stop_nothing(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    (media / "empty.png").touch()
    (media / "cut.png").write_bytes((media / "a" / "image000.png").read_bytes()[:60])
    (media / "words.wav").write_text("this is no sound")
    for path in media.glob("*.*"):
        settle(path)
    report = ingest([media], collection, encoder, options=SMALL)

    bad = {"empty.png", "cut.png", "words.wav"}
    assert (report.encoded, report.failed) == (18, 3)
    assert {problem.path.name for problem in report.problems} == bad
    assert {problem.path.name for problem in collection.problems()} == bad
    assert all(problem.reason and problem.message for problem in collection.problems())

    again = ingest([media], collection, encoder)
    assert (again.scanned, again.unchanged, again.failed, again.failed_before) == (21, 18, 0, 3)
    retried = ingest([media], collection, encoder, options=IngestOptions(retry_failed=True))
    assert (retried.unchanged, retried.failed, retried.failed_before) == (18, 3, 0)

    write_image(media / "cut.png", 99)
    (media / "empty.png").unlink()
    ingest([media], collection, encoder)
    assert {problem.path.name for problem in collection.problems()} == {"words.wav"}
    assert "cut.png" in names_in(collection)


def test_media_the_encoder_does_not_know_are_reported(media: Path, tmp_path: Path) -> None:
    class Blind(ToyEncoder):
        def __init__(self) -> None:
            super().__init__(name="blind")
            self.spec = type(self.spec)(
                "blind", "ab" * 16, DIM, (Modality.TEXT, Modality.AUDIO), self.spec.layout
            )

    blind = Blind()
    with Collection.create(tmp_path / "blind", blind.spec) as collection:
        report = ingest([media], collection, blind)
        assert (report.encoded, report.failed) == (12, 6)
        assert {problem.reason for problem in collection.problems()} == {"unsupported"}


def test_a_file_that_fails_half_way_leaves_nothing_behind(
    media: Path, collection: Collection, encoder: ToyEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from indexer import reading

    original = reading.open_media

    def breaks_after_ten(path: Path, layout):
        info, items = original(path, layout)
        if path.name != "long.txt":
            return info, items

        def cut() -> Iterator[MediaItem]:
            for item in items:
                if item.part == 10:
                    raise MediaError("broken in the middle", reason="truncated")
                yield item

        return info, cut()

    write_text(media / "long.txt", 50, words=2000)
    monkeypatch.setattr(reading, "open_media", breaks_after_ten)
    options = IngestOptions(batch_items=1, commit_rows=1, decode_threads=1)
    report = ingest([media], collection, encoder, options=options)

    assert report.failed == 1
    assert report.items == len(items_of(collection)) == sum(collection.counts().values())
    assert "long.txt" not in names_in(collection)


@pytest.mark.parametrize("writes", [1, 2])
def test_a_file_that_changes_while_it_is_read_is_read_once_more(
    media: Path,
    collection: Collection,
    encoder: ToyEncoder,
    monkeypatch: pytest.MonkeyPatch,
    writes: int,
) -> None:
    from indexer import reading

    original = reading.open_media
    target = write_text(media / "busy.txt", 60, words=400)
    written = 0

    def writes_meanwhile(path: Path, layout):
        nonlocal written
        info, items = original(path, layout)
        if path == target and written < writes:
            written += 1
            parts = list(items)
            write_text(target, 60 + written, words=500 + written)
            return info, iter(parts)
        return info, items

    monkeypatch.setattr(reading, "open_media", writes_meanwhile)
    report = ingest([media], collection, encoder, options=IngestOptions(batch_items=1))

    assert len(items_of(collection)) == report.items
    if writes == 1:
        assert report.encoded == 19
        assert "busy.txt" in names_in(collection)
    else:
        assert [problem.reason for problem in report.problems] == ["changing"]
        assert "busy.txt" not in names_in(collection)
        # It is left alone now, so the next run reads it.
        monkeypatch.undo()
        os.utime(target, (2, 2))
        ingest([media], collection, encoder)
        assert "busy.txt" in names_in(collection)


def test_nothing_is_forgotten_for_a_drive_that_is_not_there(
    media: Path, collection: Collection, encoder: ToyEncoder, tmp_path: Path
) -> None:
    ingest([media], collection, encoder)
    before = items_of(collection)
    media.rename(tmp_path / "elsewhere")

    with pytest.raises(MediaError, match="no file or folder"):
        ingest([media], collection, encoder)
    assert items_of(collection) == before

    media.mkdir()
    assert ingest([media], collection, encoder).removed == 0
    assert items_of(collection) == before

    report = ingest([media], collection, encoder, options=IngestOptions(prune=True))
    assert (report.removed, report.items_removed) == (18, len(before))
    assert items_of(collection) == {}
    assert collection.counts() == {}


def test_nothing_is_forgotten_for_a_drive_inside_a_root_that_is_not_mounted(
    media: Path, collection: Collection, encoder: ToyEncoder, tmp_path: Path
) -> None:
    (media / "b" / "deeper").mkdir()
    write_image(media / "b" / "deeper" / "one.png", 41)
    ingest([media], collection, encoder)
    before = items_of(collection)
    (media / "b").rename(tmp_path / "drive")
    (media / "b").mkdir()
    (media / "b" / ".hidden").touch()

    for _ in range(2):
        report = ingest([media], collection, encoder)
        assert (report.removed, report.items_removed, report.spared) == (0, 0, 10)
    assert items_of(collection) == before

    # A folder that is gone itself, or was not emptied, was really deleted.
    (media / "a" / "text000.txt").unlink()
    assert ingest([media], collection, encoder).removed == 1
    report = ingest([media], collection, encoder, options=IngestOptions(prune=True))
    assert (report.removed, report.spared) == (10, 0)
    (media / "a").rename(tmp_path / "away")
    report = ingest([media], collection, encoder)
    assert report.removed == 0  # no media are left in the root
    write_text(media / "new.txt", 70)
    assert ingest([media], collection, encoder).removed == 8
    assert names_in(collection) == {"new.txt"}


def test_a_folder_that_was_emptied_into_another_is_no_missing_drive(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    ingest([media], collection, encoder)
    for path in list((media / "b").iterdir()):
        path.rename(media / path.name)
    report = ingest([media], collection, encoder)
    assert (report.reused, report.removed, report.spared) == (9, 9, 0)


def test_an_interruption_keeps_what_is_finished(
    media: Path, collection: Collection, tmp_path: Path
) -> None:
    class Interrupted(ToyEncoder):
        def encode(self, items: Sequence[MediaItem]) -> np.ndarray:
            if self.encoded > 20:
                raise KeyboardInterrupt
            return super().encode(items)

    options = IngestOptions(batch_items=1, commit_rows=1000)
    with pytest.raises(KeyboardInterrupt):
        ingest([media], collection, Interrupted(), options=options)
    assert threading.active_count() == 1 or all(
        not thread.name.startswith("reader") for thread in threading.enumerate()
    )
    kept = items_of(collection)
    assert kept
    assert sum(collection.counts().values()) == len(kept)

    encoder = ToyEncoder()
    report = ingest([media], collection, encoder)
    assert encoder.encoded == report.items
    assert len(items_of(collection)) == len(kept) + report.items

    whole = ToyEncoder()
    with Collection.create(tmp_path / "whole", whole.spec) as other:
        ingest([media], other, whole)
        assert items_of(other) == items_of(collection)


@pytest.mark.parametrize("wrong", ["shape", "nan", "error"])
def test_a_faulty_encoder_stops_the_run_and_enters_nothing_wrong(
    media: Path, collection: Collection, wrong: str
) -> None:
    class Faulty(ToyEncoder):
        def encode(self, items: Sequence[MediaItem]) -> np.ndarray:
            if wrong == "error":
                raise EncoderError("out of order")
            vectors = super().encode(items)
            return vectors[:, :-1] if wrong == "shape" else vectors * np.nan

    with pytest.raises(EncoderError):
        ingest([media], collection, Faulty())
    assert items_of(collection) == {}


def test_another_encoder_is_refused_before_anything_changes(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    other = ToyEncoder(seed=1)
    with pytest.raises(EncoderMismatchError) as caught:
        ingest([media], collection, other)
    assert encoder.spec.fingerprint[:8] in caught.value.message
    assert caught.value.hint
    with pytest.raises(EncoderMismatchError):
        ingest([media], collection, lambda: other)
    assert ingest([media], collection, lambda: encoder).encoded == 18


def test_a_second_writer_is_refused_and_readers_are_not(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    ingest([media], collection, encoder)
    with collection.writing("index"), Collection.open(collection.directory) as reader:
        with pytest.raises(CollectionError, match="being written"):
            ingest([media], reader, encoder)
        assert len(reader.nearest(np.ones(DIM, np.float32), k=5).rows) == 5
        assert reader.problems() == []


def test_memory_in_flight_is_bounded_and_large_items_pass_alone(
    collection: Collection, encoder: ToyEncoder, tmp_path: Path
) -> None:
    # Every part weighs 640 kB; nothing but flushing half-full batches lets these through.
    for seed in range(4):
        write_sound(tmp_path / f"{seed}.wav", seed, duration=31)
    for limit in (1, 1_400_000):
        options = IngestOptions(in_flight_bytes=limit, batch_items=100, decode_threads=3)
        with Collection.create(tmp_path / f"limit{limit}", encoder.spec) as bounded:
            report = ingest([tmp_path], bounded, encoder, options=options)
            assert report.encoded == 4
            assert report.items == len(items_of(bounded))


def test_a_lost_catalogue_is_rebuilt_without_encoding(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    ingest([media], collection, encoder)
    before, counts, encoded = items_of(collection), collection.counts(), encoder.encoded
    for path in collection.directory.glob(f"{CATALOGUE_NAME}*"):
        path.unlink()

    with Collection.open(collection.directory) as reader:
        assert reader.counts() == counts
        [record] = reader.records(reader.nearest(np.ones(DIM, np.float32), k=1).rows)
        assert record.paths == ()

    # Only one of the folders is indexed: what lies in the other must not be deleted.
    report = ingest([media / "a"], collection, encoder)
    assert (report.reused, report.items_removed) == (9, 0)
    assert items_of(collection).keys() == before.keys()
    ingest([media], collection, encoder)
    assert items_of(collection) == before
    assert encoder.encoded == encoded


def test_a_damaged_catalogue_says_what_to_do(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    ingest([media], collection, encoder)
    (collection.directory / CATALOGUE_NAME).write_bytes(b"no database" * 1000)
    with pytest.raises(CollectionError) as caught:
        ingest([media], collection, encoder)
    assert "delete" in caught.value.hint
    with Collection.open(collection.directory) as another, pytest.raises(CollectionError):
        another.counts()


@pytest.mark.parametrize("left", ["nothing", "no versions", "damaged versions"])
def test_lost_vectors_are_a_clear_error_and_can_be_made_again(
    media: Path, collection: Collection, encoder: ToyEncoder, left: str
) -> None:
    ingest([media], collection, encoder)
    before = items_of(collection)
    lance = collection.directory / "lance"
    if left == "nothing":
        shutil.rmtree(lance)
    for path in lance.rglob("*.manifest"):
        if left == "damaged versions":
            path.write_bytes(b"no manifest")
        else:
            path.unlink()
    collection.close()
    shutil.rmtree(collection.directory / "cache")  # which would go on answering

    with pytest.raises(CollectionError, match="the vectors") as caught:
        collection.nearest(np.ones(DIM, np.float32), k=1)
    assert caught.value.hint
    if left == "damaged versions":  # there may be something to save, so nothing is made anew
        write_text(media / "new.txt", 80)
        with pytest.raises(CollectionError, match="can't open the vectors"):
            ingest([media], collection, encoder)
    else:
        assert ingest([media], collection, encoder).encoded == 18
        assert items_of(collection) == before


@pytest.mark.parametrize("damage", ["emptied", "cut", "garbled", "gone"])
def test_damaged_vectors_are_a_clear_error(
    media: Path, collection: Collection, encoder: ToyEncoder, damage: str
) -> None:
    ingest([media], collection, encoder)
    known = next(iter(items_of(collection)))
    data = [path for path in (collection.directory / "lance").rglob("*.lance") if path.is_file()]
    assert data
    for path in data:
        whole = path.read_bytes()
        if damage == "gone":
            path.unlink()
        else:
            garbled = bytes(byte ^ 0x5A for byte in whole)
            path.write_bytes(
                {"emptied": b"", "cut": whole[: len(whole) // 2], "garbled": garbled}[damage]
            )
    collection.close()

    with Collection.open(collection.directory) as reader:
        assert reader.get(known).id == known  # the cache goes on answering, and doctor tells
        with pytest.raises(CollectionError, match="the vectors"):
            verify(reader)
        reader.close()
        shutil.rmtree(collection.directory / "cache")
        for ask in (
            lambda: reader.nearest(np.ones(DIM, np.float32), k=1),
            lambda: reader.get(known),
            lambda: reader.vector_of(known),
        ):
            with pytest.raises(CollectionError, match="the vectors") as caught:
                ask()
            assert "index again into a new" in caught.value.hint


@pytest.mark.parametrize("name", ["compact", "restore"])
def test_a_full_disk_while_pieces_are_merged_or_brought_back_is_one_clear_error(
    media: Path,
    collection: Collection,
    encoder: ToyEncoder,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ingest([media], collection, encoder)
    [first] = maintenance.history(collection)
    collection.remove([next(path for path in media.rglob("*.png"))])

    def work() -> None:
        if name == "compact":
            maintenance.optimize(collection)
        else:
            maintenance.restore(collection, first.number)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(VectorTable, name, full)
        with pytest.raises(CollectionError, match="No space left") as caught:
            work()
    assert "what was finished is kept" in caught.value.hint
    assert maintenance.restore(collection, first.number).items == first.items
