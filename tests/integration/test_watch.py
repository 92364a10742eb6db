"""Following folders: the same results as an ingest, without being asked."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from indexer import Collection, IngestReport, WatchOptions, watch
from omni_encoder import MediaError, OmniError
from tests.toy import ToyEncoder
from tests.unit.indexer.folders import names_in, write_image, write_text

QUICK = WatchOptions(quiet_s=0.1, patience_s=2.0, retry_s=0.1)


class Watched:
    """A watch on a thread of its own, whose reports come one by one."""

    def __init__(self, reports: Callable[[threading.Event], Iterator[IngestReport]]) -> None:
        self.stop = threading.Event()
        self.loads = 0
        self._condition = threading.Condition()
        self._reports: list[IngestReport] = []
        self._thread = threading.Thread(target=self._run, args=(reports,), daemon=True)
        self._thread.start()

    def _run(self, reports: Callable[[threading.Event], Iterator[IngestReport]]) -> None:
        for report in reports(self.stop):
            with self._condition:
                self._reports.append(report)
                self._condition.notify_all()

    def until(self, condition: Callable[[IngestReport], bool]) -> IngestReport:
        """The next report that fits."""
        with self._condition:
            while True:
                while not self._reports:
                    assert self._condition.wait(90), "no report came"
                report = self._reports.pop(0)
                if condition(report):
                    return report

    def end(self) -> None:
        self.stop.set()
        self._thread.join(90)
        assert not self._thread.is_alive()


@pytest.fixture
def watched(media: Path, collection: Collection) -> Iterator[Watched]:
    def load() -> ToyEncoder:
        following.loads += 1
        return ToyEncoder()

    def reports(stop: threading.Event) -> Iterator[IngestReport]:
        with Collection.open(collection.directory) as own:
            yield from watch([media], own, load, watching=QUICK, stop=stop)

    following = Watched(reports)
    yield following
    following.end()


def test_it_catches_up_and_then_follows(
    watched: Watched, media: Path, collection: Collection
) -> None:
    assert watched.until(lambda report: report.encoded > 0).encoded == 18
    write_text(media / "new.txt", 400)
    assert watched.until(lambda report: report.encoded > 0).encoded == 1
    (media / "a" / "new folder").mkdir()
    write_image(media / "a" / "new folder" / "deep.png", 401)
    assert watched.until(lambda report: report.encoded > 0).encoded == 1
    (media / "a" / "text000.txt").rename(media / "moved.txt")
    report = watched.until(lambda report: report.removed > 0)
    assert (report.encoded, report.removed) == (0, 1)
    assert {"new.txt", "deep.png", "moved.txt"} <= names_in(collection)
    assert watched.loads == 1


def test_a_root_that_goes_away_is_kept_and_followed_again_when_it_is_back(
    watched: Watched, media: Path, collection: Collection, tmp_path: Path
) -> None:
    watched.until(lambda report: report.encoded > 0)
    before = names_in(collection)
    media.rename(tmp_path / "off")
    (tmp_path / "off").rename(media)
    write_text(media / "late.txt", 402)
    watched.until(lambda report: report.encoded == 1)
    assert names_in(collection) == before | {"late.txt"}


def test_it_waits_while_another_process_writes(
    watched: Watched, media: Path, collection: Collection
) -> None:
    watched.until(lambda report: report.encoded > 0)
    with collection.writing("rm"):
        write_text(media / "new.txt", 403)
        threading.Event().wait(0.6)
    watched.until(lambda report: report.encoded == 1)


def test_what_the_system_does_not_tell_is_found_by_the_next_look(
    media: Path, collection: Collection, tmp_path: Path
) -> None:
    options = WatchOptions(quiet_s=0.1, rescan_s=0.3)
    reports = watch([media], collection, ToyEncoder(), watching=options)
    assert next(reports).encoded == 18
    assert next(reports).unchanged == 18
    reports.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "watcher"]


def test_a_root_that_is_not_there_at_the_start_is_an_error(
    media: Path, collection: Collection
) -> None:
    shutil.rmtree(media)
    with pytest.raises(MediaError):
        next(watch([media], collection, ToyEncoder()))


def test_a_collection_inside_a_root_does_not_wake_itself(media: Path) -> None:
    encoder = ToyEncoder()
    stop = threading.Event()
    with Collection.create(media / "collection", encoder.spec) as inside:
        reports = watch([media], inside, encoder, watching=QUICK, stop=stop)
        assert next(reports).encoded == 18
        threading.Timer(1.5, stop.set).start()
        # What was written just before the watch began may wake it once.
        assert len(list(reports)) <= 1


def test_a_system_that_cannot_tell_is_one_error(
    media: Path, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    import watchfiles

    def full(*_: object, **__: object) -> None:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr(watchfiles, "watch", full)
    reports = watch([media], collection, ToyEncoder(), watching=QUICK)
    next(reports)
    with pytest.raises(OmniError, match="limit reached") as caught:
        next(reports)
    assert "--poll" in caught.value.hint
