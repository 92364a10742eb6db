"""How long indexing takes on a local Ray cluster of two CPUs, against two local processes.

Question: what do starting Ray, carrying shards to and fro and one committing process cost? Each
side indexes the same photos, decoding included, with an encoder that costs a fixed number of CPU
milliseconds an image; the local side is two processes with half of the photos and a collection
each. Both start from nothing, turn about; which is first changes. Read the ratio.

Usage: python -m tests.integration.ray_timing [IMAGES] [MILLISECONDS] [ROUNDS]
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from indexer import Collection, Engine, IngestOptions, ingest
from omni_encoder import MediaItem
from omni_encoder.synthetic import write_photos
from tests.toy import ToyEncoder


class Costly(ToyEncoder):
    """Spends CPU time on every item."""

    def __init__(self, milliseconds: float) -> None:
        super().__init__()
        self._seconds = milliseconds / 1000

    def encode(self, items: Sequence[MediaItem]) -> np.ndarray:
        ends = time.thread_time() + self._seconds * len(items)
        while time.thread_time() < ends:
            sum(range(1000))
        return super().encode(items)


def index(directory: Path, folder: Path, milliseconds: float, engine: Engine) -> None:
    """One side, or half of one, in a process of its own."""
    options = IngestOptions(engine=engine, decode_threads=1, isolate=True)
    encoder = Costly(milliseconds)
    with Collection.create(directory, encoder.spec) as collection:
        report = ingest([folder], collection, encoder, options=options)
    assert report.failed == 0


def seconds(commands: Sequence[Sequence[object]]) -> float:
    started = time.monotonic()
    children = [subprocess.Popen([*map(str, command)]) for command in commands]
    codes = [child.wait() for child in children]
    assert not any(codes)
    return time.monotonic() - started


def main(images: int, milliseconds: float, rounds: int) -> None:
    sides: dict[str, list[float]] = {"ray": [], "local": []}
    with TemporaryDirectory() as name:
        root = Path(name)
        for number, path in enumerate(write_photos(root / "made", images)):
            half = root / "photos" / str(number % 2)
            half.mkdir(parents=True, exist_ok=True)
            path.rename(half / path.name)
        start = [sys.executable, "-m", "tests.integration.ray_timing", "--side"]
        for turn in range(rounds):
            for side in ("ray", "local") if turn % 2 else ("local", "ray"):
                folders = [root / "photos"]
                if side == "local":
                    folders = [root / "photos" / "0", root / "photos" / "1"]
                commands = [
                    [*start, root / f"{side}{turn}.{n}", folder, milliseconds, side]
                    for n, folder in enumerate(folders)
                ]
                sides[side].append(seconds(commands))
    ratios = [ray / local for ray, local in zip(sides["ray"], sides["local"], strict=True)]
    sys.stdout.write(json.dumps({"ratios": ratios, "images": images, **sides}) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        index(Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]), Engine(sys.argv[5]))
    else:
        given = sys.argv[1:]
        main(
            int(given[0]) if given else 2000,
            float(given[1]) if len(given) > 1 else 20.0,
            int(given[2]) if len(given) > 2 else 2,
        )
