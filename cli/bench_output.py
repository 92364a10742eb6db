"""How `omnidex bench` commands print what was measured."""

from collections.abc import Mapping, Sequence
from typing import cast

from . import render

FIGURES = (
    ("success@1", "S@1"),
    ("success@5", "S@5"),
    ("success@10", "S@10"),
    ("recall@10", "R@10"),
    ("map", "mAP"),
    ("ndcg@10", "nDCG@10"),
    ("median_rank", "MedR"),
    ("queries", "queries"),
    ("candidates", "of"),
    ("chance_success@1", "chance"),
)
# What says where a figure is from, and isn't one.
_NO_FIGURES = frozenset(
    {"schema", "benchmark", "title", "kind", "version", "measured", "machine", "curves", "command"}
)


def print_measurement(
    result: Mapping[str, object],
    *,
    as_json: bool,
    table: tuple[Sequence[str], Sequence[Sequence[str]]] | None = None,
) -> None:
    """Print what was measured, figure by figure or as a table, and then as one line of JSON.

    With `--json` that line holds every single value too; they are in the file that `bench run`
    keeps.
    """
    if as_json:
        render.write_json(result)
        return
    if table is None:
        shown = {name: value for name, value in result.items() if name not in _NO_FIGURES}
        render.facts(_flat(shown))
    else:
        headings, rows = table
        words = [all(not _is_number(row[i]) for row in rows) for i in range(len(headings))]
        columns = [
            render.Column(title, align="left" if left else "right", overflow="fold")
            for title, left in zip(headings, words, strict=True)
        ]
        render.table(columns, [list(row) for row in rows])
    render.write_json(mapping(_without_values(result)))


def _without_values(value: object) -> object:
    if isinstance(value, list):
        return [_without_values(one) for one in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    pairs = cast("dict[str, object]", value).items()
    return {name: _without_values(one) for name, one in pairs if name != "values"}


def print_directions(document: Mapping[str, object]) -> None:
    """Print the figures of every direction."""
    columns = [
        render.Column("direction"),
        *(render.Column(title, align="right") for _, title in FIGURES),
    ]
    rows = [
        [name, *(figure(mapping(figures).get(key)) for key, _ in FIGURES)]
        for name, figures in mapping(document["directions"]).items()
    ]
    render.table(columns, rows)


def _is_number(cell: str) -> bool:
    return cell.lstrip("+-")[:1].isdigit()


def figure(value: object) -> str:
    """A number as tables show it."""
    return f"{value:.3f}" if isinstance(value, float) else "" if value is None else str(value)


def mapping(value: object) -> Mapping[str, object]:
    """A part of a result that is an object."""
    assert isinstance(value, dict)  # what the benchmarks return
    return cast("dict[str, object]", value)


def _flat(result: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """The figures of nested objects, named by their path; lists are for the JSON alone."""
    pairs: list[tuple[str, str]] = []
    for name, value in result.items():
        if isinstance(value, dict):
            pairs += _flat(cast("dict[str, object]", value), f"{prefix}{name}.")
        elif value is not None and not isinstance(value, list):
            pairs.append((f"{prefix}{name}", figure(value)))
    return pairs
