"""Commands run in this process through `main`, or in one of their own through `driver.py`."""

import os
import subprocess
import sys
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from omnidex_cli.app import main
from PIL import Image

from tests.cli import driver

DRIVER = Path(driver.__file__)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Replace encoders, and keep away from the collection of whoever runs the tests."""
    monkeypatch.setattr("omni_encoder.load_encoder", driver.load_toy)
    monkeypatch.setattr("omni_encoder.registry.load_encoder", driver.load_toy)
    monkeypatch.setattr("omni_encoder.query_encoder.load_query_encoder", driver.load_toy)
    monkeypatch.setenv("OMNIDEX_COLLECTION", str(tmp_path / "collection"))
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def omnidex(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run a command line in this process."""

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def media_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_media(tmp_path_factory.mktemp("media"))


@pytest.fixture
def media(media_once: Path, tmp_path: Path) -> Path:
    """A folder of its own with two images, a sound of 12 s, a note and a broken image."""
    folder = tmp_path / "media"
    folder.mkdir()
    for path in media_once.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
        # Files changed a moment ago are read again, for a stamp may hide a second change.
        os.utime(folder / path.name, (1_600_000_000, 1_600_000_000))
    return folder


@pytest.fixture
def indexed(media: Path, omnidex: Callable[..., Ended]) -> Path:
    """The same folder, indexed into the collection of the environment."""
    assert omnidex("index", media).code == 0
    return media


def make_media(folder: Path) -> Path:
    for name, colour in (("red.png", (200, 20, 20)), ("blue.jpg", (20, 20, 200))):
        Image.new("RGB", (48, 40), colour).save(folder / name)
    (folder / "red.txt").write_text("a red square")
    (folder / "note.txt").write_text("dogs run along the beach\n")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "program.py").write_text("pass\n")
    samples = (8000 * np.sin(np.arange(12 * 8000) / 9)).astype("<i2")
    with wave.open(str(folder / "tone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())
    return folder


def environment(**extra: str) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"} | extra


def process(
    *arguments: object, cwd: Path | None = None, **extra: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command line in a process of its own, with the toy encoder."""
    return subprocess.run(
        [sys.executable, str(DRIVER), *map(os.fspath, map(_plain, arguments))],
        env=environment(**extra),
        cwd=cwd,
        capture_output=True,
        check=False,
        timeout=60,
    )


def _plain(argument: object) -> "str | bytes | Path":
    return argument if isinstance(argument, bytes | Path) else str(argument)
