"""What indexing costs beyond encoding, and what indexing again costs when nothing has changed.

Question: how much of an encoder's own throughput does the whole path from files to a committed
collection keep? The files of each kind of media are cut into equal turns. In each turn one slice
is indexed from its files, and the same slice, decoded beforehand, is only encoded, with the same
batches; which comes first changes from turn to turn, so load on the machine hits both alike. One
small slice warms both up. Then the folder of images is indexed again, unchanged.

With `StandIn` for an encoder, which takes a fixed time for each item and no CPU, the question is
that of an accelerator: does reading keep up with it?

Reading. `ratio` is end-to-end / encoder-only throughput, at most about 1. `bound_ratio` is that to
the slower of encoding alone and decoding alone (in as many threads as decode), which no path can
beat: what it lacks to 1 is lost between the two, and not to a slow decoder. `encoder_cpu_share` is
the CPU time of encoding alone over that of the whole path, processes that decode included, and
`other_cpu_ms` is the rest for each item: as long as it is below an encoder's time for one, a core
keeps up with it. On a busy machine it says more than the ratio, which is of time on the clock.
`second_run.speed_up` is the first run's time over the second's, both without starting a process,
and `command_speed_up` has the whole `omnidex index` command as the second, Python's start included.
The figures at the top are those of images, and `kinds` has all. Without a folder of one's own the
images are JPEGs of 640 x 480 at about 70 KB; `ingest_files` says what the others are.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from indexer import Collection, IngestOptions, ingest
from omni_encoder import Encoder, MediaItem, Modality, OmniError
from omni_encoder.media import guess_modality, open_media

from .ingest_files import write_files
from .stand_in import StandIn
from .timing import installed_command, machine, run_command, seconds, spread

TARGET_RATIO = 0.8
TARGET_STAND_IN_RATIO = 0.95
TARGET_SPEED_UP = 50.0


@dataclass(frozen=True, slots=True)
class IngestBenchmark:
    """What to measure.

    Attributes:
        images: How many images.
        others: How many made files of other kinds of media.
        turns: Into how many slices the files of each kind are cut.
        repeats: How often the unchanged folder of images is indexed again.
        folder: A folder whose images are used, in order of name, instead of made ones; they are
            copied, and the folder stays as it is.
        seed: Of what is made.
        ingest: How to index; `batch_items` is the encoder's batch on both sides.
        progress: Called with turns done and turns in all.
    """

    images: int = 1000
    others: Mapping[Modality, int] = field(default_factory=dict[Modality, int])
    turns: int = 4
    repeats: int = 3
    folder: Path | None = None
    seed: int = 0
    ingest: IngestOptions = field(default_factory=IngestOptions)
    progress: Callable[[int, int], None] | None = None

    def __post_init__(self) -> None:
        for name in ("images", "turns", "repeats"):
            value: int = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.turns > self.images:
            raise ValueError(f"turns must be at most images, got {self.turns} > {self.images}")
        if Modality.IMAGE in self.others:
            raise ValueError("the number of images stands in images, not in others")
        for kind, count in self.others.items():
            if count < self.turns:
                raise ValueError(f"turns must be at most {kind} files, got {self.turns} > {count}")


@dataclass(frozen=True, slots=True)
class _Turn:
    decode_s: float
    encoder_s: float
    end_to_end_s: float
    encoder_cpu_s: float
    end_to_end_cpu_s: float
    items: int


def run(encoder: Encoder, options: IngestBenchmark | None = None) -> dict[str, object]:
    """Measure ingest with an encoder that knows the kinds of media that are asked for.

    Returns:
        A JSON object; `ratio`, `kinds` and `second_run` are the figures.

    Raises:
        OmniError: The folder holds too few images, a file can't be indexed, or omnidex isn't
            installed.
    """
    options = options or IngestBenchmark()
    counts = {Modality.IMAGE: options.images, **options.others}
    turns: dict[Modality, list[_Turn]] = {}
    done = 0
    with TemporaryDirectory() as name:
        scratch = Path(name)
        with Collection.create(
            scratch / "collection", encoder.spec, means=encoder.means
        ) as collection:
            for kind, count in counts.items():
                slices = _slices(scratch / kind, kind, count, options)
                _warm_up(scratch / f"warm-up-{kind}", slices[0], encoder, options.ingest)
                turns[kind] = []
                for number, part in enumerate(slices):
                    first = number % 2 == 0
                    turn = _turn(part, encoder, collection, options.ingest, encoder_first=first)
                    turns[kind].append(turn)
                    done += 1
                    if options.progress is not None:
                        options.progress(done, len(counts) * options.turns)
            images = scratch / Modality.IMAGE
            again = [_again(images, encoder, collection, options) for _ in range(options.repeats)]
        command = [*installed_command(), "index", str(images), "-c", str(collection.directory)]
        commands = [seconds(lambda: run_command(command)) for _ in range(options.repeats)]
    return _result(encoder, options, turns, again=again, commands=commands)


def _result(
    encoder: Encoder,
    options: IngestBenchmark,
    turns: Mapping[Modality, Sequence[_Turn]],
    *,
    again: Sequence[float],
    commands: Sequence[float],
) -> dict[str, object]:
    first_s = sum(turn.end_to_end_s for turn in turns[Modality.IMAGE])
    second, command = spread(again), spread(commands)
    counts = {Modality.IMAGE: options.images, **options.others}
    kinds = {
        str(kind): {"files": counts[kind], **_figures(measured)} for kind, measured in turns.items()
    }
    return {
        "schema": 2,
        "encoder": {"name": encoder.spec.name, "fingerprint": encoder.spec.fingerprint},
        "target_ratio": TARGET_STAND_IN_RATIO if isinstance(encoder, StandIn) else TARGET_RATIO,
        **_figures(turns[Modality.IMAGE]),
        "kinds": kinds,
        "made": options.folder is None,
        "second_run": {
            "first_s": first_s,
            "seconds": second,
            "speed_up": first_s / second["median"],
            "command_seconds": command,
            "command_speed_up": first_s / command["median"],
            "target_speed_up": TARGET_SPEED_UP,
        },
        "settings": {
            "turns": options.turns,
            "seed": options.seed,
            "batch_items": options.ingest.batch_items,
            "decode_threads": options.ingest.decode_threads,
        },
        "machine": machine("omnidex", "torch", "lancedb", "pillow", "av", "numpy"),
    }


def _figures(turns: Sequence[_Turn]) -> dict[str, object]:
    """What was measured of one kind of media."""
    items = sum(turn.items for turn in turns)
    decode_s = sum(turn.decode_s for turn in turns)
    encoder_s, encoder_cpu_s = (
        sum(turn.encoder_s for turn in turns),
        sum(turn.encoder_cpu_s for turn in turns),
    )
    end_to_end_s, end_to_end_cpu_s = (
        sum(turn.end_to_end_s for turn in turns),
        sum(turn.end_to_end_cpu_s for turn in turns),
    )
    return {
        "ratio": encoder_s / end_to_end_s,
        "ratios": spread([turn.encoder_s / turn.end_to_end_s for turn in turns]),
        "bound_ratio": max(encoder_s, decode_s) / end_to_end_s,
        "items": items,
        "encoder_cpu_share": encoder_cpu_s / end_to_end_cpu_s,
        "encoder_cpu_ms": 1000 * encoder_cpu_s / items,
        "other_cpu_ms": 1000 * (end_to_end_cpu_s - encoder_cpu_s) / items,
        "items_per_s": {
            "decode_only": items / decode_s,
            "encoder_only": items / encoder_s,
            "end_to_end": items / end_to_end_s,
        },
    }


def _slices(root: Path, kind: Modality, count: int, options: IngestBenchmark) -> list[Path]:
    """Folders under `root` with the files of one kind, as equal in number as can be."""
    if kind is not Modality.IMAGE or options.folder is None:
        paths = write_files(root.parent / f"made-{kind}", kind, count, seed=options.seed)
    else:
        found = sorted(path for path in options.folder.rglob("*") if path.is_file())
        paths = [path for path in found if guess_modality(path) is Modality.IMAGE]
        if len(paths) < count:
            raise OmniError(
                f"{options.folder} holds {len(paths)} images, {count} are wanted",
                hint="ask for fewer images, or leave the folder out to have them made",
            )
    folders = [root / f"slice{number}" for number in range(options.turns)]
    for folder in folders:
        folder.mkdir(parents=True)
    for number, path in enumerate(paths[:count]):
        target = folders[number * options.turns // count]
        (target / f"{number:06d}{path.suffix}").write_bytes(path.read_bytes())
    return folders


def _warm_up(scratch: Path, like: Path, encoder: Encoder, options: IngestOptions) -> None:
    folder = scratch / "files"
    folder.mkdir(parents=True)
    for path in sorted(like.iterdir())[:32]:
        (folder / path.name).write_bytes(path.read_bytes())
    with Collection.create(scratch / "collection", encoder.spec, means=encoder.means) as collection:
        _turn(folder, encoder, collection, options, encoder_first=True)


def _turn(
    folder: Path,
    encoder: Encoder,
    collection: Collection,
    options: IngestOptions,
    *,
    encoder_first: bool,
) -> _Turn:
    started = time.perf_counter()
    items = [
        item
        for path in sorted(folder.iterdir())
        for item in open_media(path, encoder.spec.layout)[1]
    ]
    decode_s = (time.perf_counter() - started) / options.decode_threads
    encode = lambda: _encode(encoder, items, batch_items=options.batch_items)  # noqa: E731
    index = lambda: _index(folder, encoder, collection, options, items=len(items))  # noqa: E731
    if encoder_first:
        alone, whole = _timed(encode), _timed(index)
    else:
        whole, alone = _timed(index), _timed(encode)
    return _Turn(decode_s, alone[0], whole[0], alone[1], whole[1], len(items))


def _timed(action: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of CPU in this process and in those that ended meanwhile."""
    children = sum(os.times()[2:4])
    cpu, wall = time.process_time(), time.perf_counter()
    action()
    own, elapsed = time.process_time() - cpu, time.perf_counter() - wall
    return elapsed, own + sum(os.times()[2:4]) - children


def _encode(encoder: Encoder, items: Sequence[MediaItem], *, batch_items: int) -> None:
    for start in range(0, len(items), batch_items):
        encoder.encode(items[start : start + batch_items])


def _index(
    root: Path, encoder: Encoder, collection: Collection, options: IngestOptions, *, items: int
) -> None:
    report = ingest([root], collection, encoder, options=options, progress=None)
    if report.items != items:
        problem = f", such as {report.problems[0].message}" if report.problems else ""
        raise OmniError(
            f"{report.items} of {items} items were indexed{problem}",
            hint="the files must be readable and all different",
        )


def _again(root: Path, encoder: Encoder, collection: Collection, options: IngestBenchmark) -> float:
    return seconds(lambda: _index(root, encoder, collection, options.ingest, items=0))
