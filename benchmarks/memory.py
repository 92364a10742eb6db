"""How much memory indexing takes at most, by the number of files.

Question: is it flat? Each tree of short notes is indexed by a process of its own, with an encoder
that costs nothing, and the system says how much memory that process had at its peak. Processes that
decode are not counted: theirs is bounded file by file.

Reading. `ratio` is the last number's peak over the first's.
"""

import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import run as run_process
from tempfile import TemporaryDirectory

from omni_encoder import OmniError

from .rescan import write_notes
from .timing import machine

TARGET_RATIO = 1.15


def run(numbers: Sequence[int]) -> dict[str, object]:
    """Measure it for some numbers of files.

    Returns:
        A JSON object; `ratio` is the figure.

    Raises:
        OmniError: A process failed.
        ValueError: There are no numbers.
    """
    if not numbers:
        raise ValueError("there must be at least one number of files")
    peaks = [_peak_mb(number) for number in numbers]
    return {
        "schema": 1,
        "ratio": peaks[-1] / peaks[0],
        "target_ratio": TARGET_RATIO,
        "peak_mb": {str(number): peak for number, peak in zip(numbers, peaks, strict=True)},
        "machine": machine("omnidex", "lancedb", "numpy"),
    }


def _peak_mb(files: int) -> float:
    with TemporaryDirectory() as scratch:
        write_notes(Path(scratch) / "notes", files)
        command = [sys.executable, "-P", "-m", __name__, scratch]
        done = run_process(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        raise OmniError(f"indexing {files} files failed", hint=done.stderr.strip()[-300:])
    return float(done.stdout)


def main(scratch: Path) -> float:
    """Index the notes in a folder; the peak of this process's memory, in MB."""
    from indexer import Collection, ingest

    from .stand_in import StandIn

    encoder = StandIn()
    with Collection.create(scratch / "collection", encoder.spec) as collection:
        ingest([scratch / "notes"], collection, encoder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    sys.stdout.write(str(main(Path(sys.argv[1]))))
