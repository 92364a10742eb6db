"""A disk that is full or can't be written to: one clear error, and nothing committed is lost."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from indexer import Collection, ingest
from omni_encoder import CollectionError
from tests.toy import DIM, ToyEncoder
from tests.unit.indexer.folders import Item, items_of, write_folder, write_text

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("media") / "media", texts=70, images=10)


@pytest.fixture(scope="module")
def expected(media: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Item]:
    encoder = ToyEncoder()
    directory = tmp_path_factory.mktemp("expected") / "collection"
    with Collection.create(directory, encoder.spec) as collection:
        ingest([media], collection, encoder)
        return items_of(collection)


def mounted(folder: Path, options: str) -> Path:
    """A small file system of its own, where that is allowed."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", os.fspath(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    return folder


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", os.fspath(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = mounted(tmp_path / "disk", "size=400k")
    yield folder
    subprocess.run(["umount", "-l", os.fspath(folder)], check=False)


def index(directory: Path, media: Path, limit: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.integration.full_disk_child", directory, media]
    return subprocess.run(
        [*command, str(limit)], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


def check(directory: Path, media: Path, expected: dict[str, Item]) -> None:
    """All that was committed can be read, and a run with room ends as an undisturbed one."""
    encoder = ToyEncoder()
    with Collection.open(directory) as collection:
        kept = items_of(collection)
        # What was appended but not entered has no path yet.
        assert {id: item[0] for id, item in kept.items()}.items() <= {
            id: item[0] for id, item in expected.items()
        }.items()
        report = ingest([media], collection, encoder)
        assert report.items <= len(expected) - len(kept) + 16
        assert items_of(collection) == expected


@pytest.mark.parametrize("limit", [40_000])
def test_a_file_that_may_not_grow_is_one_clear_error(
    tmp_path: Path, media: Path, expected: dict[str, Item], limit: int
) -> None:
    directory = tmp_path / "collection"
    done = index(directory, media, limit)
    assert done.returncode == 2, done.stderr
    assert "can't write to the collection" in done.stdout
    assert "the same command goes on" in done.stdout
    check(directory, media, expected)


@pytest.mark.slow
def test_a_full_disk_is_one_clear_error_and_keeps_what_was_committed(
    disk: Path, media: Path, expected: dict[str, Item]
) -> None:
    done = index(disk / "collection", media)
    assert done.returncode == 2, done.stderr
    assert "No space left on device" in done.stdout
    assert "free some space" in done.stdout
    again = index(disk / "collection", media)  # still full
    assert again.returncode == 2, again.stderr
    remount(disk, "size=50m")
    check(disk / "collection", media, expected)


def test_a_collection_that_cannot_be_written_to_can_be_searched(
    disk: Path, media: Path, expected: dict[str, Item]
) -> None:
    remount(disk, "size=50m")
    encoder = ToyEncoder()
    with Collection.create(disk / "collection", encoder.spec) as collection:
        ingest([media], collection, encoder)
    remount(disk, "ro")
    try:
        with Collection.open(disk / "collection") as collection:
            assert items_of(collection) == expected
            assert len(collection.nearest(np.ones(DIM, np.float32), k=3).rows) == 3
            with pytest.raises(CollectionError, match="Read-only") as caught:
                ingest([media], collection, encoder)
            assert "searching works" in caught.value.hint
    finally:
        remount(disk, "rw")


def test_faults_that_are_not_the_disks_keep_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from indexer.table import VectorTable

    def broken(table: VectorTable, rows: object) -> None:
        raise ValueError(f"no column for {type(rows).__name__}")

    encoder = ToyEncoder()
    write_text(tmp_path / "a.txt", 1)
    monkeypatch.setattr(VectorTable, "append", broken)
    with (
        Collection.create(tmp_path / "collection", encoder.spec) as collection,
        pytest.raises(ValueError, match="no column"),
    ):
        ingest([tmp_path], collection, encoder)
