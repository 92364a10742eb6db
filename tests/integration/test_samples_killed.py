"""The installed command over the sample media: killed, and run again until it is done."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from indexer import Collection
from indexer.manifest import LANCE_NAME
from omni_encoder.model import tiny_checkpoint
from tests.unit.indexer.folders import Item, items_of

SAMPLES = Path(__file__).parents[2] / "samples" / "media"
LONGEST = 60.0


def start(directory: Path, checkpoint: Path) -> "subprocess.Popen[bytes]":
    script = Path(sys.executable).with_name("omnidex")
    code = "from omnidex_cli.app import run; run()"
    omnidex = [script] if script.exists() else [sys.executable, "-c", code]
    return subprocess.Popen(
        [*omnidex, "index", SAMPLES, "-c", directory, "--encoder", f"omni:{checkpoint}"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )


def kill_when(child: "subprocess.Popen[bytes]", ripe: Callable[[], bool]) -> None:
    ends = time.monotonic() + LONGEST
    while not ripe():
        assert child.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL


def items_in(directory: Path) -> dict[str, Item]:
    with Collection.open(directory) as collection:
        assert not collection.problems()
        assert sum(collection.counts().values()) > 60
        return items_of(collection)


def test_samples_killed_at_their_first_commit_end_as_if_nothing_had_happened(
    tmp_path: Path,
) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "tiny.safetensors")
    whole, cut = tmp_path / "whole", tmp_path / "cut"

    with start(whole, checkpoint) as undisturbed:
        # While the first rows are being committed: they are there, or about to be.
        with start(cut, checkpoint) as child:
            kill_when(child, lambda: any((cut / LANCE_NAME).rglob("data/*.lance")))
        assert undisturbed.wait(LONGEST) == 0
    with start(cut, checkpoint) as last:
        assert last.wait(LONGEST) == 0

    assert items_in(cut) == items_in(whole)
