"""Whenever an ingest is cut off, the next one ends with exactly what an undisturbed one has."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from indexer import Collection, IngestOptions, catalogue, ingest, writer
from indexer.sums import Total
from indexer.table import VectorTable
from tests.toy import ToyEncoder
from tests.unit.indexer.folders import (
    Item,
    items_of,
    settle,
    write_folder,
    write_image,
    write_sound,
    write_text,
)

SMALL = IngestOptions(batch_items=4, commit_rows=12)
REPOSITORY = Path(__file__).parents[2]


def undisturbed(media: Path, directory: Path) -> dict[str, Item]:
    encoder = ToyEncoder()
    with Collection.create(directory, encoder.spec) as collection:
        ingest([media], collection, encoder, options=IngestOptions())
        return items_of(collection)


def test_killed_at_random_times_it_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    media = write_folder(tmp_path / "media", texts=110, images=80, sounds=4)
    for seed in range(0, 40, 8):
        write_text(media / f"copy{seed}.txt", seed, words=150 if seed % 5 == 0 else 20)
    (media / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    expected = undisturbed(media, tmp_path / "expected")
    generator = random.Random(0)
    directory = tmp_path / "collection"
    command = [sys.executable, "-m", "tests.integration.ingest_child", directory, media]

    for _ in range(4):
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as child:
            assert child.stdout is not None
            for _ in range(generator.randint(3, 25)):
                assert child.stdout.readline()
            time.sleep(generator.uniform(0, 0.02))
            child.send_signal(signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL

    encoder = ToyEncoder()
    with Collection.open_or_create(directory, encoder.spec) as collection:
        report = ingest([media], collection, encoder, options=SMALL)
        assert 0 < report.encoded < 199  # the kills came in the middle
        assert items_of(collection) == expected
        assert [problem.path.name for problem in collection.problems()] == ["bad.png"]
        again = ingest([media], collection, encoder)
        assert (again.unchanged, again.failed_before, again.items) == (199, 1, 0)


class Killed(BaseException):
    """Stands for a SIGKILL: nothing of the writer runs after it."""


POINTS: list[tuple[type, str, int, bool]] = [
    # Where, at which call, and whether before the call or after it.
    (VectorTable, "append", 1, False),
    (VectorTable, "append", 3, True),
    (VectorTable, "append", 3, False),
    (catalogue.Catalogue, "record", 2, True),
    (catalogue.Catalogue, "mark", 1, True),
    (Total, "add", 1, True),  # when items were read that are about to be deleted
    (VectorTable, "compact", 1, False),
    (VectorTable, "set_captions", 1, True),
    (catalogue.Catalogue, "forget", 1, True),
    (VectorTable, "take_out", 1, True),
    (VectorTable, "take_out", 1, False),
    (catalogue.Catalogue, "acquit", 1, True),
]


def kill_at(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, call: int, *, after: bool
) -> None:
    original: Callable[..., object] = getattr(owner, name)
    calls = 0

    def method(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            raise Killed
        result = original(*arguments, **options)
        if calls == call:
            raise Killed
        return result

    def finish(self: writer.Writer, *, interrupted: bool = False) -> None:
        if not interrupted:
            finishing(self)

    finishing = writer.Writer.finish
    monkeypatch.setattr(owner, name, method)
    monkeypatch.setattr(writer.Writer, "finish", finish)


def make(folder: Path) -> Path:
    return write_folder(folder, texts=8, images=4)


def change(media: Path) -> None:
    """Every kind of change there is."""
    (media / "a" / "text000.txt").unlink()
    (media / "a" / "text002.txt").rename(media / "moved.txt")
    write_text(media / "b" / "text001.txt", 500, words=300)
    write_image(media / "a" / "image000.png", 501)
    os.utime(media / "a" / "image000.png", (1, 1))  # it is as large as it was
    write_sound(media / "new.wav", 502)
    (media / "b" / "image001.txt").write_text("a caption")
    settle(media / "b" / "image001.txt")
    for seed in range(503, 520):
        write_text(media / f"new{seed}.txt", seed, words=20)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Item]:
    folder = tmp_path_factory.mktemp("changed")
    change(make(folder / "media"))
    return undisturbed(folder / "media", folder / "collection")


@pytest.mark.parametrize(("owner", "name", "call", "after"), POINTS)
def test_cut_off_between_any_two_steps_nothing_is_lost_or_doubled(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, Item],
    *,
    owner: type,
    name: str,
    call: int,
    after: bool,
) -> None:
    media = make(tmp_path / "media")
    encoder = ToyEncoder()
    with Collection.create(tmp_path / "collection", encoder.spec) as collection:
        ingest([media], collection, encoder, options=SMALL)
        change(media)
        with monkeypatch.context() as patched:
            kill_at(patched, owner, name, call, after=after)
            with pytest.raises(Killed):
                ingest([media], collection, encoder, options=SMALL)
        ingest([media], collection, encoder, options=SMALL)

        assert items_of(collection) == changed
        assert not collection.problems()
        assert ingest([media], collection, encoder).items == 0


def test_a_content_whose_file_went_away_meanwhile_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = write_folder(tmp_path / "media", texts=8)
    encoder = ToyEncoder()
    with Collection.create(tmp_path / "collection", encoder.spec) as collection:
        with monkeypatch.context() as patched:
            # The vectors are in, and the catalogue doesn't know of them.
            kill_at(patched, catalogue.Catalogue, "record", 1, after=False)
            with pytest.raises(Killed):
                ingest([media], collection, encoder)
        for path in (media / "a").iterdir():
            path.unlink()
        ingest([media], collection, encoder)
        assert items_of(collection) == undisturbed(media, tmp_path / "expected")
