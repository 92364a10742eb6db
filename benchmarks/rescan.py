"""What looking at a tree again costs: unchanged, and with one file changed among many.

Question: does an unchanged file cost a stat and nothing else? A tree of short notes is made, and
indexed with a stand-in encoder that costs next to nothing (so the first run is as quick as it can
be) or with a real one, then again: unchanged, and after one note was changed. The floor is a walk
of the same tree with `os.scandir` that asks each entry for its status, as whoever wants to see
changes must.

Reading. `again_ratio` and `change_ratio` are times over the walk's, turn about in one process; from
the latter the encoder's own time for the changed note is taken off. `speed_up` is the first run's
time over that of an unchanged one; with the stand-in the floor itself allows about 200. Times are
CPU times of this process, so that load on the machine matters less; `wall` has the others. Reading
happens in threads, not in processes of their own, so that it is counted.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from indexer import Collection, IngestOptions, IngestReport, ingest
from omni_encoder import Encoder, MediaItem, Modality, OmniError

from .stand_in import StandIn
from .timing import machine, spread

TARGET_SPEED_UP = 200.0
TARGET_CHANGE_RATIO = 3.0
_FILES_IN_FOLDER = 100


@dataclass(frozen=True, slots=True)
class RescanBenchmark:
    """What to measure.

    Attributes:
        files: How many notes the tree holds.
        repeats: How often it is indexed again, unchanged and changed.
        encoder: What encodes; None stands for the stand-in.
    """

    files: int = 20_000
    repeats: int = 5
    encoder: Encoder | None = None

    def __post_init__(self) -> None:
        for name in ("files", "repeats"):
            value: int = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")


def run(options: RescanBenchmark | None = None) -> dict[str, object]:
    """Measure it.

    Returns:
        A JSON object; `speed_up` and `change_ratio` are the figures.

    Raises:
        OmniError: A run didn't do what it was measured for.
    """
    options = options or RescanBenchmark()
    encoder = options.encoder or StandIn()
    reading = IngestOptions(isolate=False)
    with TemporaryDirectory() as scratch:
        root = Path(scratch) / "notes"
        write_notes(root, options.files)
        with Collection.create(
            Path(scratch) / "collection", encoder.spec, means=encoder.means
        ) as collection:

            def index(*, encoded: int) -> None:
                _check(ingest([root], collection, encoder, options=reading), encoded)

            first = _times(lambda: index(encoded=options.files))
            turns: list[_Turn] = []
            for number in range(options.repeats + 1):
                text = f"changed in turn {number}"
                item = MediaItem(Modality.TEXT, text)
                walk = _times(lambda: _walk(root))
                again = _times(lambda: index(encoded=0))
                _write_note(root, number, text=text)
                change = _times(lambda: index(encoded=1))
                encode = _times(lambda item=item: encoder.encode([item]))
                turns.append(_Turn(walk, again, change, encode))
    return _result(options, first, turns[1:])  # the first turn warms up


@dataclass(frozen=True, slots=True)
class _Times:
    cpu: float
    wall: float


@dataclass(frozen=True, slots=True)
class _Turn:
    walk: _Times
    again: _Times
    change: _Times
    encode: _Times


def _result(options: RescanBenchmark, first: _Times, turns: Sequence[_Turn]) -> dict[str, object]:
    again = spread([turn.again.cpu for turn in turns])
    return {
        "schema": 2,
        "files": options.files,
        "encoder": options.encoder.spec.name if options.encoder else "stand-in",
        "speed_up": first.cpu / again["median"],
        "target_speed_up": TARGET_SPEED_UP,
        "again_ratio": spread([turn.again.cpu / turn.walk.cpu for turn in turns]),
        "change_ratio": spread(
            [(turn.change.cpu - turn.encode.cpu) / turn.walk.cpu for turn in turns]
        ),
        "target_change_ratio": TARGET_CHANGE_RATIO,
        "first_s": first.cpu,
        "walk_s": spread([turn.walk.cpu for turn in turns]),
        "again_s": again,
        "change_s": spread([turn.change.cpu for turn in turns]),
        "encode_s": spread([turn.encode.cpu for turn in turns]),
        "wall": {
            "first_s": first.wall,
            "walk_s": spread([turn.walk.wall for turn in turns]),
            "again_s": spread([turn.again.wall for turn in turns]),
            "change_s": spread([turn.change.wall for turn in turns]),
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


def write_notes(root: Path, count: int) -> None:
    """Make a tree of short notes, all different."""
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
