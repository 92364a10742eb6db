"""What `--rerank` says: by what the nearest are put in a new order, and how many of them."""

from contextlib import suppress
from typing import TYPE_CHECKING

from . import render
from .errors import UsageProblem
from .plain import counted

if TYPE_CHECKING:
    from omni_encoder.item_codes import Score
    from retrieval import Hit, Query, Retriever
    from retrieval.rerank import RerankRule
    from retrieval.reranker import Reranker

_HINT = (
    "say how many of the nearest, the weight of the flow and its rule, s1, s2 or s3: "
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
            f"--rerank takes 2 to {_MOST} of the nearest, a weight from 0 to 1 and one of "
            f"the rules {', '.join(_SCORES)}, not {given!r}",
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
    retriever: "Retriever", query: "Query", rule: "RerankRule"
) -> "tuple[list[Hit], dict[str, object]]":
    """The hits of a query whose nearest the flow judges, and how it did that, for JSON.

    Raises:
        CollectionError: The rule reads codes, and the collection keeps none.
    """
    from retrieval.reranker import search_reranked

    hits, done = search_reranked(retriever, query, rule)
    if done.judged:
        render.note(
            f"The {counted(done.judged, 'nearest item')} judged by {rule.score}, weight "
            f"{rule.weight:g}, in {done.seconds:.1f} s, after {done.load_seconds:.1f} s of loading."
        )
    elif rule.weight:
        render.note("Fewer than two items could be judged, so the order stays.")
    if done.left:
        texts = "texts, which s3 can't judge, and " if rule.score == "s3" else ""
        render.note(
            f"{counted(done.left, 'item')} of the nearest kept their places: {texts}"
            "what omnidex index --codes has not read."
        )
    return hits, _json(done)


def _json(done: "Reranker") -> dict[str, object]:
    """How hits were re-ranked, or why they were not, as it stands in JSON."""
    rule = done.rule
    why = None if done.judged else "weight" if not rule.weight else "nothing-to-judge"
    return {
        "by": "flow",
        "rule": rule.score,
        "top": rule.top,
        "weight": rule.weight,
        "draws": rule.draws,
        "applied": bool(done.judged),
        "why_not": why,
        "judged": done.judged,
        "not_judged": done.left,
        "seconds": round(done.seconds, 3),
        "load_seconds": round(done.load_seconds, 3),
    }
