"""Whether a change has made something slower or worse: quick measurements against baselines.

Question: has this tree lost anything against the figures committed in `baselines/quick.json`? Each
speed is a ratio of CPU time to that of a floor measured turn about in this process, so neither
another machine nor other load moves it much. What load does move is the largest of a few turns, so
the least of both sides counts, a loss is a ratio above `allowed` times the baseline, and a check
that fails is measured again, up to three times: only what is slow every time is slow. Quality is a
figure without noise, and may fall by `allowed` at most. Reading: a figure far below its baseline is
a gain, and wants a new baseline: `omnidex bench check --update`.
"""

import json
import resource
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, cast

import numpy as np

from indexer.exact import nearest_rows
from omni_encoder import Encoder, Modality
from omni_encoder.media import guess_modality
from retrieval.evaluate import rank_vectors, summarise

from .encode import cpu_seconds, made_items, products_per_item
from .entry_vectors import embed_parts
from .protocol import Request
from .retrieval_benchmark import measure_tasks
from .startup import EMPTY_APP
from .tasks import Entry, both_ways
from .timing import installed_command, run_command
from .vectors import VectorCache

ROUNDS = 3
_TURNS = 3


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked.

    Attributes:
        encoder: Loads the encoder.
        samples: The folder with the samples' media, for quality; None leaves that out.
    """

    encoder: Callable[[], Encoder]
    samples: Path | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One quick measurement.

    Attributes:
        name: Of its baseline.
        title: One line that says what it measures.
        better: Whether a lower or a higher figure is better.
        allowed: `lower`: how many times the baseline it may be; `higher`: how far it may fall.
        measure: The figure.
    """

    name: str
    title: str
    better: Literal["lower", "higher"]
    allowed: float
    measure: Callable[[Subject], float]

    def passes(self, value: float, baseline: float) -> bool:
        """Whether a figure is no worse than noise allows."""
        if self.better == "lower":
            return value <= baseline * self.allowed
        return value >= baseline - self.allowed


def run(
    subject: Subject,
    *,
    baselines: Mapping[str, float],
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, object]:
    """Measure everything.

    Args:
        subject: What is checked.
        baselines: The figures to compare with, by name; what has none is only measured.
        progress: Called with what is measured, how much is done, and how much there is.

    Returns:
        A JSON object; `passed` says whether all is well, `checks` has the figures.
    """
    checks: list[dict[str, object]] = []
    chosen = [check for check in CHECKS if check.name != "quality" or subject.samples is not None]
    for number, check in enumerate(chosen):
        baseline = baselines.get(check.name)
        values: list[float] = []
        while len(values) < ROUNDS:
            values.append(check.measure(subject))
            if baseline is None or check.passes(values[-1], baseline):
                break
        best = min(values) if check.better == "lower" else max(values)
        checks.append(
            {
                "name": check.name,
                "title": check.title,
                "better": check.better,
                "value": best,
                "baseline": baseline,
                "allowed": check.allowed,
                "rounds": len(values),
                "passed": baseline is None or check.passes(best, baseline),
            }
        )
        if progress is not None:
            progress("Checking", number + 1, len(chosen))
    return {"schema": 1, "passed": all(check["passed"] for check in checks), "checks": checks}


def committed_baselines() -> dict[str, float]:
    """The figures that come with the package."""
    text = files("omnidex_benchmarks").joinpath("baselines", "quick.json").read_text("utf-8")
    return {
        name: float(value) for name, value in cast("dict[str, float]", json.loads(text)).items()
    }


def write_baselines(path: Path, result: Mapping[str, object]) -> None:
    """Write the figures of a result as baselines."""
    checks = cast("list[dict[str, object]]", result["checks"])
    figures = {str(check["name"]): round(cast("float", check["value"]), 4) for check in checks}
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _least_ratio(ours: Callable[[], object], floor: Callable[[], object]) -> float:
    """The least CPU time of ours over the least of the floor, turn about after one to warm up."""
    pairs = [(cpu_seconds(ours), cpu_seconds(floor)) for _ in range(_TURNS + 1)][1:]
    return min(pair[0] for pair in pairs) / max(min(pair[1] for pair in pairs), 1e-6)


def _evaluation(subject: Subject) -> float:  # noqa: ARG001 -- as all checks
    generator = np.random.default_rng(0)
    images = generator.standard_normal((600, 256), dtype=np.float32)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    texts = np.repeat(images, 5, axis=0) + generator.standard_normal((3000, 256), dtype=np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    relevant = list(np.arange(3000).reshape(600, 5))
    ours = lambda: summarise(rank_vectors(images, texts, relevant))  # noqa: E731
    return _least_ratio(ours, lambda: images @ texts.T)


def _exact_search(subject: Subject) -> float:  # noqa: ARG001 -- as all checks
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((20_000, 256), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = rows[:10]

    def ours() -> None:
        for query in queries:
            nearest_rows(query, rows, k=10)

    def floor() -> None:
        for query in queries:
            np.matmul(rows, query)

    return _least_ratio(ours, floor)


def _help(subject: Subject) -> float:  # noqa: ARG001 -- as all checks
    with TemporaryDirectory() as folder:
        script = Path(folder) / "empty.py"
        script.write_text(EMPTY_APP, encoding="utf-8")
        ours, floor = installed_command(), [sys.executable, str(script)]
        pairs = [(_child_s(ours), _child_s(floor)) for _ in range(_TURNS + 1)][1:]
    return min(pair[0] for pair in pairs) / max(min(pair[1] for pair in pairs), 1e-6)


def _child_s(command: list[str]) -> float:
    """CPU time of a whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_command([*command, "--help"])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _encoding(modality: Modality) -> Callable[[Subject], float]:
    def measure(subject: Subject) -> float:
        loaded = subject.encoder()
        items = made_items(modality, loaded, np.random.default_rng(0), count=4)
        return min(products_per_item(loaded, items, turns=_TURNS))

    return measure


def _quality(subject: Subject) -> float:
    """The mAP of finding the pictures of the samples by their names."""
    assert subject.samples is not None  # `run` leaves this check out without them
    paths = [
        path
        for folder in ("drawings", "photos")
        for path in sorted((subject.samples / folder).iterdir())
        if guess_modality(path) is Modality.IMAGE
    ]
    names = [Entry.text(path.stem, path.stem.replace("-", " ")) for path in paths]
    pictures = [Entry.file(path.name, Modality.IMAGE, path) for path in paths]
    tasks = both_ways(names, pictures, [(i, i) for i in range(len(paths))], name="text->image")
    vectors = embed_parts([*names, *pictures], VectorCache(None, subject.encoder()))
    figures, _, _ = measure_tasks(tasks, vectors, Request(encoder=subject.encoder))
    return cast("float", figures["text->image"]["map"])


CHECKS = (
    Check("evaluation", "Ranking and figures / the scores alone", "lower", 1.6, _evaluation),
    Check("exact-search", "Ten exact searches / the products alone", "lower", 1.6, _exact_search),
    Check("help", "omnidex --help / an empty application's", "lower", 1.35, _help),
    Check("encode-text", "A text / a matrix product", "lower", 1.6, _encoding(Modality.TEXT)),
    Check("encode-image", "An image / a matrix product", "lower", 1.6, _encoding(Modality.IMAGE)),
    Check("quality", "mAP of the samples' pictures by their names", "higher", 0.02, _quality),
)
