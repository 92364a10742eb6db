"""The tables of docs/results.md, made from results and put between marks in the page.

A mark is `<!-- table: NAME -->`, and the table ends at `<!-- end -->`. What stands between them is
replaced, what stands around them is written by people and stays. `directions` and `parts` compare
encoders on a manifest, `training` is what the shipped generating half says of itself, and any other
name is that of a benchmark, whose newest kept result is shown.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from omni_encoder import Encoder, OmniError
from omni_encoder.shipped import shipped_flow_header

from . import measured as kept
from . import registry, results
from .protocol import Request
from .report import directions_of, markdown_table

Figures = Mapping[str, object]

TRAINING = "training"
_MARK = re.compile(r"<!-- table: (\S+) -->")


def result_tables(
    encoders: Mapping[str, Callable[[], Encoder]], request: Request, *, folder: Path
) -> dict[str, str]:
    """Measure every encoder on a manifest, or take what is known, and make the tables.

    Args:
        encoders: Names and loaders; the last is the one that the tables are about.
        request: How to measure; its `data` is the manifest, and its encoder is not asked.
        folder: Where results are kept.

    Returns:
        Markdown by the name of the table: `directions` and `parts`.

    Raises:
        OmniError: See `results.run`.
    """
    benchmark = registry.find("manifest")
    measured: dict[str, Mapping[str, Figures]] = {}
    for name, encoder in encoders.items():
        stored = results.run(benchmark, replace(request, encoder=encoder), folder=folder)
        measured[name] = directions_of(stored.document)
    return {"directions": directions_table(measured), "parts": parts_table(measured)}


def measure_absent(names: Sequence[str], request: Request, *, folder: Path) -> None:
    """Run the benchmarks of some tables that have no result yet, and keep each at once.

    Args:
        names: Of tables; those that are no benchmark's, or need data of their own, are passed over.
        request: How to measure. Its data is for what asks; without any, only timings are run.
        folder: Where results are kept.

    Raises:
        OmniError: See `results.run`.
    """
    for name in names:
        if (
            name not in kept.names()
            or name in kept.OWN_DATA
            or _newest(name, folder, request) is not None
        ):
            continue
        benchmark = registry.find(name)
        asks = benchmark.kind == "asking"
        if asks and request.data is None:
            continue
        own = replace(request, data=request.data if asks else None, limit=kept.LIMITS.get(name))
        results.run(benchmark, own, folder=folder)


def kept_tables(
    names: Sequence[str], folder: Path, request: Request | None = None
) -> dict[str, str]:
    """The tables of measurements whose results are kept, each with where it is from.

    Args:
        names: The benchmarks that are asked for; those without a result are left out.
        folder: Where results are kept.
        request: What was asked on other data than its own is left out, if it has any.

    Raises:
        OmniError: A result can't be read, or is none of this version.
    """
    tables: dict[str, str] = {}
    for name in names:
        document = _newest(name, folder, request)
        table = None if document is None else kept.table_of(document)
        if document is not None and table is not None:
            text = markdown_table(*table).replace("->", " → ")
            tables[name] = f"{text}\n\n{kept.origin(document)}"
    return tables


def _newest(name: str, folder: Path, request: Request | None) -> kept.Document | None:
    if name not in kept.names():
        return None
    if request is None or name in kept.OWN_DATA:
        return kept.newest(folder, name)
    data = registry.find(name).digest(request)
    return kept.newest(folder, name, data=data)


def training_table() -> str:
    """What the shipped generating half was worth on held-out items, as its file's header says."""
    training = json.loads(shipped_flow_header()["training"])
    checks: Mapping[str, float] = training["checks"]
    rows = [
        [name.replace("->", " → "), f"{own:.2f}", f"{other:.2f}", f"{other - own:.2f}"]
        for name, own in checks.items()
        if (other := checks.get(f"{name} shuffled")) is not None
    ]
    headings = ["direction", "own condition", "another's", "the condition is worth"]
    return markdown_table(headings, rows) + f"\n\nAfter {training['config']['steps']:,} steps."


