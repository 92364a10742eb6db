"""Options of `omnidex search` for words beside vectors, and what JSON says of them."""

import math
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import UsageProblem

if TYPE_CHECKING:
    from retrieval import Hit, Hybrid, Query

HybridOption = Annotated[
    bool,
    typer.Option(
        "--hybrid/--no-hybrid",
        help='Search by the words of captions, titles, texts and file names too; "quoted words" '
        "are one.",
    ),
]
TextWeightOption = Annotated[
    float | None,
    typer.Option(
        "--text-weight",
        metavar="W",
        help="How much these words count beside the vectors; without it, 2.",
        show_default=False,
    ),
]


def hybrid_mode(wanted: bool, weight: float | None) -> "Hybrid | None":
    """What the options stand for.

    Raises:
        UsageProblem: The weight is no number of at least 0, or there is nothing to weigh.
    """
    if weight is not None and not 0 <= weight < math.inf:
        raise UsageProblem(f"--text-weight can't be {weight:g}", hint="use a number from 0 on")
    if not wanted:
        if weight is not None:
            raise UsageProblem(
                "--no-hybrid leaves --text-weight nothing to do", hint="give one of them only"
            )
        return None
    from retrieval import Hybrid

    return Hybrid() if weight is None else Hybrid(weight=weight)


def hybrid_json(query: "Query") -> dict[str, object]:
    """How words take part in a query."""
    weight = None if query.hybrid is None else query.hybrid.weight
    return {"hybrid": query.hybrid is not None, "text_weight": weight}


def ranks_json(hit: "Hit") -> dict[str, object]:
    """By what a hit was found."""
    return {
        "vector_rank": hit.vector_rank,
        "text_rank": hit.text_rank,
        "imagined_rank": hit.imagined_rank,
        "flow_rank": hit.flow_rank,
    }
