"""A catalogue with damage anywhere: whoever asks gets an answer, or is told what to do."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from indexer import Collection, duplicates, ingest
from indexer.catalogue import CATALOGUE_NAME
from omni_encoder import CollectionError
from tests.toy import ToyEncoder
from tests.unit.indexer.folders import write_folder

PAGE = 4096


def questions(folder: Path) -> dict[str, Callable[[Collection], object]]:
    """What is asked of a collection, by readers and by a writer."""
    anything = np.ones(ToyEncoder().spec.dim, np.float32)
    return {
        "counts": lambda one: one.counts(),
        "problems": lambda one: one.problems(),
        "records": lambda one: one.records(one.nearest(anything, k=50).rows),
        "where": lambda one: one.nearest(anything, k=5, where="path LIKE '%image%'"),
        "duplicates": duplicates,
        "ingest": lambda one: ingest([folder], one, ToyEncoder()),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "media", texts=20, images=30)


@pytest.fixture
def directory(tmp_path: Path, folder: Path) -> Path:
    with Collection.create(tmp_path / "c", ToyEncoder().spec) as collection:
        ingest([folder], collection, ToyEncoder())
    return tmp_path / "c"


def is_told(directory: Path, content: bytes, ask: Callable[[Collection], object]) -> bool:
    """Whether a question to a damaged catalogue is answered by what to do, and nothing else."""
    for path in directory.glob(f"{CATALOGUE_NAME}*"):
        path.unlink()
    (directory / CATALOGUE_NAME).write_bytes(content)
    try:
        with Collection.open(directory) as collection:
            ask(collection)
    except CollectionError as error:
        said = f"{error.message} {error.hint}"
        assert CATALOGUE_NAME in said
        assert "delete this file" in said
        return True
    return False


TOLD = {
    "meta": {"counts", "ingest"},
    "files": {"problems", "records", "duplicates"},
    "files_by_content": {"records", "where"},
    "contents": {"counts", "problems", "ingest"},
    "suspects": {"ingest"},
    "passed": {"ingest"},
    "folders": {"ingest"},
    "sums": set[str](),  # these are computed anew
}
"""Who is told when the first page of a table or an index is no page any more."""


def test_whoever_needs_a_page_that_is_none_any_more_is_told(folder: Path, directory: Path) -> None:
    whole = (directory / CATALOGUE_NAME).read_bytes()
    with closing(sqlite3.connect(directory / CATALOGUE_NAME)) as connection:
        found = connection.execute("SELECT name, rootpage FROM sqlite_master WHERE rootpage > 0")
        pages = dict(found.fetchall())
    asked = questions(folder)
    for name, page in pages.items():
        content = bytearray(whole)
        content[(page - 1) * PAGE] = 0xFF  # there is no page of this kind
        assert {one for one, ask in asked.items() if is_told(directory, content, ask)} == TOLD[name]
    for content in (b"x" * 16 + whole[16:], whole[:PAGE], whole[: len(whole) // 2]):
        assert all(is_told(directory, content, ask) for ask in asked.values())


def test_damage_to_the_catalogue_is_never_a_raw_error(folder: Path, directory: Path) -> None:
    path = directory / CATALOGUE_NAME
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for turn in range(36):
        content = bytearray(whole)
        start = turn % (len(whole) // PAGE) * PAGE + (100 if turn < 18 else 0)
        for place in generator.integers(start, start + PAGE - 100, 60 if turn % 2 else 400):
            content[place] ^= 1 << int(generator.integers(8))
        is_told(directory, content, list(questions(folder).values())[turn % 6])

    path.unlink()
    with Collection.open(directory) as collection:
        report = ingest([folder], collection, ToyEncoder())
    assert (report.encoded, report.reused) == (0, 50)
