"""A catalogue with damage anywhere: whoever asks gets an answer, or is told what to do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from indexer import Collection, duplicates, ingest
from indexer.catalogue import CATALOGUE_NAME
from omni_encoder import CollectionError
from tests.toy import ToyEncoder
from tests.unit.indexer.folders import write_folder

PAGE = 4096


def questions(folder: Path) -> list[Callable[[Collection], object]]:
    """What is asked of a collection, by readers and by a writer."""
    anything = np.ones(ToyEncoder().spec.dim, np.float32)
    return [
        lambda one: one.counts(),
        lambda one: one.problems(),
        lambda one: one.records(one.nearest(anything, k=50).rows),
        lambda one: one.nearest(anything, k=5, where="path LIKE '%image%'"),
        duplicates,
        lambda one: ingest([folder], one, ToyEncoder()),
    ]


def test_damage_to_the_catalogue_is_never_a_raw_error(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "media", texts=20, images=30)
    directory = tmp_path / "c"
    with Collection.create(directory, ToyEncoder().spec) as collection:
        ingest([folder], collection, ToyEncoder())
    path = directory / CATALOGUE_NAME
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    told: list[str] = []
    for turn in range(60):
        content = bytearray(whole)
        start = turn % (len(whole) // PAGE) * PAGE + (100 if turn < 30 else 0)
        for place in generator.integers(start, start + PAGE - 100, 60 if turn % 2 else 400):
            content[place] ^= 1 << int(generator.integers(8))
        ask = questions(folder)[turn % 6]
        path.write_bytes(content)
        try:
            with Collection.open(directory) as collection:
                ask(collection)
        except CollectionError as error:
            told.append(f"{error.message} {error.hint}")
    assert len(told) > 9
    assert all(CATALOGUE_NAME in one and "delete this file" in one for one in told)

    path.unlink()
    with Collection.open(directory) as collection:
        report = ingest([folder], collection, ToyEncoder())
    assert (report.encoded, report.reused) == (0, 50)
