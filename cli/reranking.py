"""What `--rerank` says: by what the first hits are put in a new order, and how many of them."""

from contextlib import suppress
from typing import TYPE_CHECKING

from . import render
from .errors import UsageProblem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexer import Collection
    from retrieval import Hit, Query
    from retrieval.rerank import RerankRule

_HINT = "say how many of the first hits and the weight of the flow: --rerank flow:20:0.2"
_MOST = 1000


def rerank_rule(given: str | None, *, alone: bool = True) -> "RerankRule | None":
    """The rule that `flow`, `flow:K` or `flow:K:W` stands for.

    Args:
        given: What was said.
        alone: Whether the search is not a turn of a session.

    Raises:
        UsageProblem: It is neither, or it is a turn of a session.
    """
    if given is None:
        return None
    if not alone:
        raise UsageProblem("a session can't be re-ranked", hint="leave --rerank or --session out")
    name, _, count = given.partition(":")
    if name != "flow":
        raise UsageProblem(f"--rerank doesn't know {given!r}", hint=_HINT)
    rule = _rule(*count.split(":")) if ":" in given else _rule("20")
    if rule is None:
        raise UsageProblem(
            f"--rerank takes 2 to {_MOST} hits and a weight from 0 to 1, not {given!r}", hint=_HINT
        )
    if not rule.weight:
        render.note(
            "Re-ranking with the shipped flow doesn't pay, so the order stays "
            f"(docs/results.md); flow:{rule.top}:0.2 gives it a fifth of the say."
        )
    return rule


def _rule(top: str, weight: str = "0", *more: str) -> "RerankRule | None":
    """The rule; None if the words say none."""
    from retrieval.rerank import RerankRule

    with suppress(ValueError):
        rule = RerankRule(top=int(top), weight=float(weight))
        return None if more or rule.top > _MOST else rule
    return None


def reranked(
    hits: "Sequence[Hit]", query: "Query", collection: "Collection", rule: "RerankRule"
) -> "list[Hit]":
    """The first `query.k` of the hits in their new order."""
    if not rule.weight:
        return list(hits[: query.k])
    from retrieval.rerank import load_flow, rerank

    flow = load_flow(draws=rule.draws)
    return rerank(hits, query, collection=collection, flow=flow, rule=rule)[: query.k]
