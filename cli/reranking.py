"""What `--rerank` says: by what the first hits are put in a new order, and how many of them."""

from contextlib import suppress
from typing import TYPE_CHECKING

from . import render
from .errors import UsageProblem
from .plain import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexer import Collection
    from omni_encoder.item_codes import Score
    from retrieval import Hit, Query
    from retrieval.rerank import RerankRule

_HINT = (
    "say how many of the first hits, the weight of the flow and its rule, s1, s2 or s3: "
    "--rerank flow:20:0.2 or flow:20:0.2:s2"
)
_MOST = 1000
_SCORES: "dict[str, Score]" = {"s1": "s1", "s2": "s2", "s3": "s3"}


def rerank_rule(given: str | None, *, alone: bool = True) -> "RerankRule | None":
    """The rule that `flow`, `flow:K` or `flow:K:W` stands for, each perhaps with `:s2` or `:s3`.

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
    name, *said = given.split(":")
    if name != "flow":
        raise UsageProblem(f"--rerank doesn't know {given!r}", hint=_HINT)
    score = _SCORES[said.pop()] if said and said[-1] in _SCORES else "s1"
    rule = _rule(score, *said)
    if rule is None:
        raise UsageProblem(
            f"--rerank takes 2 to {_MOST} hits, a weight from 0 to 1 and one of the rules "
            f"{', '.join(_SCORES)}, not {given!r}",
            hint=_HINT,
        )
    if not rule.weight:
        render.note(
            "Re-ranking with the shipped flow doesn't pay, so the order stays "
            f"(docs/results.md); flow:{rule.top}:0.2{_suffix(rule)} gives it a fifth of the say."
        )
    return rule


def _suffix(rule: "RerankRule") -> str:
    return "" if rule.score == "s1" else f":{rule.score}"


def _rule(score: "Score", top: str = "20", weight: str = "0", *more: str) -> "RerankRule | None":
    """The rule; None if the words say none."""
    from retrieval.rerank import RerankRule

    with suppress(ValueError):
        rule = RerankRule(top=int(top), weight=float(weight), score=score)
        return None if more or rule.top > _MOST else rule
    return None


def reranked(
    hits: "Sequence[Hit]", query: "Query", collection: "Collection", rule: "RerankRule"
) -> "list[Hit]":
    """The first `query.k` of the hits in their new order.

    Raises:
        CollectionError: The rule reads codes, and the collection keeps none.
    """
    if rule.score != "s1" and collection.codes is None:
        from indexer.item_codes import no_codes

        raise no_codes(collection)
    if not rule.weight:
        return list(hits[: query.k])
    from retrieval.rerank import load_code_flow, load_flow, rerank, rerank_by_codes

    if rule.score == "s1":
        flow = load_flow(draws=rule.draws)
        return rerank(hits, query, collection=collection, flow=flow, rule=rule)[: query.k]
    by_codes = load_code_flow(rule.score)
    done = rerank_by_codes(hits, query, collection=collection, flow=by_codes, rule=rule)
    if done.left:
        render.note(
            f"{done.left} of the first {counted(min(rule.top, len(hits)), 'hit')} without codes "
            "kept their places: texts, videos, and what omnidex index --codes has not read."
        )
    return done.hits[: query.k]
