"""Codes beside the items: every item with a file gets its own, and none outlives its item."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from indexer import Collection, IngestOptions, ingest, item_codes
from indexer.code_table import CodedPart, CodeTable
from indexer.entries import ContentKey
from indexer.item_codes import (
    CodesReport,
    codes_due,
    codes_left,
    codes_of,
    complete_codes,
    drop_codes,
    keep_codes,
)
from indexer.maintenance import restore
from indexer.manifest import read_manifest
from indexer.sums import Sums
from indexer.table import VectorTable
from indexer.transfer import Form, bring_in, export
from indexer.types import Record
from omni_encoder import CollectionError, EncoderMismatchError, MediaItem
from omni_encoder.item_codes import ItemCodes
from tests.media_files import tone, write_audio
from tests.toy import ToyEncoder
from tests.toy_coder import ToyCoder


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """Three images, a sound of two parts, and a text, none of them just written."""
    folder = tmp_path / "media"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (20, 20), (40 * number, 90, 10)).save(folder / f"{number}.png")
    write_audio(folder / "tone.wav", tone(12), codec="pcm_s16le")
    (folder / "note.txt").write_text("no codes for words")
    for path in folder.iterdir():
        os.utime(path, (1_600_000_000, 1_600_000_000))
    return folder


@pytest.fixture
def collection(tmp_path: Path, media: Path) -> Collection:
    collection = Collection.create(tmp_path / "collection", ToyEncoder().spec)
    ingest([media], collection, ToyEncoder())
    return collection


def records(collection: Collection) -> list[Record]:
    found = collection.nearest(np.ones(collection.spec.dim, np.float32), k=99)
    return collection.records(found.rows)


def codes(collection: Collection) -> dict[str, tuple[list[int], float, float]]:
    return {
        name: (one.codes.ravel().tolist(), one.prior, one.bound)
        for name, one in codes_of(collection, records(collection)).items()
    }


def test_images_and_sounds_get_codes_and_texts_none(collection: Collection) -> None:
    coder = ToyCoder()
    report = keep_codes(collection, lambda: coder)

    parts = [r for r in records(collection) if str(r.modality) in ("image", "audio")]
    assert len([r for r in parts if str(r.modality) == "audio"]) > 1
    assert report == CodesReport(added=len(parts))
    assert set(codes(collection)) == {record.id for record in parts}
    for record in parts:
        one = codes_of(collection, [record])[record.id]
        assert one.codes.shape == (64, 4 if str(record.modality) == "image" else 2)
        assert (one.prior, one.bound) == (-one.codes[0, 0], -2 * one.codes[0, 0])


def test_a_second_pass_makes_nothing_and_new_files_are_due(
    collection: Collection, media: Path
) -> None:
    coder = ToyCoder()
    assert not codes_due(collection)
    keep_codes(collection, lambda: coder)
    before, made = codes(collection), coder.coded
    assert not codes_due(collection)
    assert keep_codes(collection, lambda: coder) == CodesReport()
    assert coder.coded == made

    Image.new("RGB", (20, 20), "red").save(media / "new.png")
    ingest([media], collection, ToyEncoder())
    assert codes_due(collection)
    assert keep_codes(collection, lambda: coder) == CodesReport(added=1)
    assert before.items() < codes(collection).items()
    with Collection.open(collection.directory) as again:
        assert not codes_due(again)


class Killed(BaseException):
    """Ends a pass as nothing in it can foresee."""


class MortalCoder(ToyCoder):
    """Dies with its n-th batch."""

    left = 0

    def encode(self, items: Sequence[MediaItem]) -> list[ItemCodes]:
        if self.left == 0:
            raise Killed
        self.left -= 1
        return super().encode(items)


@pytest.mark.parametrize("batches", range(4))
def test_what_a_kill_leaves_is_completed(collection: Collection, batches: int) -> None:
    options = IngestOptions(batch_items=1, commit_rows=1)
    mortal = MortalCoder()
    mortal.left = batches
    with pytest.raises(Killed):
        keep_codes(collection, lambda: mortal, options=options)

    assert len(codes(collection)) == batches
    assert codes_due(collection)
    coder = ToyCoder()
    report = keep_codes(collection, lambda: coder, options=options)

    assert report.lacking == 0
    assert report.added == coder.coded == len(codes(collection)) - batches


def test_a_kill_right_after_a_commit_makes_no_codes_twice(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = CodeTable.append

    def then_die(self: CodeTable, parts: object) -> None:
        append(self, parts)  # pyright: ignore[reportArgumentType] - handed on as it came
        raise Killed

    monkeypatch.setattr(CodeTable, "append", then_die)
    with pytest.raises(Killed):
        keep_codes(collection, ToyCoder)
    monkeypatch.undo()
    keep_codes(collection, ToyCoder)

    setting = read_manifest(collection.directory).codes
    assert setting is not None
    table = CodeTable(collection.directory, setting.fingerprint)
    found = table.find(sorted(table.parts()))
    assert len(found) == len({(one.key, one.part) for one in found}) == len(codes(collection))


def test_a_long_pass_commits_after_a_share_of_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "many").mkdir()
    for number in range(40):
        Image.new("RGB", (4, 4), (6 * number, 9, 9)).save(tmp_path / "many" / f"{number}.png")
    collection = Collection.create(tmp_path / "collection", ToyEncoder().spec)
    ingest([tmp_path / "many"], collection, ToyEncoder())
    clock, appended = [0.0], list[int]()
    append = CodeTable.append

    class SlowCoder(ToyCoder):
        def encode(self, items: Sequence[MediaItem]) -> list[ItemCodes]:
            clock[0] += item_codes.COMMIT_SECONDS
            return super().encode(items)

    def count(self: CodeTable, parts: Sequence[CodedPart]) -> None:
        appended.append(len(parts))
        append(self, parts)

    monkeypatch.setattr(item_codes, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(item_codes, "COMMIT_SHARE", 0.25)
    monkeypatch.setattr(CodeTable, "append", count)
    keep_codes(collection, SlowCoder, options=IngestOptions(batch_items=1))

    assert sum(appended) == len(codes(collection)) == 40
    assert appended[:4] == [1, 1, 1, 1]
    assert 5 < max(appended[:-1]) <= 10


def test_what_is_removed_loses_its_codes(collection: Collection, media: Path) -> None:
    keep_codes(collection, ToyCoder)
    before = codes(collection)
    gone = {record.id for record in records(collection) if media / "0.png" in record.paths}
    collection.remove([media / "0.png"])

    setting = read_manifest(collection.directory).codes
    assert setting is not None
    table = CodeTable(collection.directory, setting.fingerprint)
    left = {f"{key.content}.{key.modality}.{p}" for key, ps in table.parts().items() for p in ps}
    assert left == before.keys() - gone
    assert keep_codes(collection, ToyCoder) == CodesReport()


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_during_a_removal_leaves_no_item_without_its_codes(
    collection: Collection, media: Path, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    keep_codes(collection, ToyCoder)
    before = codes(collection)
    take_out = VectorTable.take_out

    def die(self: VectorTable, keys: Sequence[ContentKey]) -> Sums:
        if after:
            take_out(self, keys)
        raise Killed

    monkeypatch.setattr(VectorTable, "take_out", die)
    with pytest.raises(Killed):
        collection.remove([media / "0.png"])
    monkeypatch.undo()

    assert codes(collection).keys() == before.keys() & {one.id for one in records(collection)}
    assert codes_due(collection) == after
    assert keep_codes(collection, ToyCoder) == CodesReport(dropped=int(after))


def test_orphans_are_dropped(
    collection: Collection, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_codes(collection, ToyCoder)

    def not_now(self: CodeTable, keys: object) -> None:
        raise CollectionError("the disk is full")

    monkeypatch.setattr(CodeTable, "delete", not_now)
    collection.remove([media / "0.png"])
    monkeypatch.undo()

    assert codes_due(collection)
    assert keep_codes(collection, ToyCoder) == CodesReport(dropped=1)


def test_items_that_are_restored_get_their_codes_back(collection: Collection, media: Path) -> None:
    keep_codes(collection, ToyCoder)
    before, version = codes(collection), collection.version
    assert version is not None
    collection.remove([media / "0.png"])
    restore(collection, version)

    assert codes_due(collection)
    report = keep_codes(collection, ToyCoder)
    assert report == CodesReport(lacking=1)  # no file is known of it until its folder is indexed
    ingest([media], collection, ToyEncoder())
    assert keep_codes(collection, ToyCoder) == CodesReport(added=1)
    assert codes(collection) == before


def test_codes_stay_behind_when_items_are_taken_out(
    collection: Collection, tmp_path: Path, media: Path
) -> None:
    keep_codes(collection, ToyCoder)
    export(collection, tmp_path / "all.parquet", Form.PARQUET)
    with Collection.create(tmp_path / "other", ToyEncoder().spec) as other:
        bring_in(tmp_path / "all.parquet", other, Form.PARQUET)
        assert other.codes is None
        wanted = len(codes(collection))
        assert keep_codes(other, ToyCoder) == CodesReport(lacking=wanted)
        ingest([media], other, ToyEncoder())
        assert keep_codes(other, ToyCoder) == CodesReport(added=wanted)
        assert codes(other) == codes(collection)


def test_a_file_that_has_changed_since_gives_no_codes(collection: Collection, media: Path) -> None:
    Image.new("RGB", (20, 20), "white").save(media / "0.png")
    report = keep_codes(collection, ToyCoder)
    assert report.lacking == 1

    ingest([media], collection, ToyEncoder())
    assert keep_codes(collection, ToyCoder) == CodesReport(added=1)


def test_a_damaged_file_is_left_out(
    collection: Collection, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = media / "0.png"
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    report = keep_codes(collection, ToyCoder, options=replace(IngestOptions(), isolate=True))
    assert report.lacking == 1
    assert report.added == len(codes(collection)) > 2


def test_another_models_codes_replace_the_old(collection: Collection) -> None:
    keep_codes(collection, ToyCoder)
    count = len(codes(collection))
    report = keep_codes(collection, lambda: ToyCoder(version=1))

    assert report == CodesReport(added=count)
    assert not CodeTable(collection.directory, ToyCoder().fingerprint).parts()


def test_codes_end_when_they_are_dropped(collection: Collection) -> None:
    keep_codes(collection, ToyCoder)
    assert drop_codes(collection)

    assert not codes_due(collection)
    assert not drop_codes(collection)
    with pytest.raises(CollectionError, match="keeps no codes") as raised:
        codes_of(collection, records(collection))
    assert "omnidex index --codes" in raised.value.hint
    assert not list((collection.directory / "lance").glob("codes_*"))


def never() -> ToyCoder:
    raise AssertionError("there is nothing to code")


def test_the_model_is_loaded_only_if_an_item_needs_it(
    collection: Collection, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_codes(collection, ToyCoder)
    (media / "more.txt").write_text("words have no codes")
    collection.remove([media / "0.png"])
    ingest([media / "more.txt"], collection, ToyEncoder())
    assert codes_due(collection)
    assert complete_codes(collection, never) == CodesReport()
    assert not codes_due(collection)

    monkeypatch.setattr(CodeTable, "delete", lambda *_: None)
    collection.remove([media / "1.png"])
    monkeypatch.undo()
    assert complete_codes(collection, never) == CodesReport(dropped=1)

    Image.new("RGB", (20, 20), "red").save(media / "new.png")
    ingest([media], collection, ToyEncoder())
    (media / "new.png").unlink()  # no file is left to read
    found = complete_codes(collection, ToyCoder)
    assert (found.added, found.lacking) == (2, 1)  # those that were removed are found again
    (media / "more.txt").write_text("other words")
    ingest([media / "more.txt"], collection, ToyEncoder())
    assert complete_codes(collection, never) == CodesReport(lacking=1)
    assert not codes_due(collection)


def test_where_no_codes_are_kept_there_is_nothing_to_complete(collection: Collection) -> None:
    assert complete_codes(collection, never) == CodesReport()
    assert collection.codes is None


@pytest.mark.parametrize("half", [False, True])
def test_what_a_kill_leaves_of_a_dropping_is_dropped_later(
    collection: Collection, monkeypatch: pytest.MonkeyPatch, *, half: bool
) -> None:
    keep_codes(collection, ToyCoder)
    folder = collection.directory / "lance"
    (table,) = folder.glob("codes_*")

    def die(_directory: Path) -> None:
        if half:
            shutil.rmtree(table / "_versions")
        raise Killed

    monkeypatch.setattr(CodeTable, "drop_all", die)
    with pytest.raises(Killed):
        drop_codes(collection)
    monkeypatch.undo()

    assert collection.codes is None
    assert not codes_due(collection)
    assert codes_left(collection)
    assert drop_codes(collection)
    assert not codes_left(collection)
    assert not list(folder.glob("codes_*"))


def test_codes_of_another_encoder_are_refused(collection: Collection) -> None:
    with pytest.raises(EncoderMismatchError, match="shipped model"):
        keep_codes(collection, lambda: ToyCoder(name="other"))
    assert collection.codes is None


def test_an_empty_collection_remembers_that_codes_are_kept(tmp_path: Path, media: Path) -> None:
    with Collection.create(tmp_path / "new", ToyEncoder().spec) as new:
        assert keep_codes(new, ToyCoder) == CodesReport()
        ingest([media], new, ToyEncoder())
        assert codes_due(new)
        assert keep_codes(new, ToyCoder).added > 3
