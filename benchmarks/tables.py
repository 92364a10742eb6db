"""The tables of docs/results.md, made from results and put between marks in the page.

A mark is `<!-- table: NAME -->`, and the table ends at `<!-- end -->`. What stands between them is
replaced, what stands around them is written by people and stays.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from omni_encoder import Encoder, OmniError

from . import registry, results
from .protocol import Request
from .report import directions_of, markdown_table

Figures = Mapping[str, object]


def result_tables(
    manifest: Path,
    encoders: Mapping[str, Callable[[], Encoder]],
    *,
    split: Path | None,
    folder: Path,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, str]:
    """Measure every encoder on a manifest, or take what is known, and make the tables.

    Args:
        manifest: A JSONL file beside its media.
        encoders: Names and loaders; the last is the one that the tables are about.
        split: Ids to keep.
        folder: Where results are kept.
        progress: See `Request`.

    Returns:
        Markdown by the name of the table: `directions` and `parts`.

    Raises:
        OmniError: See `results.run`.
    """
    benchmark = registry.find("manifest")
    measured: dict[str, Mapping[str, Figures]] = {}
    for name, encoder in encoders.items():
        request = Request(
            encoder=encoder,
            data=manifest,
            split=split,
            cache=folder / "vectors",
            progress=progress,
        )
        stored = results.run(benchmark, request, folder=folder)
        measured[name] = directions_of(stored.document)
    return {"directions": directions_table(measured), "parts": parts_table(measured)}


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
