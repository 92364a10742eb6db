"""Benchmarks of the system and of asking under `bench run`: measured anew, never taken from a file.

Timings are ratios to a floor measured turn about.

One that is made elsewhere gets a function that takes a `Request` and returns a JSON object, a
`SystemBenchmark` around it, and a line in `registry`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from blake3 import blake3

from . import ingest, startup
from .protocol import Kind, Outcome, Request


@dataclass(frozen=True, slots=True)
class SystemBenchmark:
    """A measurement with a name.

    Attributes:
        name: What it is called on the command line.
        title: One line that says what it measures.
        run: Measures; of a timing, `ratio` is the figure and `ratios` the spread.
        layout: What `--data` names, where it takes something; otherwise it makes its own data.
        kind: `system` is a timing, `asking` says what a way to ask is worth.
        version: Of the protocol.
    """

    name: str
    title: str
    run: Callable[[Request], Mapping[str, object]]
    layout: str = ""
    kind: Kind = "system"
    version: int = 1

    def digest(self, request: Request) -> str:
        """Of the files that say what is asked and of whom: manifest or config, and split."""
        if self.kind != "asking" or request.data is None or not request.data.is_file():
            return ""  # `measure` says what is missing
        files = [request.data, *([request.split] if request.split is not None else [])]
        return blake3(b"".join(blake3(file.read_bytes()).digest() for file in files)).hexdigest()

    def measure(self, request: Request) -> Outcome:
        """See `Benchmark.measure`."""
        return Outcome(dict(self.run(request)))


def _ingest(request: Request) -> Mapping[str, object]:
    progress = request.progress
    options = ingest.IngestBenchmark(
        images=64 if request.quick else 1000,
        turns=2 if request.quick else 4,
        repeats=1 if request.quick else 3,
        folder=request.data,
        seed=request.seed,
        progress=None
        if progress is None
        else lambda done, total: progress("Measuring", done, total),
    )
    unit = "end-to-end / encoder-only throughput"
    return {"unit": unit, **ingest.run(request.encoder(), options)}


def _startup(request: Request) -> Mapping[str, object]:
    unit = "time of `omnidex --help` / of an empty application's"
    return {"unit": unit, **startup.run(turns=3 if request.quick else 11)}


INGEST = SystemBenchmark(
    "ingest",
    "Indexing against the encoder alone, and indexing again",
    _ingest,
    "a folder of images; without it, they are made",
)
STARTUP = SystemBenchmark("startup", "omnidex --help against an empty application", _startup)
