"""What indexing on a local Ray cluster costs, against as many local processes.

Question: what do starting Ray, carrying shards to and fro and one committing process cost? Each
side indexes the same made photos, decoding included, with an encoder that costs a fixed number of
CPU milliseconds an image. The local side is two processes with half of the photos and a collection
each; the other a cluster of two CPUs. Both start from nothing, turn about; which is first changes.

Reading. `ratio` is Ray's time on the clock over that of the two processes, so it needs a machine
with two cores to spare. Ray's start is in it, `seconds` says what of: the more photos, the less.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory

from indexer import Collection, Engine, IngestOptions, ingest
from omni_encoder import OmniError
from omni_encoder.synthetic import write_photos

from .stand_in import Costly
from .timing import machine, spread

TARGET_RATIO = 1.5
PROCESSES = 2


@dataclass(frozen=True, slots=True)
class EnginesBenchmark:
    """What to measure.

    Attributes:
        images: How many photos are made.
        item_ms: What encoding one costs, in milliseconds of CPU.
        turns: How often each side indexes them.
        progress: Called with sides done and sides in all.
    """

    images: int = 2000
    item_ms: float = 20.0
    turns: int = 2
    progress: Callable[[int, int], None] | None = None

    def __post_init__(self) -> None:
        if self.images < PROCESSES:
            raise ValueError(f"images must be at least {PROCESSES}, got {self.images}")
        if self.turns < 1:
            raise ValueError(f"turns must be at least 1, got {self.turns}")
        if not self.item_ms >= 0:
            raise ValueError(f"item_ms must be at least 0, got {self.item_ms}")


def run(options: EnginesBenchmark | None = None) -> dict[str, object]:
    """Measure it.

    Returns:
        A JSON object; `ratio` is the figure.

    Raises:
        OmniError: Ray isn't installed, or a side failed.
    """
    options = options or EnginesBenchmark()
    seconds: dict[Engine, list[float]] = {Engine.LOCAL: [], Engine.RAY: []}
    with TemporaryDirectory() as scratch:
        root = Path(scratch)
        for number, path in enumerate(write_photos(root / "made", options.images)):
            part = root / "photos" / str(number % PROCESSES)
            part.mkdir(parents=True, exist_ok=True)
            path.rename(part / path.name)
        for turn in range(options.turns):
            engines = [Engine.LOCAL, Engine.RAY][:: 1 if turn % 2 == 0 else -1]
            for number, engine in enumerate(engines):
                target = root / f"{engine}-{turn}"
                seconds[engine].append(_side(engine, root / "photos", target, options))
                if options.progress is not None:
                    options.progress(2 * turn + number + 1, 2 * options.turns)
    ratios = [ray / local for local, ray in zip(*seconds.values(), strict=True)]
    return {
        "schema": 1,
        "ratio": spread(ratios)["median"],
        "target_ratio": TARGET_RATIO,
        "ratios": spread(ratios),
        "seconds": {str(engine): spread(times) for engine, times in seconds.items()},
        "images": options.images,
        "item_ms": options.item_ms,
        "turns": options.turns,
        "machine": machine("omnidex", "ray", "lancedb"),
    }


def _side(engine: Engine, photos: Path, target: Path, options: EnginesBenchmark) -> float:
    """Seconds on the clock of one side."""
    folders = sorted(photos.iterdir()) if engine is Engine.LOCAL else [photos]
    start = [sys.executable, "-P", "-m", __name__]
    commands = [
        [*start, str(engine), f"{target}.{number}", str(folder), str(options.item_ms)]
        for number, folder in enumerate(folders)
    ]
    started = time.monotonic()
    children = [Popen(command, stderr=PIPE, text=True) for command in commands]  # noqa: S603 - ours
    said = [child.communicate()[1] for child in children]
    elapsed = time.monotonic() - started
    for child, text in zip(children, said, strict=True):
        if child.returncode:
            raise OmniError(f"indexing with the engine {engine} failed", hint=text.strip()[-300:])
    return elapsed


def main(arguments: Sequence[str]) -> None:
    """Index one folder: engine, collection, folder, milliseconds an item."""
    engine, directory, folder, item_ms = arguments
    options = IngestOptions(engine=Engine(engine), decode_threads=1, isolate=True)
    encoder = Costly(float(item_ms))
    with Collection.create(Path(directory), encoder.spec) as collection:
        report = ingest([Path(folder)], collection, encoder, options=options)
    if report.failed or not report.encoded:
        raise OmniError(f"{report.failed} of {report.scanned} photos could not be indexed")


if __name__ == "__main__":
    main(sys.argv[1:])
