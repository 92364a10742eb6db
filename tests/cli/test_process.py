"""What only shows in a process of its own: signals, pipes, terminals and file names."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from rich.cells import cell_len

from .conftest import DRIVER, Ended, environment, process

Run = Callable[..., Ended]


def on_terminal(*arguments: object, **extra: str) -> str:
    """Everything a command writes to a terminal of 80 columns."""
    master, slave = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, str(DRIVER), *map(str, arguments)],
        env=environment(COLUMNS="80", TERM="xterm-256color", **extra),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    written = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        written += piece
    os.close(master)
    assert running.wait() == 0, written
    return written.decode().replace("\r\n", "\n")


def test_on_a_terminal_hits_are_a_table_of_80_columns_without_percentages(indexed: Path) -> None:
    written = on_terminal("search", "dogs", NO_COLOR="1")

    lines = re.sub("\x1b\\[[0-9;]*m", "", written).splitlines()
    assert lines[0].split()[:4] == ["#", "score", "kind", "path"]
    assert len(lines) > 4
    assert all(cell_len(line) <= 80 for line in lines)
    assert "%" not in written
    assert not re.search("\x1b\\[[0-9;]*3[0-7]m", written)  # NO_COLOR: no colour


def test_on_a_terminal_indexing_shows_counts_and_a_time_left(media: Path) -> None:
    written = on_terminal("index", media)

    assert "Encoding" in written
    assert "5/5" in written
    assert re.search(r"\d:\d\d:\d\d", written)


def test_interrupted_indexing_keeps_what_is_done_and_goes_on(tmp_path: Path, omnidex: Run) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(80):
        Image.new("RGB", (32, 32), (number * 3, 50, 90)).save(folder / f"{number}.png")
    running = subprocess.Popen(
        [sys.executable, str(DRIVER), "index", str(folder)],
        env=environment(TOY_SLOW="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore SIGINT, and their children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert running.stderr is not None
    assert running.stderr.readline() == "encoding\n"
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)

    assert running.returncode == 130
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("Interrupted: ")
    kept = json.loads(omnidex("status", "--json").out)["items"].get("image", 0)
    assert f"{kept} items are kept" in err
    assert 0 < kept < 80
    report = json.loads(omnidex("index", folder, "--json").out)["report"]
    assert report["unchanged"] + report["encoded"] == 80
    assert json.loads(omnidex("status", "--json").out)["items"] == {"image": 80}


def test_an_interruption_in_json_mode_is_json(
    media: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("indexer.ingest", interrupt)

    ended = omnidex("index", media, "--json")

    assert ended.code == 130
    assert json.loads(ended.err)["error"]["code"] == "interrupted"


def test_a_reader_that_stops_early_is_no_error(indexed: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, str(DRIVER), "search", "dogs", "--json"],
            env=environment(),
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writer)

    assert done.stderr == b""
    assert done.returncode == 0


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault(closed: str, indexed: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", sys.executable, str(DRIVER), "search", "dogs"],
        env=environment(),
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert bool(done.stdout) is (">&-" not in closed.replace("2>&-", ""))


def test_a_name_that_is_not_utf8_is_found_and_printed_as_it_is(media: Path, omnidex: Run) -> None:
    name = os.fsencode(media) + b"/caf\xe9.png"
    try:
        shutil.copy(os.fsencode(media / "red.png"), name)
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    (media / "red.png").unlink()
    (media / "red.txt").unlink()
    assert omnidex("index", media).code == 0

    paths = process("search", "dogs", "--to", "image", "-0")
    table = omnidex("search", "dogs", "--to", "image")
    document = omnidex("search", "--image", os.fsdecode(name), "--to", "image", "--json")

    assert paths.returncode == 0
    assert name in paths.stdout.split(b"\0")
    assert "caf\\udce9.png" in table.out
    assert os.fsencode(json.loads(document.out)["hits"][0]["path"]) == name

    shown = json.loads(omnidex("show", os.fsdecode(name), "--json").out)["item"]
    assert os.fsencode(shown["path"]) == name
    narrowed = omnidex("search", "dogs", "--in", os.fsdecode(name), "--json")
    assert os.fsencode(json.loads(narrowed.out)["hits"][0]["path"]) == name


def test_a_fault_of_ours_keeps_its_traceback_and_does_not_look_like_nothing_found(
    indexed: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("retrieval.Retriever.search", fail)

    plain = omnidex("search", "dogs")
    as_json = omnidex("search", "dogs", "--json")

    assert plain.code == as_json.code == 2
    assert "Traceback" in plain.err
    assert "report it" in plain.err
    assert json.loads(as_json.err)["error"]["code"] == "bug"


def test_a_name_in_a_message_is_shown_as_in_a_table(indexed: Path, omnidex: Run) -> None:
    ended = omnidex("search", "--image", "caf\udce9\x1b[2J.png")

    assert ended.code == 2
    assert "there is no file caf\\udce9\\x1b[2J.png" in ended.err
