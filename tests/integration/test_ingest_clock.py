"""Clocks that jump, and files from any year: nothing is lost, doubled or read again."""

import os
import time
from pathlib import Path

import pytest

from indexer import Collection, ingest
from indexer.table import VectorTable
from tests.toy import ToyEncoder
from tests.unit.indexer.folders import items_of, names_in, write_text

YEAR_S = 365 * 86_400


@pytest.mark.parametrize("years", [-60, 30, 200])
def test_files_from_any_year_are_indexed_once(
    tmp_path: Path, collection: Collection, encoder: ToyEncoder, years: int
) -> None:
    path = write_text(tmp_path / "media.txt", 1)
    moment = time.time() + years * YEAR_S
    os.utime(path, (moment, moment))
    assert ingest([path], collection, encoder).encoded == 1
    assert ingest([path], collection, encoder).unchanged == 1
    [record] = collection.records(collection.nearest(encoder._colours[0] + 1, k=1).rows)
    assert record.mtime == pytest.approx(moment, abs=1)


@pytest.mark.parametrize("jump_s", [-10 * YEAR_S, -60, 60, 10 * YEAR_S])
def test_a_clock_that_jumps_between_two_runs_changes_nothing(
    media: Path,
    collection: Collection,
    encoder: ToyEncoder,
    monkeypatch: pytest.MonkeyPatch,
    jump_s: int,
) -> None:
    ingest([media], collection, encoder)
    before, version = items_of(collection), table(collection).version
    now, now_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() + jump_s)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + jump_s * 10**9)

    assert ingest([media], collection, encoder).unchanged == 18
    assert items_of(collection) == before
    assert table(collection).version == version

    # What is written now, by the file system's clock, is taken; and so is what it replaces later.
    new = write_text(media / "new.txt", 90, words=10)
    os.utime(new)
    assert ingest([media], collection, encoder).encoded == 1
    new.write_text(new.read_text().replace("Word", "Wort"))
    stamp = new.stat()
    os.utime(new, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert ingest([media], collection, encoder).encoded == 1
    assert names_in(collection) >= {"new.txt"}
    assert len(items_of(collection)) == len(before) + 1
    # Merging drops old versions by their age, and never the newest.
    with collection.writing("compact") as writer:
        writer.compact()
    assert len(items_of(collection)) == len(before) + 1


def table(collection: Collection) -> VectorTable:
    return VectorTable.open(collection.directory, collection.spec)
