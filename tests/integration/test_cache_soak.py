"""Random adds, updates, deletes and queries, with processes killed and files damaged meanwhile."""

import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from indexer import Collection, SearchMode, build, segment
from indexer.exact import centre_rows
from indexer.manifest import read_manifest
from indexer.table import VectorTable
from tests.integration.cache_soak import (
    SPEC,
    advanced,
    apply,
    enter,
    key_of,
    state_after,
    vector_of,
)
from tests.toy import DIM
from tests.unit.indexer.test_cache import harm

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("operations", "kills", "faults"),
    [(30, 1, 12), pytest.param(20_000, 50, 200, marks=pytest.mark.slow)],
)
def test_nothing_is_lost_doubled_or_wrong_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operations: int, kills: int, faults: int
) -> None:
    monkeypatch.setattr(build, "CODED_ROWS", 40)
    monkeypatch.setattr("indexer.sync.CODED_ROWS", 40)
    monkeypatch.setattr("indexer.sync.REBUILD_ROWS", 10)
    monkeypatch.setattr("indexer.sync.REBUILD_SHARE", 0.3)
    monkeypatch.setattr(segment, "EXACT_ROWS", 20)
    generator = np.random.default_rng(0)
    directory = tmp_path / "collection"
    Collection.create(directory, SPEC).close()
    done, state = 0, state_after(0)
    chunk = operations // (kills + 1)
    for turn in range(kills + 1):
        if turn:
            done = killed(directory, done, operations, tmp_path / "journal", generator)
            state = settled(directory, done)
            done += state != state_after(done)
        with Collection.open(directory) as collection:
            for number in range(done, min(done + chunk, operations)):
                apply(collection, number, state)
                state = advanced(state, number)
                done = number + 1
                if generator.random() < faults / operations:
                    damage(directory, generator)
                if generator.random() < 0.2:
                    look(collection, state, generator)
            for _ in range(faults // (kills + 1) if operations < 100 else 0):
                damage(directory, generator)
                look(collection, state, generator)
            look(collection, state, generator)


def killed(
    directory: Path, done: int, last: int, journal: Path, generator: np.random.Generator
) -> int:
    """Let another process go on, kill it, and return how many operations it finished."""
    journal.write_text(str(done))
    command = [sys.executable, "-m", "tests.integration.cache_soak"]
    arguments = [str(directory), str(done), str(last + 1000), str(journal)]
    with subprocess.Popen([*command, *arguments], cwd=ROOT) as process:
        deadline = time.monotonic() + 60
        while journal.read_text() == str(done) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(float(generator.random()) * 0.3)
        process.send_signal(signal.SIGKILL)
    return int(journal.read_text())


def settled(directory: Path, done: int) -> dict[int, str | None]:
    """The state that a killed process has left: with or without its last operation.

    Items are committed before the paths that hold them, so those of a last addition may lack
    theirs. They are entered again, as the next run of an index does that finds the files.
    """
    with Collection.open(directory) as collection:
        with collection.writing("look"):
            pass
        found = names_in(collection)
        before, after = state_after(done), state_after(done + 1)
        assert found in (before, after)
        with collection.writing("again") as writer:
            held = {row.key for row in writer.catalogue.files_under([b"/media"]).values()}
            bare = {name for name in found if key_of(name) not in held}
            assert held <= {key_of(name) for name in found}
            assert bare <= after.keys() - before.keys()
            for name in bare:
                enter(writer, name)
    return found


def names_in(collection: Collection) -> dict[int, str | None]:
    found = collection.nearest(np.ones(DIM, np.float32), k=100_000)
    records = collection.records(found.rows)
    assert len({record.id for record in records}) == len(records)
    return {int(record.content, 16): record.caption for record in records}


def look(
    collection: Collection, state: dict[int, str | None], generator: np.random.Generator
) -> None:
    """Compare what is found with brute force over what must be there."""
    assert names_in(collection) == state
    if not state:
        return
    query = generator.standard_normal(DIM).astype(np.float32)
    query /= np.linalg.norm(query)
    manifest = read_manifest(collection.directory)
    scores = {}
    for name in state:
        raw = vector_of(name).astype(np.float16).astype(np.float32)
        centred = centre_rows(raw[None], manifest.mean(key_of(name).modality))[0]
        scores[key_of(name).content] = float(centred.astype(np.float64) @ query.astype(np.float64))
    for exact in (True, False):
        nearest = collection.nearest(query, k=10, mode=SearchMode(exact=exact))
        contents = [record.content for record in collection.records(nearest.rows)]
        assert len(contents) == min(10, len(state))
        own = [scores[content] for content in contents]
        np.testing.assert_allclose(nearest.scores, own, atol=1e-6)
        if exact:
            best = sorted(scores.values(), reverse=True)[:10]
            np.testing.assert_allclose(nearest.scores, best, atol=1e-6)


def damage(directory: Path, generator: np.random.Generator) -> None:
    """Damage a file of the cache, or drop all versions of the table but the newest."""
    files = sorted(path for path in directory.glob("cache/*/*") if path.is_file())
    how = int(generator.integers(5))
    if how < 4 and files:
        harm(files[generator.integers(len(files))], how, generator)
    elif how == 4:
        table = VectorTable.open(directory, SPEC)._table
        for name in table.tags.list():
            table.tags.delete(name)
        table.optimize(cleanup_older_than=timedelta(milliseconds=1))
