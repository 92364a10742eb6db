"""Results on disk: one JSON document a run, with the figures of single queries beside it.

A result is `BENCHMARK-KEY.json` in a folder of the encoder. The key is a hash of the encoder's
fingerprint, the data's digest, the protocol's version and the settings, so the same question is
answered from the file, and any other gets a file of its own. What is measured anew each
time gets the time into its name: it is kept, and never answered from a file.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np
from blake3 import blake3
from jaxtyping import Float64

from omni_encoder import Encoder, OmniError

from .protocol import Benchmark, Outcome, Request
from .timing import machine

SCHEMA = 1
KEY_DIGITS = 16
_HEAD = frozenset({"benchmark", "title", "kind", "version", "measured"})


@dataclass(frozen=True, slots=True)
class Stored:
    """A result on disk.

    Attributes:
        path: Of the JSON document.
        document: What it holds.
        cached: Whether it was there before.
    """

    path: Path
    document: Mapping[str, object]
    cached: bool


def run(benchmark: Benchmark, request: Request, *, folder: Path, force: bool = False) -> Stored:
    """Measure, or find that it has been measured already.

    Args:
        benchmark: What to run.
        request: How.
        folder: Where results are kept; made if it isn't there.
        force: Measure even if there is a result.

    Raises:
        OmniError: See `Benchmark.measure`, or a result can't be read.
    """
    digest = benchmark.digest(request)
    if benchmark.kind != "retrieval":
        now = datetime.now(UTC)
        outcome = benchmark.measure(request)
        head = {**_head(benchmark, now), "threads": request.threads or os.cpu_count()}
        measured_on = {"machine": machine("omnidex", "numpy", "torch")}
        data = {"data": {"digest": digest}} if digest else {}
        document = {**measured_on, **data, **outcome.figures, **head}
        document["command"] = _command(benchmark, request)
        path = folder / benchmark.kind / f"{benchmark.name}-{now:%Y%m%dT%H%M%S%f}.json"
        return _write(path, document, outcome)
    encoder = request.encoder()
    key = result_key(benchmark, encoder, digest, request)
    path = folder / _folder_name(encoder) / f"{benchmark.name}-{key[:KEY_DIGITS]}.json"
    if path.exists() and not force:
        return Stored(path, read(path), cached=True)
    outcome = benchmark.measure(request)
    document = {
        **_head(benchmark, datetime.now(UTC)),
        "key": key,
        "encoder": {"name": encoder.spec.name, "fingerprint": encoder.spec.fingerprint},
        "data": {"digest": digest},
        **outcome.figures,
        "machine": machine("omnidex", "numpy", "torch"),
    }
    return _write(path, document, outcome)


def result_key(benchmark: Benchmark, encoder: Encoder, digest: str, request: Request) -> str:
    """What makes two runs the same question, as a hash."""
    question = {
        "benchmark": benchmark.name,
        "version": benchmark.version,
        "encoder": encoder.spec.fingerprint,
        "data": digest,
        "settings": request.settings(),
    }
    return blake3(json.dumps(question, sort_keys=True).encode()).hexdigest()


def read(path: Path) -> Mapping[str, object]:
    """A result document.

    Raises:
        OmniError: There is none, or it is none of ours.
    """
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OmniError(
            f"{path} can't be read as a result: {error}",
            hint="name a file that omnidex bench run has written",
        ) from error
    document = cast("dict[str, object]", content) if isinstance(content, dict) else {}
    if not document.keys() >= _HEAD or document.get("schema") != SCHEMA:
        raise OmniError(
            f"{path} is no result of this version of omnidex bench run",
            hint="run the benchmark again, with --force",
        )
    return document


def read_per_query(
    path: Path,
) -> dict[str, tuple[list[str], dict[str, Float64[np.ndarray, " queries"]]]]:
    """The ids of each direction's queries and their figures, by metric.

    Args:
        path: Of the result document.

    Raises:
        OmniError: The file beside it is missing or damaged.
    """
    beside = path.with_suffix(".npz")
    directions: dict[str, tuple[list[str], dict[str, Float64[np.ndarray, " queries"]]]] = {}
    try:
        with np.load(beside, allow_pickle=False) as stored:
            for name in stored.files:
                direction, _, metric = name.rpartition("|")
                ids, metrics = directions.setdefault(direction, ([], {}))
                if metric == "ids":
                    ids += [str(id) for id in stored[name]]
                else:
                    metrics[metric] = stored[name].astype(np.float64)
    except (OSError, ValueError) as error:
        raise OmniError(
            f"{beside} can't be read: {error}",
            hint="it lies beside its result; run the benchmark again with --force",
        ) from error
    return directions


def _head(benchmark: Benchmark, now: datetime) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "benchmark": benchmark.name,
        "title": benchmark.title,
        "kind": benchmark.kind,
        "version": benchmark.version,
        "measured": f"{now:%Y-%m-%dT%H:%M:%SZ}",
    }


def _command(benchmark: Benchmark, request: Request) -> str:
    """What repeats a measurement, without the names of files."""
    limit = [] if request.limit is None else ["--limit", str(request.limit)]
    quick = ["--quick"] if request.quick else []
    return " ".join(["omnidex bench run", benchmark.name, *limit, *quick])


def _folder_name(encoder: Encoder) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", encoder.spec.name).strip("-")[-40:]
    return f"{name or 'encoder'}-{encoder.spec.fingerprint[:8]}"


def _write(path: Path, document: Mapping[str, object], outcome: Outcome) -> Stored:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    for direction, metrics in outcome.per_query.items():
        arrays[f"{direction}|ids"] = np.array(outcome.queries[direction])
        arrays |= {f"{direction}|{metric}": values for metric, values in metrics.items()}
    if arrays:
        partial = path.with_suffix(".partial.npz")
        # The names hold a bar, so none is a parameter's.
        np.savez_compressed(partial, **arrays)  # pyright: ignore[reportArgumentType]
        partial.replace(path.with_suffix(".npz"))
    partial = path.with_suffix(".partial")
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1)
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)  # last: a document without its figures is never found
    return Stored(path, document, cached=False)
