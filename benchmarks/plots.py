"""Plots of results as SVG, by matplotlib, readable in print and by colour-blind people.

Colours are those of Okabe and Ito, and whatever a colour says is said by a marker, a dash pattern
or a printed number too. The heat map's scale is `cividis`, which is even for all kinds of sight.
"""

import io
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from omni_encoder import OmniError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ("-", "--", "-.", ":")


def available() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def heat_map(
    values: Mapping[tuple[str, str], float], *, title: str, order: Sequence[str] = ()
) -> str:
    """A map of a figure by what is asked (rows) and what is found (columns), as SVG.

    Args:
        values: From 0 to 1, by row and column; cells without one stay blank.
        title: What the figure is.
        order: Names in the order wanted; others follow.

    Raises:
        OmniError: matplotlib isn't installed.
    """
    rows = _ordered([row for row, _ in values], order)
    columns = _ordered([column for _, column in values], order)
    figure = _figure(width=1.6 + 0.85 * len(columns), height=1.1 + 0.5 * len(rows))
    axes = figure.add_subplot()
    grid = [[values.get((row, column), float("nan")) for column in columns] for row in rows]
    picture = axes.imshow(grid, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for i, row in enumerate(grid):
        for j, value in enumerate(row):
            if value == value:  # noqa: PLR0124 -- NaN is not equal to itself
                ink = "white" if value < 0.55 else "black"
                axes.text(j, i, f"{value:.3f}", ha="center", va="center", color=ink, fontsize=9)
    axes.set_xticks(range(len(columns)), labels=columns)
    axes.set_yticks(range(len(rows)), labels=rows)
    axes.set_xlabel("found")
    axes.set_ylabel("asked")
    axes.set_title(title, fontsize=9)
    figure.colorbar(picture, ax=axes, fraction=0.05)
    return _svg(figure)


def bars(
    groups: Mapping[str, Mapping[str, tuple[float, float, float]]], *, title: str, axis: str
) -> str:
    """Values from 0 to 1 with intervals, side by side for each name, as SVG.

    Args:
        groups: Name, then series: value, low and high.
        title: What is shown.
        axis: What the value is.

    Raises:
        OmniError: matplotlib isn't installed.
    """
    series = list(dict.fromkeys(name for group in groups.values() for name in group))
    figure = _figure(width=7.0, height=1.0 + 0.2 * len(groups) * max(2, len(series)))
    axes = figure.add_subplot()
    step = 0.8 / max(1, len(series))
    for number, name in enumerate(series):
        points = [(i, group[name]) for i, group in enumerate(groups.values()) if name in group]
        places = [i + (number - (len(series) - 1) / 2) * step for i, _ in points]
        middle = [value for _, (value, _, _) in points]
        errors = [
            [max(0.0, value - low) for _, (value, low, _) in points],
            [max(0.0, high - value) for _, (value, _, high) in points],
        ]
        axes.errorbar(
            middle,
            places,
            xerr=errors,
            label=name,
            color=_COLOURS[number % len(_COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)],
            linestyle="none",
            markersize=5,
            capsize=2,
        )
    axes.set_yticks(range(len(groups)), labels=list(groups))
    axes.invert_yaxis()
    axes.set_xlim(-0.02, 1.02)  # markers at both ends are seen whole
    axes.set_xlabel(axis)
    axes.set_title(title, fontsize=9)
    axes.grid(axis="x", linewidth=0.4, color="#bbbbbb")
    axes.set_axisbelow(b=True)
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=3)
    return _svg(figure)


def curves(series: Mapping[str, Sequence[tuple[float, float]]], *, title: str) -> str:
    """Recall against queries a second, one curve for each index, as SVG; upper right is better.

    Args:
        series: Name: recall and queries a second, one pair for each setting.
        title: What is shown.

    Raises:
        OmniError: matplotlib isn't installed.
    """
    figure = _figure(width=6.4, height=3.6)
    axes = figure.add_subplot()
    for number, (name, points) in enumerate(series.items()):
        pairs = sorted(points)
        axes.plot(
            [recall for recall, _ in pairs],
            [rate for _, rate in pairs],
            label=name,
            color=_COLOURS[number % len(_COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)],
            markerfacecolor="none",  # one that lies on another hides it less
            linestyle=_DASHES[number % len(_DASHES)],
        )
    least = min(recall for points in series.values() for recall, _ in points)
    axes.set_xlim(least - 0.1 * (1.01 - least), 1 + 0.1 * (1.01 - least))
    axes.set_yscale("log")
    axes.set_xlabel("recall@10 against exact search")
    axes.set_ylabel("queries a second")
    axes.set_title(title, fontsize=9)
    axes.grid(which="both", linewidth=0.4, color="#bbbbbb")
    axes.legend(fontsize=8, frameon=False)
    return _svg(figure)


def _ordered(names: Sequence[str], order: Sequence[str]) -> list[str]:
    present = list(dict.fromkeys(names))
    return [name for name in order if name in present] + [n for n in present if n not in order]


def _figure(*, width: float, height: float) -> "Figure":
    if not available():
        raise OmniError(
            "plots need matplotlib, which isn't installed",
            hint="pip install 'omnidex[bench]'",
        )
    from matplotlib.figure import Figure  # no pyplot: that would look for a screen

    return Figure(figsize=(width, height), layout="constrained")


def _svg(figure: "Figure") -> str:
    # Its stub leaves a type parameter out.
    from matplotlib import rc_context  # pyright: ignore[reportUnknownVariableType]

    buffer = io.StringIO()
    # Text stays text, and equal plots are equal bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "omnidex"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
