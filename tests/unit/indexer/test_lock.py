import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from indexer.lock import LOCK_NAME, writer_lock
from omni_encoder import CollectionError

HOLD = """
import sys, time
from pathlib import Path
from indexer.lock import writer_lock
with writer_lock(Path(sys.argv[1]), "index"):
    print("held", flush=True)
    sys.stdin.read()
"""


def lock(directory: Path, command: str = "index") -> None:
    with writer_lock(directory, command):
        pass


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    with writer_lock(tmp_path, "index"), pytest.raises(CollectionError) as caught:
        lock(tmp_path, "remove")
    assert f"process {os.getpid()}" in caught.value.message
    assert "(index)" in caught.value.message
    with writer_lock(tmp_path, "remove"):
        assert json.loads((tmp_path / LOCK_NAME).read_text())["command"] == "remove"


def test_a_killed_holder_does_not_block(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(CollectionError, match=f"process {child.pid}"):
            lock(tmp_path)
        child.send_signal(signal.SIGKILL)
        child.wait()
    with writer_lock(tmp_path, "index"):
        pass


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="can't write"):
        lock(tmp_path / "nowhere")


def test_a_damaged_lock_file_still_locks(tmp_path: Path) -> None:
    with writer_lock(tmp_path, "index"):
        (tmp_path / LOCK_NAME).write_text("[1")
        with pytest.raises(CollectionError, match="by another process"):
            lock(tmp_path)
