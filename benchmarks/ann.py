"""How fast and how well a collection is searched, against exact search and other engines.

Question: what do codes with exact re-scoring cost and find, within a modality, across modalities,
and under filters? Vectors are a mixture with a gap between two modalities, as CLIP-like encoders
have it (seed 0), or drawn around those of a collection. Codes are tuned with other queries than are
asked here. All engines hold the same centred vectors and are asked the same queries in one process
on one thread, after a warm-up, ten at a time turn about; the first of ten is counted apart
(`first_cpu_ms`), as the others' vectors have filled the caches before it. Read the ratios of CPU
time: wall time and milliseconds depend on the machine and its load. Recall@10 is the share of the
true 10 nearest that came back.
"""

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from math import log
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, cast

import numpy as np
from jaxtyping import Int64

from indexer.baselines import ENGINES
from indexer.build import write_segment
from indexer.cache_files import Entry
from indexer.coding import Recipe
from indexer.exact import centre_rows
from indexer.facts import FactsFile, checksum, write_facts
from indexer.planner import Search, nearest
from indexer.rows import Items
from indexer.segment import Segment, candidates
from omni_encoder import Modality, OmniError

from .ann_data import Vectors, extend, make_mixture
from .timing import machine, spread

SCHEMA = 1
K = 10
IN_A_ROW = 10
BASELINES = ("numpy", "faiss_flat")
OTHERS = ("faiss_hnsw", "usearch", "hnswlib", "lance_ivf_rq")
FILTERS = (0.01, 0.1, 0.5)


@dataclass(frozen=True, slots=True)
class AnnBenchmark:
    """What to measure.

    Attributes:
        rows: How many images are searched, each number in turn.
        dim: How long a vector is.
        queries: How many queries of each kind.
        others: Whether graph indexes and LanceDB are measured too; building them takes long.
        target: The recall that codes are tuned to.
        collection: Whose images and texts to use, extended to so many rows; None makes a mixture.
        progress: Called with what is being done.
    """

    rows: tuple[int, ...] = (10_000, 100_000)
    dim: int = 512
    queries: int = 100
    others: bool = False
    target: float = 0.99
    collection: Path | None = None
    progress: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        if not self.rows or min(self.rows) < 1000:
            raise ValueError(f"rows must be numbers of at least 1000, got {self.rows}")
        if self.queries < 1:
            raise ValueError(f"queries must be at least 1, got {self.queries}")


def run(options: AnnBenchmark) -> dict[str, object]:
    """Measure every number of rows, and how cost grows between them."""
    sizes = [_measure(options, rows) for rows in options.rows]
    growth = [
        {
            "from_rows": first["rows"],
            "to_rows": second["rows"],
            "exponent_default": _exponent(first, second, "default"),
            "exponent_exact": _exponent(first, second, "exact"),
        }
        for first, second in pairwise(sizes)
    ]
    return {
        "schema": SCHEMA,
        "benchmark": "ann",
        "machine": machine("faiss-cpu", "numpy", "lancedb", "usearch", "hnswlib"),
        "vectors": "mixture" if options.collection is None else "extended collection",
        "queries": options.queries,
        "target": options.target,
        "sizes": sizes,
        "growth": growth,
    }


def make_vectors(options: AnnBenchmark, rows: int) -> Vectors:
    """The vectors that are searched and the queries.

    Raises:
        OmniError: The collection that they should be made from has too few items.
    """
    if options.collection is None:
        return make_mixture(rows, options.dim, options.queries)
    return extend(options.collection, rows, options.queries)


def _measure(options: AnnBenchmark, rows: int) -> dict[str, object]:
    options.progress(f"making {rows} vectors")
    data = make_vectors(options, rows)
    with TemporaryDirectory(prefix="omnidex-bench-") as name:
        folder = Path(name)
        options.progress(f"building over {rows} vectors")
        entry, build_s, facts_s = _build(folder, data, options)
        dim = data.images.shape[1]
        segment = Segment(entry, folder, folder, dim)
        segment.open()
        before = _resident_bytes()
        engines = _engines(segment, data, folder, options)
        options.progress(f"asking {rows} vectors")
        result: dict[str, object] = {
            "rows": rows,
            "dim": dim,
            "build_rows_per_cpu_s": rows / build_s,
            "build_rows_per_cpu_s_with_facts": rows / (build_s + facts_s),
            "bytes_per_vector": sum(mark.bytes for mark in entry.files.values()) / rows,
            "resident_bytes": before,
            "tuning": None if entry.tuning is None else _tuning(entry),
            "engines": _compare(engines, data, options.queries),
            "filters": _filters(segment, data, options.queries),
            "overhead": _overhead(segment, data, options.queries),
        }
    return result


