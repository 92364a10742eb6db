"""A hundred SIGKILLs over one run, in every phase of it: the rows are those of an undisturbed one.

The run indexes 110 folders, one after the other; in each, files of an earlier run have changed,
gone, moved and come. A kill waits for a phase drawn at random and then for a random part of the
time that this phase has taken so far, or for a random moment since the start; so its pace is that
of the machine. Hardly a start gets further than one folder before it is killed; the next begins
with the folder before that. Where each kill hit, and how many versions the table had by then, is
printed: pytest -rP shows it.
"""

import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from indexer import Collection, IngestOptions, ingest
from indexer.manifest import newest_version
from tests.integration.mortal_ingest import PHASES
from tests.toy import ToyEncoder
from tests.unit.indexer.folders import items_of, settle, write_image, write_sound, write_text

REPOSITORY = Path(__file__).parents[2]
KILLS = 100
FOLDERS = 110
ANY = "any moment"
TIMES = {"read": 8, "encode": 8, "commit": 8}
"""How often a phase is entered at most before a kill; what isn't named, once."""
ISOLATED_EVERY = 25


@dataclass(frozen=True)
class Kill:
    """Where a kill hit: the phase, and how many versions the table had."""

    phase: str
    versions: int


@dataclass
class Killer:
    """Starts ingests and kills them, and remembers how long phases take."""

    directory: Path
    server: "subprocess.Popen[bytes]"
    draws: random.Random
    lasted: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    folder: int = 0

    def kill(self, target: str, *, nth: int, isolate: bool) -> Kill | None:
        """Kill a new run in a phase, entered for the nth time; None if it ended before."""
        assert self.server.stdin is not None
        where = "isolate" if isolate else "here"
        self.server.stdin.write(f"{where} {max(0, self.folder - 1)}\n".encode())
        self.server.stdin.flush()
        word, number = self._line().split()
        assert word == "start"
        started = entered = time.monotonic()
        phase, ended = "start", False
        while not ended and not (phase == target and (nth := nth - 1) < 1):
            if target == ANY and phase != "start":
                break
            line = self._line()
            now = time.monotonic()
            self.lasted[phase].append(now - entered)
            phase, entered, ended = line, now, line.startswith("end")
        if ended:
            assert phase == "end 0"
            return None
        lasts = statistics.median(self.lasted[target] or [0.01])
        if target == ANY:  # the first phase has been entered; a whole folder takes about this
            lasts = 2 * sum(statistics.median(self.lasted[name] or [0.01]) for name in PHASES)
            lasts += started - time.monotonic()
        time.sleep(max(0.0, self.draws.uniform(0, lasts)))
        subprocess.run(["kill", "-KILL", number], check=True)
        return self._end(phase)

    def _end(self, phase: str) -> Kill:
        while not (line := self._line()).startswith("end"):
            phase = line
        assert line == f"end {int(signal.SIGKILL)}"
        return Kill(phase, newest_version(self.directory, ToyEncoder().spec) or 0)

    def _line(self) -> str:
        """The next line, but for those that say which folder comes."""
        assert self.server.stdout is not None
        while line := self.server.stdout.readline().decode().strip():
            word, _, number = line.partition(" ")
            if word != "folder":
                return line
            self.folder = int(number)
        raise AssertionError("the process that starts the ingests is gone")


def write_before(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True)
    for number in range(3):
        write_text(folder / f"old{number}.txt", seed + number)


def change(folder: Path, seed: int) -> None:
    (folder / "old0.txt").unlink()
    (folder / "old1.txt").rename(folder / "moved.txt")
    write_text(folder / "old2.txt", seed + 10, words=31)
    for number in range(11, 13):
        write_text(folder / f"new{number}.txt", seed + number, words=20)
        write_image(folder / f"new{number}.png", seed + number)
    write_text(folder / "long.txt", seed + 14, words=150)
    (folder / "copy.txt").write_bytes((folder / "new11.txt").read_bytes())
    settle(folder / "copy.txt")
    if seed % 500 == 0:
        write_sound(folder / "new.wav", seed + 15)
        (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        settle(folder / "bad.png")


@pytest.mark.slow
def test_a_hundred_kills_in_every_phase_of_a_run_leave_what_an_undisturbed_one_does(
    tmp_path: Path,
) -> None:
    media, directory = tmp_path / "media", tmp_path / "collection"
    encoder = ToyEncoder()
    for number in range(FOLDERS):
        write_before(media / f"{number:03}", 100 * number)
    with Collection.create(directory, encoder.spec) as collection:
        ingest([media], collection, encoder)
    for number in range(FOLDERS):
        change(media / f"{number:03}", 100 * number)
    with Collection.create(tmp_path / "expected", encoder.spec) as collection:
        ingest([media], collection, encoder)
        expected = items_of(collection)
        failed = collection.problems()

    draws = random.Random(0)
    kills: list[Kill] = []
    command = [sys.executable, "-m", "tests.integration.mortal_ingest", directory, media]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=REPOSITORY) as server:
        killer = Killer(directory, server, draws)
        while len(kills) < KILLS or (missed := set(PHASES) - {kill.phase for kill in kills}):
            # Some phases are so short that a hundred kills may miss them: then there are more.
            target = draws.choice([*PHASES, ANY] if len(kills) < KILLS else sorted(missed))
            nth = draws.randint(1, TIMES.get(target, 1))
            isolate = len(kills) % ISOLATED_EVERY == 1
            kill = killer.kill(target, nth=nth, isolate=isolate)
            assert kill is not None, f"the run ended after {len(kills)} kills"
            kills.append(kill)
        assert server.stdin is not None
        server.stdin.close()

    hit = Counter(kill.phase for kill in kills)
    sys.stdout.write(f"{dict(hit)}\n{[(kill.phase, kill.versions) for kill in kills]}\n")
    assert len({kill.versions for kill in kills}) > KILLS // 4
    with Collection.open(directory) as collection:
        report = ingest([media], collection, encoder, options=IngestOptions())
        assert report.encoded > 0  # the last kill came before the end
        assert items_of(collection) == expected
        assert sum(collection.counts().values()) == len(expected)
        assert collection.problems() == failed
        assert ingest([media], collection, encoder).items == 0
