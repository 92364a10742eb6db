"""Whether one result is better than another, direction by direction, on the same queries.

Every direction that both have is compared by every metric of `METRICS`, with the paired
randomisation test. The p-values are adjusted for their number by Holm's method, so that among many
comparisons none is called a difference by luck alone more often than one time in twenty.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from omni_encoder import OmniError
from retrieval.significance import LEVEL, Comparison, compare

from .report import label_of
from .results import read, read_per_query

METRICS = ("success@1", "success@10", "map", "ndcg@10")


def compare_results(a: Path, b: Path, *, seed: int = 0) -> dict[str, object]:
    """Compare result `b` with result `a`.

    Returns:
        A JSON object; its `directions` map names to metrics, each with both means, the difference
        with its interval, p, the adjusted p and a verdict on `b`.

    Raises:
        OmniError: One of them can't be read, or they are of different data or protocols.
    """
    first, second = read(a), read(b)
    for key in ("benchmark", "version", "data"):
        if first.get(key) != second.get(key):
            raise OmniError(
                f"{a} and {b} can't be compared: they differ in {key}",
                hint="compare results of one benchmark on the same data",
            )
    if first["kind"] != "retrieval":
        raise OmniError(
            f"results of {first['benchmark']} can't be compared: they hold no figures of queries",
            hint="omnidex bench report shows them beside each other",
        )
    ours, theirs = read_per_query(a), read_per_query(b)
    compared: dict[tuple[str, str], Comparison] = {}
    left_out: dict[str, str] = {}
    for name in dict.fromkeys([*ours, *theirs]):
        if name not in ours or name not in theirs:
            left_out[name] = "only one of the two has it"
            continue
        (ids, left), (other_ids, right) = ours[name], theirs[name]
        place = {id: i for i, id in enumerate(other_ids)}
        shared = [(i, place[id]) for i, id in enumerate(ids) if id in place]
        if not shared:
            left_out[name] = "no query is in both"
            continue
        rows, columns = (np.array(side) for side in zip(*shared, strict=True))
        for metric in METRICS:
            values = left[metric][rows], right[metric][columns]
            compared[name, metric] = compare(*values, seed=seed)
    adjusted = holm([comparison.p for comparison in compared.values()])
    directions: dict[str, dict[str, object]] = {}
    for ((name, metric), comparison), p in zip(compared.items(), adjusted, strict=True):
        directions.setdefault(name, {})[metric] = _as_json(comparison, adjusted_p=p)
    return {
        "schema": 1,
        "benchmark": first["benchmark"],
        "a": _named(a, first),
        "b": _named(b, second),
        "test": "paired randomisation, two-sided, 10,000 rounds; Holm over all rows",
        "level": LEVEL,
        "directions": directions,
        "left_out": left_out,
    }


def holm(values: Sequence[float]) -> list[float]:
    """The p-values adjusted for their number; each is compared with the level as it is."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    adjusted = [0.0] * len(values)
    largest = 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - place) * values[i]))
        adjusted[i] = largest
    return adjusted


def _as_json(comparison: Comparison, *, adjusted_p: float) -> dict[str, object]:
    if adjusted_p > LEVEL:
        verdict = "no difference shown"
    else:
        verdict = "better" if comparison.difference > 0 else "worse"
    return {
        "queries": comparison.queries,
        "a": comparison.a,
        "b": comparison.b,
        "difference": comparison.difference,
        "interval": list(comparison.interval),
        "p": comparison.p,
        "adjusted_p": adjusted_p,
        "verdict": verdict,
    }


def _named(path: Path, document: Mapping[str, object]) -> dict[str, object]:
    return {
        "file": str(path),
        "encoder": document.get("encoder"),
        "label": label_of(document),
    }
