"""Decoding in processes of their own: the same items, and no file takes others along."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from indexer import Collection, IngestOptions, ingest
from indexer.journal import Journal
from omni_encoder import EncoderError, MediaItem, Modality, media_remote
from tests.toy import ToyEncoder
from tests.unit.indexer.folders import (
    items_of,
    names_in,
    settle,
    write_folder,
    write_image,
    write_text,
)

ISOLATED = IngestOptions(batch_items=4, commit_rows=8, isolate=True)


def test_decoding_elsewhere_gives_the_same_items(
    media: Path, collection: Collection, encoder: ToyEncoder, tmp_path: Path
) -> None:
    ingest([media], collection, encoder, options=ISOLATED)
    with Collection.create(tmp_path / "here", encoder.spec) as here:
        ingest([media], here, encoder, options=replace(ISOLATED, isolate=False))
        assert items_of(here) == items_of(collection)


HOSTILE = """
import os, pathlib, runpy, signal, sys, time
from omni_encoder import media_worker
original = media_worker.open_media
answers = os.dup(1)
def open_media(path, layout):
    if path.name.startswith('crash'):
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.name.startswith('hang'):
        path.with_suffix('.hangs').touch()
        os.write(answers, bytes(1))
        time.sleep(1000)
    if path.name.startswith('eat'):
        raise MemoryError
    return original(path, layout)
media_worker.open_media = open_media
sys.exit(media_worker.main(int(sys.argv[1])))
"""


def test_files_that_crash_hang_or_eat_memory_are_quarantined_and_stop_nothing(
    media: Path,
    collection: Collection,
    encoder: ToyEncoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original, now = subprocess.Popen, time.monotonic

    def monotonic() -> float:
        """A clock that needs no waiting: as soon as the file hangs, a day has passed."""
        return now() + 86_400 * (media / "hang.hangs").exists()

    def hostile(command: Sequence[str], **options: object) -> object:
        return original([command[0], "-c", HOSTILE, command[-1]], **options)

    for number, name in enumerate(("crash1", "crash2", "hang", "eat")):
        write_image(media / f"{name}.png", 800 + number)
    with monkeypatch.context() as patched:
        patched.setattr(media_remote.subprocess, "Popen", hostile)
        patched.setattr(media_remote, "time", SimpleNamespace(monotonic=monotonic))
        options = replace(ISOLATED, file_seconds=600.0, decode_threads=1)
        report = ingest([media], collection, encoder, options=options)
    assert report.encoded == 18
    assert {problem.path.stem: problem.reason for problem in report.problems} == {
        "crash1": "crashed",
        "crash2": "crashed",
        "hang": "timed_out",
        "eat": "too_large",
    }
    # They are left alone until they change or are asked for.
    assert ingest([media], collection, encoder, options=ISOLATED).failed_before == 4
    retried = ingest([media], collection, encoder, options=replace(ISOLATED, retry_failed=True))
    assert (retried.encoded, retried.failed) == (4, 0)


def test_after_a_file_took_the_process_along_the_next_run_decodes_elsewhere(
    media: Path, collection: Collection, encoder: ToyEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from indexer import Collection, ingest, reading\n"
        "from tests.toy import ToyEncoder\n"
        "original = reading.open_media\n"
        "def deadly(path, layout):\n"
        "    if path.name == 'image004.png': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return original(path, layout)\n"
        "reading.open_media = deadly\n"
        "with Collection.open(Path(sys.argv[1])) as collection:\n"
        "    ingest([Path(sys.argv[2])], collection, ToyEncoder())\n"
    )
    command = [sys.executable, "-c", child, collection.directory, media]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -signal.SIGKILL
    left = [path.read_bytes() for path in collection.directory.glob("reading-*")]
    assert os.fsencode(media / "a" / "image004.png") in left

    started: list[object] = []
    original = media_remote.RemoteDecoder._start

    def start(decoder: media_remote.RemoteDecoder) -> "subprocess.Popen[bytes]":
        started.append(decoder)
        return original(decoder)

    monkeypatch.setattr(media_remote.RemoteDecoder, "_start", start)
    assert ingest([media], collection, encoder).encoded == 18
    assert started
    assert not Journal(collection.directory).suspects()
    # Once all is well, small runs don't pay for processes.
    started.clear()
    write_text(media / "new.txt", 700)
    assert ingest([media], collection, encoder).encoded == 1
    assert not started
    assert not list(collection.directory.glob("reading-*"))


def test_an_interruption_ends_a_hanging_decoder_at_once(
    collection: Collection, encoder: ToyEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = write_folder(tmp_path / "some", texts=12)
    stopped: list[float] = []

    class Interrupted(ToyEncoder):
        def encode(self, items: Sequence[MediaItem]) -> np.ndarray:
            for decoder in decoders:  # they hang from now on
                if decoder._child is not None:
                    decoder._child.send_signal(signal.SIGSTOP)
            stopped.append(time.monotonic())
            raise KeyboardInterrupt(len(items))

    decoders: list[media_remote.RemoteDecoder] = []
    original = media_remote.RemoteDecoder._start

    def start(decoder: media_remote.RemoteDecoder) -> "subprocess.Popen[bytes]":
        decoders.append(decoder)
        return original(decoder)

    monkeypatch.setattr(media_remote.RemoteDecoder, "_start", start)
    with pytest.raises(KeyboardInterrupt):
        ingest([media], collection, Interrupted(), options=replace(ISOLATED, batch_items=1))
    assert time.monotonic() - stopped[0] < 10


@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_batches_that_take_too_much_memory_are_halved(
    media: Path, collection: Collection, tmp_path: Path, error: type[Exception]
) -> None:
    class Small(ToyEncoder):
        largest = 0

        def encode(self, items: Sequence[MediaItem]) -> np.ndarray:
            if len(items) > 3:
                raise error("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
            self.largest = max(self.largest, len(items))
            return super().encode(items)

    encoder, whole = Small(), ToyEncoder()
    ingest([media], collection, encoder, options=IngestOptions(batch_items=10))
    assert 2 <= encoder.largest <= 3
    with Collection.create(tmp_path / "whole", whole.spec) as other:
        ingest([media], other, whole)
        assert items_of(other) == items_of(collection)


def test_one_item_that_takes_too_much_memory_is_one_clear_error(
    media: Path, collection: Collection
) -> None:
    class Full(ToyEncoder):
        def encode(self, items: Sequence[MediaItem]) -> np.ndarray:
            if items[0].modality is Modality.AUDIO:
                raise MemoryError
            return super().encode(items)

    with pytest.raises(EncoderError, match="more memory than there is") as caught:
        ingest([media], collection, Full())
    assert caught.value.hint
    assert names_in(collection) <= {path.name for path in media.rglob("*.*")}


def test_other_faults_of_an_encoder_are_not_taken_for_a_lack_of_memory(
    media: Path, collection: Collection
) -> None:
    class Broken(ToyEncoder):
        def encode(self, items: Sequence[MediaItem]) -> np.ndarray:
            raise RuntimeError(f"shapes of {len(items)} don't match")

    settle(media / "a" / "text000.txt")
    with pytest.raises(RuntimeError, match="shapes"):
        ingest([media], collection, Broken())
