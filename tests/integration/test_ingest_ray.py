"""Indexing on a local Ray cluster: the rows of one process, whatever dies."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from indexer import Collection, IngestOptions, ingest
from omni_encoder import EncoderError
from tests.integration.ray_child import OPTIONS, Broken, Mortal
from tests.toy import ToyEncoder
from tests.unit.indexer.folders import Item, items_of, settle, write_folder

REPOSITORY = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="ray is missing: pip install .[ray]"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two CPUs; the tests' folder is where the workers find their encoders."""
    import ray

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.setenv("PYTHONPATH", str(REPOSITORY))
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    media = write_folder(tmp_path_factory.mktemp("ray") / "media", texts=90, images=40, sounds=2)
    for number in (0, 1):
        copy = media / f"copy{number}.png"
        copy.write_bytes((media / "a" / "image000.png").read_bytes())
        settle(copy)
    (media / "copy1.txt").write_text("a caption")
    (media / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for name in ("copy1.txt", "bad.png"):
        settle(media / name)
    return media


@pytest.fixture(scope="module")
def expected(media: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Item]:
    encoder = ToyEncoder()
    with Collection.create(tmp_path_factory.mktemp("local") / "c", encoder.spec) as collection:
        ingest([media], collection, encoder)
        return items_of(collection)


def test_the_rows_are_those_of_a_local_run(
    cluster: None, media: Path, collection: Collection, expected: dict[str, Item]
) -> None:
    report = ingest([media], collection, ToyEncoder, options=OPTIONS)
    assert items_of(collection) == expected
    assert (report.encoded, report.reused, report.failed) == (132, 2, 1)
    assert [problem.path.name for problem in collection.problems()] == ["bad.png"]
    again = ingest([media], collection, ToyEncoder, options=OPTIONS)
    assert (again.unchanged, again.failed_before, again.items) == (134, 1, 0)


def test_what_is_known_is_not_encoded_again(
    cluster: None, media: Path, collection: Collection
) -> None:
    ingest([media / "a"], collection, ToyEncoder())
    report = ingest([media], collection, ToyEncoder, options=OPTIONS)
    assert (report.encoded, report.reused, report.unchanged) == (66, 2, 66)


def test_a_worker_that_is_killed_half_way_costs_nothing_but_time(
    cluster: None, media: Path, collection: Collection, expected: dict[str, Item], tmp_path: Path
) -> None:
    once = tmp_path / "killed"
    report = ingest([media], collection, Mortal(once), options=OPTIONS)
    assert once.exists()
    assert items_of(collection) == expected
    assert (report.encoded, report.reused, report.failed) == (132, 2, 1)


def test_a_file_that_always_kills_its_worker_is_quarantined_alone(
    cluster: None, media: Path, collection: Collection, expected: dict[str, Item]
) -> None:
    target = media / "b" / "text031.txt"
    deadly = target.read_text().split()[0]
    alike = [path for path in media.rglob("*.txt") if deadly in path.read_text()]
    assert alike == [target]
    report = ingest([media], collection, Mortal(deadly=deadly), options=OPTIONS)
    [crashed] = [problem for problem in report.problems if problem.path.name != "bad.png"]
    assert (crashed.path.name, crashed.reason) == ("text031.txt", "crashed")
    left = {id: item for id, item in expected.items() if item[1] != ("text031.txt",)}
    assert items_of(collection) == left
    retried = replace(OPTIONS, retry_failed=True)
    assert ingest([media], collection, ToyEncoder, options=retried).encoded == 1
    assert items_of(collection) == expected


def test_a_fault_of_the_encoder_is_the_error_of_a_local_run(
    cluster: None, media: Path, collection: Collection
) -> None:
    with pytest.raises(EncoderError, match="out of order") as caught:
        ingest([media], collection, Broken, options=OPTIONS)
    assert caught.value.hint == "mend it"
    assert items_of(collection) == {}


def test_a_driver_that_is_killed_half_way_keeps_finished_shards(
    media: Path, tmp_path: Path, expected: dict[str, Item]
) -> None:
    directory = tmp_path / "collection"
    command = [sys.executable, "-m", "tests.integration.ray_child", directory, media]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as child:
        assert child.stdout is not None
        for line in child.stdout:
            phase, done = line.split()
            if phase == b"read" and int(done) > 30:
                break
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    with Collection.open(directory) as collection:
        report = ingest([media], collection, ToyEncoder(), options=IngestOptions())
        assert 30 < report.unchanged + report.failed_before < 135
        assert report.encoded + report.reused < 105
        assert items_of(collection) == expected
