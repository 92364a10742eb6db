import os
import shutil
import time
from pathlib import Path

import pytest

from indexer import names
from indexer.catalogue import CATALOGUE_NAME, Catalogue
from indexer.entries import ContentKey, ContentRow, FileRow, FileStamp
from indexer.names import NamesFile
from indexer.words import Unit
from omni_encoder import Modality

RED, BLUE = (ContentKey(letter * 32, Modality.IMAGE) for letter in "ab")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    enter(tmp_path, (b"/a/red-car.jpg", RED), (b"/a/caf\xff car.jpg", BLUE))
    return tmp_path


def enter(directory: Path, *files: tuple[bytes, ContentKey]) -> None:
    catalogue = Catalogue.open_to_write(directory)
    catalogue.record(
        [FileRow(path, FileStamp(1, 1, 1), key) for path, key in files],
        [ContentRow(key, 1, partial=False) for _, key in files],
    )
    catalogue.close()


def found(index: NamesFile, word: str) -> list[ContentKey]:
    return index.contents(Unit((word,)))


def test_contents_are_found_by_the_names_of_their_files(directory: Path) -> None:
    index = NamesFile(directory, directory / "cache")

    assert found(index, "red") == [RED]
    assert found(index, "car") == [RED, BLUE]
    assert found(index, "jpg") == []
    assert index.contents(Unit(("red", "car"))) == [RED]


def test_a_renamed_file_is_found_by_its_new_name_only_and_at_once(directory: Path) -> None:
    index, other = (NamesFile(directory, directory / "cache") for _ in range(2))
    assert found(index, "red") == found(other, "red") == [RED]

    catalogue = Catalogue.open_to_write(directory)
    catalogue.forget([b"/a/red-car.jpg"])
    catalogue.close()
    enter(directory, (b"/b/wagon.jpg", RED), (b"/a/caf\xff car.jpg", RED))

    for one in (index, other, NamesFile(directory, directory / "cache")):
        assert found(one, "red") == []
        assert found(one, "wagon") == [RED]
        assert found(one, "car") == [RED]


def test_the_catalogue_is_not_read_again_while_it_stays_as_it_is(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = time.time() - 10
    for path in directory.glob(f"{CATALOGUE_NAME}*"):
        os.utime(path, (past, past))
    index = NamesFile(directory, directory / "cache")
    assert found(index, "red") == [RED]
    monkeypatch.setattr(names, "_attach", None)  # would fail

    assert found(index, "car") == [RED, BLUE]
    assert found(NamesFile(directory, directory / "cache"), "car") == [RED, BLUE]


def test_without_a_catalogue_nothing_is_known(directory: Path) -> None:
    index = NamesFile(directory, directory / "cache")
    assert found(index, "red") == [RED]
    for path in directory.glob(f"{CATALOGUE_NAME}*"):
        path.unlink()

    assert found(index, "red") == []
    assert found(NamesFile(directory / "none", directory / "cache"), "red") == []


def test_a_damaged_index_is_made_anew(directory: Path) -> None:
    path = directory / "cache" / names.NAME
    assert found(NamesFile(directory, path.parent), "red") == [RED]
    path.write_bytes(b"x" * 5000)

    assert found(NamesFile(directory, path.parent), "red") == [RED]
    shutil.rmtree(path.parent)
    assert found(NamesFile(directory, path.parent), "red") == [RED]


def test_where_nothing_can_be_written_names_are_kept_in_memory(directory: Path) -> None:
    blocked = directory / "file"
    blocked.write_text("no folder")

    assert found(NamesFile(directory, blocked), "red") == [RED]
