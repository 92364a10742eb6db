"""What `--rerank` says: by what the first hits are put in a new order, and how many of them."""

from typing import TYPE_CHECKING

from .errors import UsageProblem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexer import Collection
    from retrieval import Hit, Query
    from retrieval.rerank import RerankRule

_HINT = "say --rerank flow, or how many of the first hits: --rerank flow:50"


def rerank_rule(given: str | None, *, alone: bool = True) -> "RerankRule | None":
    """The rule that `flow` or `flow:K` stands for.

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

    from retrieval.rerank import RerankRule

    if not count:
        return RerankRule() if ":" not in given else _wrong(given)
    if not count.isascii() or not count.isdecimal() or not 2 <= int(count) <= 1000:
        return _wrong(given)
    return RerankRule(top=int(count))


def _wrong(given: str) -> "RerankRule":
    raise UsageProblem(f"--rerank takes 2 to 1000 hits, not {given!r}", hint=_HINT)


def reranked(
    hits: "Sequence[Hit]", query: "Query", collection: "Collection", rule: "RerankRule"
) -> "list[Hit]":
    """The first `query.k` of the hits in their new order."""
    from retrieval.rerank import load_flow, rerank

    flow = load_flow(draws=rule.draws)
    return rerank(hits, query, collection=collection, flow=flow, rule=rule)[: query.k]