def marked(path: Path) -> list[str]:
    """The names of the tables that a page has places for, in its order.

    Raises:
        OmniError: The page can't be read.
    """
    try:
        return _MARK.findall(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OmniError(f"{path} can't be read: {error.strerror}") from error


def directions_table(measured: Mapping[str, Mapping[str, Figures]]) -> str:
    """Every direction: chance, the other encoders' S@1 and mAP, and all figures of the last."""
    *others, last = measured
    headings = ["direction", "queries", "candidates", "chance S@1"]
    headings += [f"{name} S@1 / mAP" for name in others]
    headings += [f"{last} S@1", "95%", "S@5", "S@10", "R@10", "mAP", "nDCG@10"]
    rows: list[list[str]] = []
    for direction in dict.fromkeys(name for figures in measured.values() for name in figures):
        present = {name: figures.get(direction) for name, figures in measured.items()}
        some = next(figures for figures in present.values() if figures is not None)
        best = max(_value(figures, "success@1") for figures in present.values() if figures)
        row = [
            direction.replace("->", " → "),
            f"{_value(some, 'queries'):.0f}",
            f"{_value(some, 'candidates'):.0f}",
            f"{_value(some, 'chance_success@1'):.3f}",
        ]
        for name in others:
            figures = present[name]
            row.append(
                "" if figures is None else f"{_bold(figures, best)} / {_value(figures, 'map'):.3f}"
            )
        rows.append([*row, *_whole_row(present[last], best)])
    return markdown_table(headings, rows)


def _whole_row(figures: Figures | None, best: float) -> list[str]:
    if figures is None:
        return [""] * 7
    low, high = cast("list[float]", figures["success@1_interval"])
    shown = ("success@5", "success@10", "recall@10", "map", "ndcg@10")
    return [
        _bold(figures, best),
        f"{low:.3f} to {high:.3f}",
        *(f"{_value(figures, key):.3f}" for key in shown),
    ]


def parts_table(measured: Mapping[str, Mapping[str, Figures]]) -> str:
    """Success@1 of the captions of each source and kind, for every encoder."""
    headings = ["Success@1, part of the queries", "queries", "chance", *measured]
    rows: list[list[str]] = []
    directions = dict.fromkeys(name for figures in measured.values() for name in figures)
    for direction in directions:
        for group in ("by_source", "by_caption_kind"):
            parts = {
                name: cast("Mapping[str, Figures]", figures.get(direction, {}).get(group) or {})
                for name, figures in measured.items()
            }
            title = direction.replace("->", " → ")
            keys = dict.fromkeys(key for part in parts.values() for key in part)
            rows += [_part_row(f"{title}: {key}", key, parts) for key in keys]
    return markdown_table(headings, rows)


def _part_row(title: str, key: str, parts: Mapping[str, Mapping[str, Figures]]) -> list[str]:
    some = next(part[key] for part in parts.values() if key in part)
    values = [
        f"{_value(part[key], 'success@1'):.3f}" if key in part else "" for part in parts.values()
    ]
    queries, chance = _value(some, "queries"), _value(some, "chance_success@1")
    return [title, f"{queries:.0f}", f"{chance:.3f}", *values]


def write_between_marks(path: Path, tables: Mapping[str, str]) -> None:
    """Replace the tables of a page.

    Raises:
        OmniError: The page can't be read, or has no mark for one of the tables.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise OmniError(f"{path} can't be read: {error.strerror}") from error
    for name, table in tables.items():
        mark = f"<!-- table: {name} -->"
        pattern = re.compile(re.escape(mark) + r".*?<!-- end -->", re.DOTALL)
        if not pattern.search(text):
            raise OmniError(
                f"{path} has no place for the table {name}",
                hint=f"put `{mark}` and `<!-- end -->` where it belongs",
            )
        replacement = f"{mark}\n\n{table}\n\n<!-- end -->"
        text = pattern.sub(lambda _, new=replacement: new, text)
    path.write_text(text, encoding="utf-8")


def _value(figures: Figures, key: str) -> float:
    return float(cast("float", figures[key]))


def _bold(figures: Figures, best: float) -> str:
    value = _value(figures, "success@1")
    return f"**{value:.3f}**" if value == best else f"{value:.3f}"
