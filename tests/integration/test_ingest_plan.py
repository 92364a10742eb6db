"""What a run would do is what it does; and what it may forget."""

import os
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from indexer import Action, Collection, IngestOptions, Selection, ingest, plan
from indexer.catalogue import CATALOGUE_NAME, Catalogue
from indexer.selection import IGNORE_NAME
from tests.toy import ToyEncoder
from tests.unit.indexer.folders import (
    items_of,
    names_in,
    settle,
    write_folder,
    write_image,
    write_text,
)


def test_a_plan_says_exactly_what_the_run_then_does(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    write_text(media / "bad.png", 77)
    ingest([media], collection, encoder)
    before = items_of(collection)
    (media / "a" / "text000.txt").rename(media / "moved.txt")
    shutil.copy2(media / "a" / "image000.png", media / "copy.png")
    write_image(media / "a" / "image002.png", 300)
    write_text(media / "new.txt", 301)
    shutil.copy2(media / "new.txt", media / "newer.txt")
    (media / "b" / "text001.txt").unlink()
    os.utime(media / "b" / "text003.txt", (5, 5))
    (media / "b" / "image001.txt").write_text("a caption")
    (media / "list.zip").write_text("no media")

    made = plan([media], collection.directory)
    assert items_of(collection) == before  # nothing was done
    steps = {(str(step.action), step.path.name, step.why) for step in made.steps}
    assert steps == {
        ("encode", "image002.png", "changed"),
        ("encode", "new.txt", "new"),
        ("reuse", "moved.txt", "text"),
        ("reuse", "copy.png", "image"),
        ("reuse", "newer.txt", "text"),
        ("update", "text003.txt", "time stamp"),
        ("update", "image001.png", "caption"),
        ("forget", "text000.txt", ""),
        ("forget", "text001.txt", ""),
        ("pass", "list.zip", "not_media"),
    }
    report = ingest([media], collection, encoder)
    counts = Counter(step.action for step in made.steps)
    assert report.encoded == counts[Action.ENCODE]
    assert report.reused == counts[Action.REUSE]
    assert report.removed == counts[Action.FORGET]
    assert report.unchanged == made.unchanged + counts[Action.UPDATE]
    assert (report.failed_before, made.failed_before) == (1, 1)


def test_a_plan_for_no_collection_encodes_everything_once(media: Path, tmp_path: Path) -> None:
    shutil.copy2(media / "a" / "text000.txt", media / "copy.txt")
    made = plan([media], tmp_path / "nothing")
    assert Counter(step.action for step in made.steps) == {Action.ENCODE: 18, Action.REUSE: 1}
    assert not (tmp_path / "nothing").exists()


def test_a_file_overwritten_in_place_with_its_size_and_time_kept_is_encoded_again(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    target = media / "a" / "text002.txt"
    ingest([media], collection, encoder)
    inode, whole = target.stat().st_ino, target.read_text()
    target.write_text(whole.upper())
    settle(target)
    assert target.stat().st_ino == inode
    report = ingest([media], collection, encoder)
    assert (report.encoded, report.unchanged) == (1, 17)
    assert any("WORD" in (record_text or "") for record_text in texts_of(collection))


def texts_of(collection: Collection) -> list[str | None]:
    return [collection.get(id).text for id in items_of(collection)]


def test_too_many_files_are_not_forgotten_at_once(
    collection: Collection, encoder: ToyEncoder, tmp_path: Path
) -> None:
    media = write_folder(tmp_path / "many", texts=60)
    ingest([media], collection, encoder)
    kept = items_of(collection)
    for path in sorted((media / "a").iterdir())[:25]:
        path.unlink()
    report = ingest([media], collection, encoder)
    assert (report.removed, report.spared) == (0, 25)
    assert items_of(collection) == kept
    # What was only moved is lost to nobody.
    for path in list((media / "b").iterdir()):
        path.rename(media / path.name)
    report = ingest([media], collection, encoder)
    assert (report.reused, report.removed, report.spared) == (30, 30, 25)
    report = ingest([media], collection, encoder, options=IngestOptions(prune=True))
    assert (report.removed, report.spared) == (25, 0)
    # Up to a share they go by themselves.
    for path in sorted(media.glob("*.txt"))[:10]:
        path.unlink()
    assert ingest([media], collection, encoder).removed == 10


def test_only_what_a_pass_would_have_found_is_forgotten(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    ingest([media], collection, encoder)
    (media / "a" / "text000.txt").unlink()
    (media / "a" / "image000.png").unlink()
    options = IngestOptions(selection=Selection(globs=("*.png",)))
    assert ingest([media], collection, encoder, options=options).removed == 1
    assert "text000.txt" in names_in(collection)
    options = IngestOptions(selection=Selection(excludes=("a/",)))
    assert ingest([media], collection, encoder, options=options).removed == 0
    assert ingest([media / "b"], collection, encoder).removed == 0
    assert ingest([media], collection, encoder).removed == 1


def test_what_an_ignore_file_keeps_out_is_forgotten_and_excluded_files_are_kept(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    ingest([media], collection, encoder)
    options = IngestOptions(selection=Selection(excludes=("/a/",)))
    assert ingest([media], collection, encoder, options=options).removed == 0
    (media / IGNORE_NAME).write_text("/a/\n")
    report = ingest([media], collection, encoder)
    assert (report.removed, report.passed) == (9, {"ignored": 1})
    assert not [name for name in names_in(collection) if name == "text000.txt"]


def test_what_is_passed_over_is_listed_until_it_is_gone(
    media: Path, collection: Collection, encoder: ToyEncoder
) -> None:
    (media / "list.zip").touch()
    (media / ".hidden.png").touch()
    ingest([media], collection, encoder)
    catalogue = Catalogue.open_to_read(collection.directory)
    listed = {Path(os.fsdecode(path)).name: reason for path, reason in catalogue.passed()}
    assert listed == {"list.zip": "not_media", ".hidden.png": "hidden"}
    (media / "list.zip").unlink()
    ingest([media], collection, encoder)
    assert [Path(os.fsdecode(path)).name for path, _ in catalogue.passed()] == [".hidden.png"]


@pytest.mark.parametrize(
    "to_format",
    [
        "ALTER TABLE files DROP COLUMN ctime_ns; DROP TABLE passed; PRAGMA user_version = 1;",
        "PRAGMA user_version = 2;",
    ],
)
def test_a_catalogue_of_an_earlier_format_is_taken_over(
    media: Path, collection: Collection, encoder: ToyEncoder, to_format: str
) -> None:
    ingest([media], collection, encoder)
    collection.close()
    with sqlite3.connect(collection.directory / CATALOGUE_NAME) as connection:
        connection.executescript(
            "DROP TRIGGER file_entered; DROP TRIGGER file_changed; DROP TRIGGER file_forgotten;"
            "DROP TABLE folders; DROP TABLE sums;" + to_format
        )
    connection.close()
    assert sum(collection.counts().values()) == len(items_of(collection))
    encoded = encoder.encoded
    report = ingest([media], collection, encoder)
    assert (report.unchanged, encoder.encoded) == (18, encoded)


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0, 10**9])
def test_a_clock_that_jumps_loses_nothing(
    media: Path,
    collection: Collection,
    encoder: ToyEncoder,
    monkeypatch: pytest.MonkeyPatch,
    jump_s: float,
) -> None:
    import time

    ingest([media], collection, encoder)
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + int(jump_s * 1e9))
    monkeypatch.setattr(time, "time", lambda: now / 1e9 + jump_s)
    write_text(media / "late.txt", 900)
    os.utime(media / "late.txt", (2**33, 2**33))  # from the future
    write_text(media / "a" / "text004.txt", 901, words=20)
    report = ingest([media], collection, encoder)
    assert (report.encoded, report.failed, report.removed) == (2, 0, 0)
    assert ingest([media], collection, encoder).items == 0