def _build(folder: Path, data: Vectors, options: AnnBenchmark) -> tuple[Entry, float, float]:
    """Write a base segment; CPU seconds without the facts, and those of the facts alone."""
    count = len(data.images)
    numbers = np.arange(count)
    facts = [
        (f"{i:032x}.image.0", f"{i:032x}", "image", 0, *(None,) * 2, "image/jpeg", *(None,) * 6)
        for i in range(count)
    ]
    items = Items(numbers, numbers, data.images, facts)
    # The codes are tuned with texts that are not asked afterwards.
    recipe = Recipe(data.mean, options.target, data.strangers)
    start = time.process_time()
    entry = write_segment(folder, Modality.IMAGE, items, recipe, base=True)
    middle = time.process_time()
    alone = folder / "facts-alone"
    write_facts(facts, alone)
    for _ in map(checksum, FactsFile(alone, folder).all()):  # as `write_segment` does
        pass
    facts_s = time.process_time() - middle
    return entry, middle - start - facts_s, facts_s


def _engines(
    segment: Segment, data: Vectors, folder: Path, options: AnnBenchmark
) -> dict[str, Callable[[np.ndarray], Int64[np.ndarray, " hits"]]]:
    means = {Modality.IMAGE: data.mean}
    engines: dict[str, Callable[[np.ndarray], Int64[np.ndarray, " hits"]]] = {}
    for name, exact in (("default", False), ("exact", True)):
        engines[name] = lambda query, exact=exact: (
            nearest([segment], Search(query, K, exact=exact), means, None).rows
        )
    centred = np.empty(data.images.shape, np.float32)
    for start in range(0, len(centred), 8192):
        block = data.images[start : start + 8192].astype(np.float32)
        centred[start : start + 8192] = centre_rows(block, data.mean)
    for name in (*BASELINES, *(OTHERS if options.others else ())):
        options.progress(f"building {name}")
        try:
            search = ENGINES[name](centred, folder)
        except OmniError:  # not installed
            continue
        engines[name] = lambda query, search=search: search(query, K)
    return engines


def _compare(
    engines: Mapping[str, Callable[[np.ndarray], Int64[np.ndarray, " hits"]]],
    data: Vectors,
    queries: int,
) -> dict[str, dict[str, object]]:
    """CPU and wall milliseconds of every engine, turn about, and recall against numpy's."""
    cpu: dict[str, list[float]] = {name: [] for name in engines}
    wall: dict[str, list[float]] = {name: [] for name in engines}
    first: dict[str, list[float]] = {name: [] for name in engines}
    recall: dict[str, dict[str, float]] = {name: {} for name in engines}
    for search in engines.values():
        for _ in range(3):  # warms up, and lets exact mode settle
            search(data.within[0])
    for kind, asked in (("within", data.within[:queries]), ("across", data.across[:queries])):
        hits = dict.fromkeys(engines, 0)
        for start in range(0, len(asked), IN_A_ROW):
            block = asked[start : start + IN_A_ROW]
            found = {name: _timed(search, block) for name, search in engines.items()}
            for name, (rows, of_cpu, of_wall) in found.items():
                first[name].append(of_cpu[0])
                cpu[name] += of_cpu[1:] or of_cpu
                wall[name] += of_wall[1:] or of_wall
                hits[name] += sum(
                    len(one & true) for one, true in zip(rows, found["numpy"][0], strict=True)
                )
        for name in engines:
            recall[name][kind] = hits[name] / (K * len(asked))
    middle = {name: spread(values)["median"] for name, values in cpu.items()}
    return {
        name: {
            "recall_within": recall[name]["within"],
            "recall_across": recall[name]["across"],
            "times_faster_than_numpy": middle["numpy"] / middle[name],
            "times_faster_than_faiss_flat": middle["faiss_flat"] / middle[name],
            "cpu_ms": spread(cpu[name]),
            "first_cpu_ms": spread(first[name]),
            "wall_ms": spread(wall[name]),
        }
        for name in engines
    }


def _timed(
    search: Callable[[np.ndarray], Int64[np.ndarray, " hits"]], asked: np.ndarray
) -> tuple[list[set[int]], list[float], list[float]]:
    """What some queries find, and the CPU and wall milliseconds of each."""
    found, cpu, wall = list[set[int]](), list[float](), list[float]()
    for query in asked:
        start_cpu, start = time.process_time(), time.perf_counter()
        rows = search(query)
        cpu.append((time.process_time() - start_cpu) * 1e3)
        wall.append((time.perf_counter() - start) * 1e3)
        found.append(set(cast("list[int]", rows.tolist())))
    return found, cpu, wall


def _filters(segment: Segment, data: Vectors, queries: int) -> list[dict[str, object]]:
    """Cost and recall when only a share of the rows may be found, against no filter."""
    generator = np.random.default_rng(1)
    means = {Modality.IMAGE: data.mean}
    results: list[dict[str, object]] = []
    for share in FILTERS:
        mask = generator.random(len(data.images)) < share
        allowed = np.flatnonzero(mask)
        hits, wanted, filtered, free = 0, 0, list[float](), list[float]()
        few = min(queries, 50)
        for query in data.within[:few]:
            truth = nearest([segment], Search(query, K, exact=True), means, {0: mask}).rows
            start = time.process_time()
            found = nearest([segment], Search(query, K), means, {0: mask}).rows
            middle = time.process_time()
            nearest([segment], Search(query, K), means, None)
            free.append(time.process_time() - middle)
            filtered.append(middle - start)
            assert np.isin(found, allowed).all()
            hits += len(set(truth.tolist()) & set(found.tolist()))
            wanted += len(truth)
        results.append(
            {
                "share": share,
                "recall": hits / max(wanted, 1),
                "cost_ratio": spread(filtered)["median"] / spread(free)["median"],
            }
        )
    return results


