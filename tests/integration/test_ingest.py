"""Ingest against real files and real stores: what is entered, kept, re-used and forgotten."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from indexer import Collection, IngestOptions, Phase, Progress, ingest
from indexer.catalogue import Catalogue
from indexer.rows import ItemRow
from indexer.table import VectorTable
from omni_encoder import (
    Modality,
    QueryError,
)
from tests.toy import DIM, ToyEncoder
from tests.unit.indexer.folders import (
    items_of,
    names_in,
    settle,
    write_image,
    write_text,
)

SMALL = IngestOptions(batch_items=4, commit_rows=8)


def test_every_part_of_every_file_is_entered_once(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    report = ingest([media], collection, encoder, options=SMALL)

    assert (report.scanned, report.encoded, report.failed) == (18, 18, 0)
    # Two texts of 150 sentences and two sounds of 12 s have several parts.
    assert report.items == len(items_of(collection)) == encoder.encoded > 18
    assert sum(collection.counts().values()) == report.items
    assert names_in(collection) == {path.name for path in media.rglob("*.*")}
    sounds = collection.nearest(np.ones(DIM, np.float32), k=99, modalities=[Modality.AUDIO])
    spans = [record.span for record in collection.records(sounds.rows)]
    assert all(span is not None for span in spans)


def test_an_unchanged_folder_is_not_read_again(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    ingest([media], collection, encoder, options=SMALL)
    before = {path: path.stat().st_mtime_ns for path in collection.directory.rglob("*.*")}
    encoded = encoder.encoded

    report = ingest([media], collection, encoder)

    assert (report.unchanged, report.encoded, report.items) == (18, 0, 0)
    assert encoder.encoded == encoded
    assert before == {path: path.stat().st_mtime_ns for path in collection.directory.rglob("*.*")}


def test_an_unchanged_folder_opens_neither_vectors_nor_decoders_nor_encoder(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    ingest([media], collection, encoder)
    code = """
import sys
from pathlib import Path
from indexer import Collection, ingest
def load():
    raise AssertionError("the encoder was loaded")
with Collection.open(Path(sys.argv[1])) as collection:
    report = ingest([Path(sys.argv[2])], collection, load)
    assert report.unchanged == 18, report
    assert sum(collection.counts().values()) > 18
loaded = {"lancedb", "pyarrow", "torch", "PIL", "av", "blake3"} & sys.modules.keys()
assert not loaded, loaded
"""
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code, collection.directory, media],
        check=True,
        cwd=Path(__file__).parents[2],
    )


def test_moves_copies_and_touches_are_not_encoded_again(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    ingest([media], collection, encoder)
    before, encoded = items_of(collection), encoder.encoded
    moved = media / "moved.txt"
    (media / "a" / "text000.txt").rename(moved)
    write_image(media / "copy.png", 1)
    os.utime(media / "b" / "text001.txt", (1, 1))

    report = ingest([media], collection, encoder)

    assert encoder.encoded == encoded
    assert (report.reused, report.removed, report.items_removed) == (2, 1, 0)
    assert report.unchanged == 17
    after = items_of(collection)
    assert {id: known[0] for id, known in after.items()} == {
        id: known[0] for id, known in before.items()
    }
    assert ("copy.png", "image001.png") in {tuple(sorted(files)) for _, files, _ in after.values()}
    assert "text000.txt" not in names_in(collection)


def test_moved_files_need_neither_vectors_nor_encoder(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    ingest([media], collection, encoder)
    (media / "a").rename(media / "c")
    code = """
import sys
from pathlib import Path
from indexer import Collection, ingest
with Collection.open(Path(sys.argv[1])) as collection:
    report = ingest([Path(sys.argv[2])], collection, sys.exit)
