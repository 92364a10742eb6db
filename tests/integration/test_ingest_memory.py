"""Memory stays bounded whatever the size of a file: hours of video, huge images, a text of 1 GB."""

import json
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import TypedDict

import av
import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
HOURS = 3
TEXT_BYTES = 2**30

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process took"),
]


class Outcome(TypedDict):
    """What `memory_child` prints."""

    encoded: int
    items: int
    problems: dict[str, str]
    scan_mb: int
    read_mb: int
    whole_mb: int
    child_mb: int


def indexed(tmp_path: Path) -> Outcome:
    command = [sys.executable, "-m", "tests.integration.memory_child"]
    command += [str(tmp_path / "collection"), str(tmp_path / "media")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcome: Outcome = json.loads(done.stdout)
    sys.stdout.write(f"{outcome}\n")
    return outcome


@pytest.fixture
def media(tmp_path: Path) -> Path:
    (tmp_path / "media").mkdir()
    return tmp_path / "media"


def write_long_video(path: Path, seconds: int) -> None:
    """A still picture at one frame a second, with a keyframe each minute."""
    picture = np.full((48, 64, 3), 90, np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(1))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"preset": "ultrafast", "g": "60"}
        for number in range(seconds):
            picture[:4] = number % 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_long_text(path: Path, size: int) -> None:
    """Sentences of long words, no passage like another."""
    filler = " ".join(["antidisestablishmentarianism" * 2] * 17_000)
    with path.open("w") as file:
        for number in range(size // len(filler)):
            file.write(f"Chapter {number}. {filler}.\n")


def write_many_words(path: Path, size: int) -> None:
    """Short words and sentences, which make ten times as many passages of the same bytes."""
    generator = random.Random(0)
    words = ["".join(generator.choices("etaoinshrdlu", k=1 + n % 9)) for n in range(20_000)]
    with path.open("w") as file:
        while file.tell() < size:
            sentences = (
                " ".join(generator.choices(words, k=generator.randint(5, 25))) for _ in range(1000)
            )
            file.write("".join(f"{sentence.capitalize()}. " for sentence in sentences))


def test_three_hours_of_video(tmp_path: Path, media: Path) -> None:
    write_long_video(media / "long.mp4", HOURS * 3600)
    outcome = indexed(tmp_path)
    assert (outcome["encoded"], outcome["items"]) == (1, HOURS * 360)
    assert outcome["whole_mb"] < outcome["scan_mb"] + 300
    assert outcome["child_mb"] < 400


def test_images_of_two_hundred_megapixels(tmp_path: Path, media: Path) -> None:
    image = Image.new("L", (20_000, 10_000), 128)
    image.save(media / "large.jpg", quality=50)
    image.convert("1").save(media / "large.png")
    image.close()
    outcome = indexed(tmp_path)
    # A JPEG is shrunk while it is loaded; a PNG would have to be unpacked whole.
    assert outcome["encoded"] == 1
    assert outcome["problems"] == {"large.png": "too_large"}
    assert outcome["whole_mb"] < outcome["scan_mb"] + 300
    assert outcome["child_mb"] < 600


def test_a_text_of_one_gigabyte(tmp_path: Path, media: Path) -> None:
    write_long_text(media / "long.txt", TEXT_BYTES)
    outcome = indexed(tmp_path)
    assert outcome["encoded"] == 1
    assert outcome["items"] > 100_000
    assert outcome["read_mb"] < outcome["scan_mb"] + 400
    # Afterwards fragments are merged, and the search cache is written.
    assert outcome["whole_mb"] < outcome["scan_mb"] + 600
    assert outcome["child_mb"] < 200


def test_a_text_of_a_hundred_thousand_passages(tmp_path: Path, media: Path) -> None:
    write_many_words(media / "long.txt", 64 * 2**20)
    outcome = indexed(tmp_path)
    assert outcome["items"] > 100_000
    # What Lance remembered of hundreds of commits made it 500 MB once.
    assert outcome["read_mb"] < outcome["scan_mb"] + 200
    assert outcome["whole_mb"] < outcome["scan_mb"] + 350