def _overhead(segment: Segment, data: Vectors, queries: int) -> dict[str, object] | None:
    """What our own code adds to FAISS's call, and what ten hits' facts cost; CPU milliseconds.

    The call is FAISS's own, of the scan and of the candidates' products, as another program would
    make it. Whoever asks a query first finds its candidates' vectors outside the caches, so call
    and search never ask the same query in a row: every other one is the call's, and in a second
    round they change places.
    """
    tuning = segment.entry.tuning
    if tuning is None:
        return None
    means = {Modality.IMAGE: data.mean}
    call, ours, facts = list[float](), list[float](), list[float]()
    of_faiss = segment.codes.call(candidates(tuning, K), probes=tuning.probes)
    asked = [*data.within[:queries], *data.across[:queries]]
    for turn in range(2):
        for number, query in enumerate(asked):
            start = time.process_time()
            if number % 2 == turn:
                of_faiss(query)
                call.append((time.process_time() - start) * 1e3)
                continue
            found = nearest([segment], Search(query, K), means, None)
            after = time.process_time()
            ours.append((after - start) * 1e3)
            segment.facts.at(np.searchsorted(segment.rows, found.rows), found.rows)
            facts.append((time.process_time() - after) * 1e3)
    added = spread(ours)["median"] - spread(call)["median"]
    return {
        "faiss_call_cpu_ms": spread(call),
        "search_cpu_ms": spread(ours),
        "added_cpu_ms": added,
        "added_to_call": added / spread(call)["median"],
        "facts_cpu_ms": spread(facts),
    }


def _tuning(entry: Entry) -> dict[str, object]:
    tuning = entry.tuning
    assert tuning is not None  # the caller looked
    return {
        "candidates_10": tuning.candidates_10,
        "candidates_100": tuning.candidates_100,
        "lists": tuning.lists,
        "probes": tuning.probes,
        "recall_within": tuning.recall_within,
        "recall_across": tuning.recall_across,
    }


def _exponent(first: Mapping[str, object], second: Mapping[str, object], engine: str) -> float:
    """By which power of the number of rows a query's CPU time grows."""
    times = [_median(size, engine) for size in (first, second)]
    rows = [_number(size["rows"]) for size in (first, second)]
    return log(times[1] / times[0]) / log(rows[1] / rows[0])


def _median(size: Mapping[str, object], engine: str) -> float:
    measured = _figures(_figures(size["engines"])[engine])
    return _number(_figures(measured["cpu_ms"])["median"])


def _figures(value: object) -> Mapping[str, object]:
    assert isinstance(value, dict)  # made by `_measure`
    return cast("dict[str, object]", value)


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _resident_bytes() -> int:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class _Axes(Protocol):
    def scatter(self, x: float, y: float) -> object: ...

    def annotate(self, text: str, xy: tuple[float, float]) -> object: ...

    def margins(self, x: float, y: float) -> object: ...

    def locator_params(self, axis: str, *, nbins: int) -> object: ...

    def set(self, *, title: str, xlabel: str, ylabel: str, yscale: str) -> object: ...


class _Figure(Protocol):
    def add_subplot(self, rows: int, columns: int, number: int) -> _Axes: ...

    def savefig(self, path: Path) -> None: ...


def plot(result: Mapping[str, object], path: Path) -> None:
    """Draw recall and speed of every engine, one panel for each number of rows.

    Raises:
        OmniError: matplotlib isn't installed.
    """
    try:
        module = import_module("matplotlib.figure")
    except ImportError as error:
        raise OmniError("a plot needs matplotlib", hint="pip install 'omnidex[bench]'") from error
    # Not imported by name: it is in an extra, and type checkers would miss it elsewhere.
    make = cast("Callable[..., _Figure]", module.Figure)
    sizes = cast("list[dict[str, object]]", result["sizes"])
    figure = make(figsize=(5 * len(sizes), 4), layout="constrained")
    for number, size in enumerate(sizes):
        axes = figure.add_subplot(1, len(sizes), number + 1)
        for name, measured in _figures(size["engines"]).items():
            recall = _number(_figures(measured)["recall_across"])
            axes.scatter(recall, _median(size, name))
            axes.annotate(f"  {name.replace('_', ' ')}", (recall, _median(size, name)))
        axes.margins(0.25, 0.1)  # the names stand to the right
        axes.locator_params("x", nbins=5)
        axes.set(
            title=f"{size['rows']} rows",
            xlabel="recall@10 across",
            ylabel="CPU ms a query",
            yscale="log",
        )
    figure.savefig(path)
