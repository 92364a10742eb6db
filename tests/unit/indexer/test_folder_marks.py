"""Folders that are told by a digest: whatever happens to them, nothing is taken for unchanged."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexer import Collection, IngestOptions, ingest
from indexer.catalogue import CATALOGUE_NAME, Catalogue
from indexer.folders import digest_of
from indexer.scan import scan
from indexer.selection import Selection
from indexer.table import VectorTable
from tests.toy import ToyEncoder
from tests.unit.indexer.folders import settle, write_text

FOLDERS = ("", "a", "a/b", "c", "c/d/e")


def write_tree(root: Path) -> Path:
    for number in range(12):
        folder = root / FOLDERS[number % len(FOLDERS)]
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / f"{number}.txt", number, words=20)
    return root


def marks_of(collection: Collection, root: Path) -> dict[bytes, bytes]:
    catalogue = Catalogue.open_to_read(collection.directory)
    found = catalogue.folders_under([os.fsencode(root)]).get(os.fsencode(root), {})
    catalogue.close()
    return {folder: mark.digest for folder, mark in found.items()}


def unmark(collection: Collection) -> None:
    connection = sqlite3.connect(collection.directory / CATALOGUE_NAME)
    with connection:
        connection.execute("DELETE FROM folders")
    connection.close()


def files_in(collection: Collection, root: Path) -> object:
    catalogue = Catalogue.open_to_read(collection.directory)
    found = catalogue.files_under([os.fsencode(root)])
    catalogue.close()
    return found


def change_something(root: Path, generator: np.random.Generator, number: int) -> None:
    """One of the things that happen to folders."""
    files = sorted(path for path in root.rglob("*.txt") if path.is_file())
    folders = sorted(path for path in root.rglob("*") if path.is_dir())
    folder = root / FOLDERS[generator.integers(len(FOLDERS))]
    folder.mkdir(parents=True, exist_ok=True)
    chosen = files[generator.integers(len(files))] if files else folder / "first.txt"
    match generator.integers(9):
        case 0:
            write_text(folder / f"new{number}.txt", 100 + number, words=20)
        case 1:
            chosen.unlink(missing_ok=True)
        case 2:
            write_text(chosen, 200 + number, words=20)
        case 3 if files:
            chosen.rename(folder / f"moved{number}.txt")
        case 4 if files:
            shutil.copy2(chosen, folder / f"copy{number}.txt")
        case 5 if folders:
            shutil.rmtree(folders[generator.integers(len(folders))])
        case 6 if folders:
            folders[generator.integers(len(folders))].rename(root / f"folder{number}")
        case 7:
            (folder / ".omnidexignore").write_text("*1.txt\n")
        case _:
            (folder / f"bad{number}.txt").write_bytes(b"")
            settle(folder / f"bad{number}.txt")


@pytest.mark.parametrize("seed", range(6))
def test_marks_change_nothing_but_the_time(tmp_path: Path, encoder: ToyEncoder, seed: int) -> None:
    generator = np.random.default_rng(seed)
    root = write_tree(tmp_path / "media")
    with (
        Collection.create(tmp_path / "marked", encoder.spec) as marked,
        Collection.create(tmp_path / "bare", encoder.spec) as bare,
    ):
        for number in range(8):
            options = IngestOptions(
                prune=bool(generator.integers(2)),
                selection=Selection(excludes=("a/",) if generator.integers(4) == 0 else ()),
            )
            reports = [
                replace(ingest([root], collection, encoder, options=options), seconds=0)
                for collection in (marked, bare)
            ]
            assert reports[0] == reports[1]
            assert files_in(marked, root) == files_in(bare, root)
            unmark(bare)
            change_something(root, generator, number)


@pytest.fixture
def encoder() -> ToyEncoder:
    return ToyEncoder()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "media")


def test_a_folder_that_stays_as_it_is_is_counted_and_not_read_back(
    tmp_path: Path, tree: Path, encoder: ToyEncoder
) -> None:
    with Collection.create(tmp_path / "collection", encoder.spec) as collection:
        ingest([tree], collection, encoder)
        catalogue = Catalogue.open_to_read(collection.directory)
        found = scan([tree], marks=catalogue.folders_under([os.fsencode(tree)]))
        catalogue.close()
        assert (len(found.same), len(found.looked), found.files) == (6, 0, {})
        assert (found.count, ingest([tree], collection, encoder).unchanged) == (12, 12)
        assert found.has(os.fsencode(tree / "a" / "1.txt"))


@pytest.mark.parametrize(
    "disturb",
    [
        lambda path: path.write_text(path.read_text().upper()),
        lambda path: os.utime(path, ns=(1, 1)),
        lambda path: path.rename(path.with_name("other.txt")),
        lambda path: path.unlink(),
        lambda path: path.with_name("more.txt").write_text("one more"),
        lambda path: path.with_name("picture.jpg").write_bytes(b"no picture"),
    ],
)
def test_any_change_to_a_folder_gives_it_another_digest(
    tree: Path, disturb: Callable[[Path], object]
) -> None:
    before = scan([tree]).looked
    disturb(tree / "a" / "1.txt")
    after = scan([tree]).looked
    assert before.pop(os.fsencode(tree / "a")) != after.pop(os.fsencode(tree / "a"))
    assert before == after


def test_whatever_changes_the_catalogue_drops_the_marks(
    tmp_path: Path, tree: Path, encoder: ToyEncoder
) -> None:
    with Collection.create(tmp_path / "collection", encoder.spec) as collection:
        ingest([tree], collection, encoder)
        assert len(marks_of(collection, tree)) == 6
        collection.remove([tree / "a" / "1.txt"])
        assert not marks_of(collection, tree)
        assert ingest([tree], collection, encoder).encoded == 1


def test_a_folder_of_a_file_that_may_still_change_is_looked_into_again(
    tmp_path: Path, tree: Path, encoder: ToyEncoder
) -> None:
    (tree / "c" / "young.txt").write_text("written just now")
    with Collection.create(tmp_path / "collection", encoder.spec) as collection:
        ingest([tree], collection, encoder)
        empty = [folder for folder, digest in marks_of(collection, tree).items() if not digest]
        assert empty == [os.fsencode(tree / "c")]


def test_digests_take_any_number_that_a_file_system_gives() -> None:
    numbers = [2**63 + 5, -1, 0, 2**64 - 1]
    assert digest_of(["a"], numbers) == digest_of(["a"], numbers)
    assert digest_of(["a"], numbers) != digest_of(["a"], [2**63 + 6, *numbers[1:]])
    assert digest_of(["\udcff"], [1]) != digest_of(["\udcfe"], [1])


def test_sums_that_are_kept_equal_sums_made_anew(
    tmp_path: Path, tree: Path, encoder: ToyEncoder
) -> None:
    with Collection.create(tmp_path / "collection", encoder.spec) as collection:
        for number in range(4):
            ingest([tree], collection, encoder)
            table = VectorTable.open(collection.directory, encoder.spec)
            catalogue = Catalogue.open_to_read(collection.directory)
            kept = catalogue.sums(table.version_digest())
            catalogue.close()
            assert kept is not None
            for modality, (items, total) in table.sums().items():
                assert kept[modality][0] == items
                np.testing.assert_array_equal(kept[modality][1], total)
            write_text(tree / "a" / "1.txt", 300 + number, words=20)
            (tree / f"{number}.txt").unlink(missing_ok=True)
