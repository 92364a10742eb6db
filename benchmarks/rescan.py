"""What looking at a tree again costs: unchanged, and with one file changed among many.

Question: does an unchanged file cost a stat and nothing else? A tree of short notes is made, and
indexed with a stand-in encoder that costs next to nothing (so the first run is as quick as it can
be), then again: unchanged, and after one note was changed. The floor is a walk of the same tree
with `os.scandir` that asks each entry for its status, as whoever wants to see changes must.

Reading. `again_ratio` and `change_ratio` are times over the walk's, turn about in one process, and
`speed_up` is the first run's time over that of an unchanged one. Times are CPU times of this
process, so that load on the machine matters less; `wall` has the others.
"""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float32

from indexer import Collection, IngestReport, ingest
from omni_encoder import EncoderSpec, MediaItem, MediaLayout, Modality, OmniError

from .timing import machine, spread

TARGET_SPEED_UP = 200.0
TARGET_CHANGE_RATIO = 3.0
_FILES_IN_FOLDER = 100
_DIM = 384


@dataclass(frozen=True, slots=True)
class RescanBenchmark:
    """What to measure.

    Attributes:
        files: How many notes the tree holds.
        repeats: How often it is indexed again, unchanged and changed.
    """

    files: int = 20_000
    repeats: int = 5

    def __post_init__(self) -> None:
        for name in ("files", "repeats"):
            value: int = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")


class StandIn:
    """An encoder whose vectors follow from the bytes of an item; it knows texts alone."""

    def __init__(self) -> None:
        self.spec = EncoderSpec("stand-in", "5a" * 16, _DIM, (Modality.TEXT,), MediaLayout())
        self.means = None

    def encode(self, items: Sequence[MediaItem]) -> Float32[np.ndarray, "items dim"]:
        """See `Encoder.encode`."""
        rows = [_vector(str(item.content)) for item in items]
        return np.stack(rows) if rows else np.zeros((0, _DIM), np.float32)


def run(options: RescanBenchmark | None = None) -> dict[str, object]:
    """Measure it.

    Returns:
        A JSON object; `speed_up` and `change_ratio` are the figures.

    Raises:
        OmniError: A run didn't do what it was measured for.
    """
    options = options or RescanBenchmark()
    encoder = StandIn()
    with TemporaryDirectory() as scratch:
        root = Path(scratch) / "notes"
        _write_notes(root, options.files)
        with Collection.create(Path(scratch) / "collection", encoder.spec) as collection:

            def index(*, encoded: int) -> None:
                _check(ingest([root], collection, encoder), encoded)

            first = _times(lambda: index(encoded=options.files))
            turns: list[tuple[_Times, _Times, _Times]] = []
            for number in range(options.repeats + 1):
                walk = _times(lambda: _walk(root))
                again = _times(lambda: index(encoded=0))
                _write_note(root, number, text=f"changed in turn {number}")
                turns.append((walk, again, _times(lambda: index(encoded=1))))
    return _result(options, first, turns[1:])  # the first turn warms up


@dataclass(frozen=True, slots=True)
class _Times:
    cpu: float
    wall: float


def _result(
    options: RescanBenchmark, first: _Times, turns: Sequence[tuple[_Times, _Times, _Times]]
) -> dict[str, object]:
    again = spread([again.cpu for _, again, _ in turns])
    return {
        "schema": 1,
        "files": options.files,
        "speed_up": first.cpu / again["median"],
        "target_speed_up": TARGET_SPEED_UP,
        "again_ratio": spread([again.cpu / walk.cpu for walk, again, _ in turns]),
        "change_ratio": spread([change.cpu / walk.cpu for walk, _, change in turns]),
        "target_change_ratio": TARGET_CHANGE_RATIO,
        "first_s": first.cpu,
        "walk_s": spread([walk.cpu for walk, _, _ in turns]),
        "again_s": again,
        "change_s": spread([change.cpu for _, _, change in turns]),
        "wall": {
            "first_s": first.wall,
            "walk_s": spread([walk.wall for walk, _, _ in turns]),
            "again_s": spread([again.wall for _, again, _ in turns]),
            "change_s": spread([change.wall for _, _, change in turns]),
        },
        "machine": machine("omnidex", "lancedb", "numpy"),
    }


def _times(action: Callable[[], object]) -> _Times:
    cpu, wall = time.process_time(), time.perf_counter()
    action()
    return _Times(time.process_time() - cpu, time.perf_counter() - wall)


def _walk(root: Path) -> int:
    found = 0
    stack = [os.fspath(root)]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                else:
                    found += entry.stat().st_size > 0
    return found


def _write_notes(root: Path, count: int) -> None:
    for number in range(count):
        _write_note(root, number, text=f"note {number} is about thing {number * 7919 % 1000}")


def _write_note(root: Path, number: int, *, text: str) -> None:
    folder = root / f"{number // _FILES_IN_FOLDER:04}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number:06}.txt"
    path.write_text(text)
    # A file changed a moment ago is hashed once more by the next run, which is not the question.
    moment = 1_600_000_000 + len(text) + number
    os.utime(path, (moment, moment))


def _check(report: IngestReport, encoded: int) -> None:
    if report.encoded != encoded:
        raise OmniError(f"{report.encoded} files were encoded where {encoded} should have been")


def _vector(text: str) -> Float32[np.ndarray, " dim"]:
    digest = hashlib.blake2b(text.encode(), digest_size=48).digest()
    bits = np.unpackbits(np.frombuffer(digest, np.uint8)).astype(np.float32)
    return (2 * bits - 1) / np.float32(np.sqrt(_DIM))