assert (report.reused, report.removed, report.unchanged) == (9, 9, 9), report
assert not {"lancedb", "pyarrow", "PIL", "av"} & sys.modules.keys()
"""
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code, collection.directory, media],
        check=True,
        cwd=Path(__file__).parents[2],
    )


def test_content_lives_as_long_as_one_of_its_paths(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    copy = write_image(media / "copy.png", 1)
    ingest([media], collection, encoder)
    (media / "b" / "image001.png").unlink()
    first = ingest([media], collection, encoder)
    copy.unlink()
    second = ingest([media], collection, encoder)

    assert (first.removed, first.items_removed) == (1, 0)
    assert (second.removed, second.items_removed) == (1, 1)
    assert not names_in(collection) & {"copy.png", "image001.png"}
    assert collection.counts()[Modality.IMAGE] == 5


def test_an_overwritten_file_has_its_new_items_only(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    ingest([media], collection, encoder)
    write_text(media / "a" / "text000.txt", 77, words=20)
    report = ingest([media], collection, encoder)

    assert (report.encoded, report.removed) == (1, 0)
    assert report.items_removed > report.items == 1
    assert sum("text000.txt" in files for _, files, _ in items_of(collection).values()) == 1


def test_files_of_the_same_content_are_encoded_once(
    tmp_path: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    for number in range(12):
        write_text(tmp_path / f"{number:02}.txt", 5, words=300)
    options = IngestOptions(decode_threads=4, batch_items=2)
    report = ingest([tmp_path], collection, encoder, options=options)

    assert (report.encoded, report.reused) == (1, 11)
    assert encoder.encoded == report.items
    assert names_in(collection) == {f"{number:02}.txt" for number in range(12)}


def test_a_young_file_is_hashed_again_but_not_encoded(
    collection: Collection, encoder: ToyEncoder, tmp_path: Path
) -> None:
    young = tmp_path / "young.txt"
    young.write_text("this was written just now")
    ingest([young], collection, encoder)
    # The same size, and the time stamp set back: only its bytes tell.
    status = young.stat()
    young.write_text("that was written just now")
    os.utime(young, ns=(status.st_atime_ns, status.st_mtime_ns))
    report = ingest([young], collection, encoder)
    assert report.encoded == 1


def test_a_sidecar_changes_the_caption_and_nothing_else(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    ingest([media], collection, encoder)
    before, encoded = items_of(collection), encoder.encoded
    image = media / "a" / "image000.png"
    sidecar = image.with_suffix(".txt")

    def caption() -> str | None:
        rows = collection.nearest(np.ones(DIM, np.float32), k=999, where="mime = 'image/png'").rows
        records = {record.paths[0]: record for record in collection.records(rows)}
        return records[image].caption

    assert caption() is None
    for text in ["a red boat", "a green boat"]:
        sidecar.write_text(text)
        settle(sidecar)
        report = ingest([media], collection, encoder)
        assert caption() == text
        assert (report.items, report.items_removed, report.unchanged) == (0, 0, 18)
        assert report.captions == 1
    sidecar.unlink()
    assert ingest([media], collection, encoder).captions == 1
    assert caption() is None
    assert ingest([media], collection, encoder).captions == 0
    assert encoder.encoded == encoded
    assert items_of(collection) == before


def test_a_caption_goes_with_the_copy_that_had_it(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    ingest([media], collection, encoder)
    content = collection.nearest(np.ones(DIM, np.float32), k=9, where="path LIKE '%image001%'").rows
    for name, text in [("copy.png", "a red boat"), ("last.png", "a boat at last")]:
        write_image(media / name, 1)
        settle_text(media / name, text)
        ingest([media], collection, encoder)
        assert collection.records(content)[0].caption == text

    expected = {"last.png": "a red boat", "copy.png": None}
    for name, caption in expected.items():
        (media / name).unlink()
        (media / name).with_suffix(".txt").unlink()
        report = ingest([media], collection, encoder)
        assert (report.removed, report.captions, report.items_removed) == (1, 1, 0)
        assert collection.records(content)[0].caption == caption


def settle_text(image: Path, text: str) -> None:
    sidecar = image.with_suffix(".txt")
    sidecar.write_text(text)
    settle(sidecar)


def test_files_read_in_part_are_counted_among_the_others(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    cut = media / "cut.wav"
    cut.write_bytes((media / "a" / "sound000.wav").read_bytes()[:200_000])
    settle(cut)
    first = ingest([media], collection, encoder)
    second = ingest([media], collection, encoder)
    assert (first.encoded, first.failed, first.partial) == (19, 0, 1)
    assert (second.unchanged, second.failed, second.partial) == (19, 0, 1)
    assert [problem.reason for problem in collection.problems()] == ["partial"]


def test_a_text_that_becomes_a_sidecar_is_no_item_any_more(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    write_text(media / "boat.txt", 90)
    ingest([media], collection, encoder)
    write_image(media / "boat.png", 90)
    report = ingest([media], collection, encoder)
    assert (report.encoded, report.removed) == (1, 1)
    assert "boat.txt" not in names_in(collection)


def test_paths_outside_the_roots_are_left_alone(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    ingest([media], collection, encoder)
    for path in media.rglob("image*.png"):
        path.unlink()
    # `a0` sorts between `a` and what lies under `a`.
    write_text(media / "a0.txt", 70)
    report = ingest([media / "a", media / "a0.txt"], collection, encoder)
    assert (report.removed, report.encoded) == (3, 1)
    assert collection.counts()[Modality.IMAGE] == 3


def test_files_can_be_named_and_vanish_one_by_one(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    one, other = media / "a" / "text000.txt", media / "b" / "text001.txt"
    ingest([one, other], collection, encoder)
    assert names_in(collection) == {"text000.txt", "text001.txt"}
    one.unlink()
    ingest([media / "a"], collection, encoder)
    assert "text000.txt" not in names_in(collection)
    assert "text001.txt" in names_in(collection)


def test_names_that_are_no_utf8_come_back_as_they_are(
    collection: Collection, encoder: ToyEncoder, tmp_path: Path
) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 %41 'x'.txt"))
    write_text(path, 1)
    ingest([tmp_path], collection, encoder)
    rows = collection.nearest(np.ones(DIM, np.float32), k=9, where="path LIKE '%caf%'").rows
    [record, *_] = collection.records(rows)
    assert record.paths == (path,)
    assert record.bytes == path.stat().st_size
    assert record.mtime == path.stat().st_mtime


def test_a_filter_on_paths_leaves_only_the_paths_that_fit(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    original, copy = media / "b" / "image001.png", media / "z" / "copy.png"
    copy.parent.mkdir()
    write_image(copy, 1)
    ingest([media], collection, encoder)

    def paths(where: str | None) -> tuple[Path, ...]:
        rows = collection.nearest(np.ones(DIM, np.float32), k=999, where=where).rows
        records = collection.records(rows, where=where)
        [record] = [record for record in records if {original, copy} & {*record.paths}]
        assert record.bytes == record.paths[0].stat().st_size
        return record.paths

    assert paths(None) == paths("modality = 'image'") == (original, copy)
    assert paths("path LIKE '%/z/%'") == (copy,)
    assert paths("width > 0 AND path LIKE '%.png'") == (original, copy)
    assert paths("path LIKE '%copy%' OR width < 0") == (copy,)
    assert paths("modality = 'image' -- path") == (original, copy)


def test_progress_counts_files_and_never_goes_back(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    seen: list[Progress] = []
    ingest([media], collection, encoder, options=SMALL, progress=seen.append)
    reading = [progress for progress in seen if progress.phase is Phase.READ]
    assert [progress.done for progress in reading] == sorted(p.done for p in reading)
    assert reading[-1].done == reading[-1].total == 18
    assert reading[-1].bytes_done == reading[-1].bytes_total > 0
    assert seen[0].phase is Phase.SCAN
    assert seen[-1].phase is Phase.FINISH


def test_many_small_commits_are_merged(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    options = IngestOptions(batch_items=1, commit_rows=1)
    ingest([media], collection, encoder, options=options)
    table = VectorTable.open(collection.directory, encoder.spec)
    assert table._table.stats()["fragment_stats"]["num_fragments"] == 1
    assert len(items_of(collection)) == encoder.encoded


def test_the_longer_a_run_takes_the_more_seldom_it_commits(
    media: Path, collection: Collection, encoder: ToyEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    appended: list[int] = []
    append = VectorTable.append

    def noted(table: VectorTable, rows: Sequence[ItemRow]) -> None:
        appended.append(10 * encoder.encoded)
        append(table, rows)

    monkeypatch.setattr(VectorTable, "append", noted)
    monkeypatch.setattr("indexer.local_engine.COMMIT_SHARE", 0.5)
    monkeypatch.setattr("time.monotonic", lambda: 10.0 * encoder.encoded)  # an item takes 10 s
    options = IngestOptions(batch_items=1, commit_rows=10**6, decode_threads=1, isolate=False)
    report = ingest([media], collection, encoder, options=options)
    assert appended[:4] == [10, 20, 40, 80]
    assert appended[-1] == 10 * report.items


def test_a_removal_that_is_cut_off_leaves_no_item_without_its_file(
    media: Path, collection: Collection, encoder: ToyEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest([media], collection, encoder)
    with monkeypatch.context() as patch:
        patch.setattr(Catalogue, "forget", _cut_off)
        with pytest.raises(KeyboardInterrupt):
            collection.remove([media / "a"])

    with collection.writing("look"):
        pass

    assert names_in(collection) == {path.name for path in (media / "b").iterdir()}
    with pytest.raises(QueryError, match="nothing of"):
        collection.remove([media / "a"])


def _cut_off(_catalogue: Catalogue, _paths: object) -> None:
    raise KeyboardInterrupt


def test_removal_takes_paths_folders_and_ids(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    ingest([media], collection, encoder)
    total = sum(collection.counts().values())
    [record, *_] = collection.records(
        collection.nearest(np.ones(DIM, np.float32), k=1, where="path LIKE '%b/image001.png'").rows
    )
    removal = collection.remove([record.short_id])
    assert [path.name for path in removal.paths] == ["image001.png"]
    assert removal.items == 1
    with pytest.raises(QueryError):
        collection.get(record.id)

    removal = collection.remove([media / "a"])
    assert len(removal.paths) == 9
    assert sum(collection.counts().values()) == total - 1 - removal.items
    assert names_in(collection) == {path.name for path in (media / "b").iterdir()} - {
        "image001.png"
    }

    for missing in [media / "a", "0000", media / "nowhere"]:
        with pytest.raises(QueryError):
            collection.remove([media / "b", missing])
    assert names_in(collection)
    # The files themselves stay, so they are found again.
    assert ingest([media], collection, encoder).encoded == 10
