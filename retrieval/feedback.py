"""What was said over several turns, as one query.

Two ways to put words together (docs/adr/0053 has what each finds):

    dialogue   all words are one text, which the model encodes at once
    rocchio    each turn's words are encoded on their own, and their vectors added up

Hits that were called good or bad count by Rocchio's rule (1971), on vectors less the mean of their
modality, where W is what was said in words, G the good hits and B the bad ones:

    q = alpha W + beta mean(G) - gamma (mean(B) + mean of what was said with `not`)
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from omni_encoder import Modality, QueryError

from .query import Term
from .turns import Act, Turn


class Method(StrEnum):
    """How the words of several turns are put together."""

    DIALOGUE = "dialogue"
    ROCCHIO = "rocchio"


@dataclass(frozen=True, slots=True)
class Feedback:
    """How much counts what.

    Attributes:
        method: How the words of several turns are put together.
        alpha: The weight of words, and of files that are searched by.
        beta: That of all hits together that others should be like.
        gamma: That of all hits together, and of all words, that hits should not be like.
    """

    method: Method = Method.DIALOGUE
    alpha: float = 1.0
    beta: float = 1.0
    gamma: float = 0.1

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "gamma"):
            value: float = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be finite and above 0, got {value}")


@dataclass(frozen=True, slots=True)
class State:
    """What was said so far.

    Attributes:
        terms: Files and items that were given beside the words.
        texts: Words, a text for each turn.
        more: Ids of hits that others should be like.
        less: Ids of hits that others should not be like.
        nots: What hits should not be like, in words.
        kinds: What may be found; None for whatever the search allows.
    """

    terms: tuple[Term, ...] = ()
    texts: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    less: tuple[str, ...] = ()
    nots: tuple[str, ...] = ()
    kinds: tuple[Modality, ...] | None = None

    @property
    def says_what(self) -> bool:
        """Whether there is anything to search for, and not only to avoid."""
        return bool(self.terms or self.texts or self.more)

    def words(self, name: Callable[[str], str]) -> str:
        """What is searched for, in words for people.

        Args:
            name: What an item of an id is called.
        """
        parts = [
            term.content.name
            if isinstance(term.content, Path)
            else term.content
            if term.modality
            else f"like {name(term.content)}"
            for term in self.terms
        ]
        parts += self.texts
        parts += [f"like {name(id)}" for id in self.more]
        parts += [f"not like {name(id)}" for id in self.less]
        parts += [f"not {text}" for text in self.nots]
        if self.kinds is not None:
            parts.append(f"only {', '.join(self.kinds)}")
        return "; ".join(parts)


def advance(
    state: State, turn: Turn, shown: Mapping[int, str], *, terms: tuple[Term, ...] = ()
) -> State:
    """What was said after one more turn; NEXT, BACK and OPEN say nothing.

    A hit that was called bad and is now called good is good, and the other way round.

    Args:
        state: What was said before.
        turn: What is said now.
        shown: The ids of the hits that were shown, by rank.
        terms: Files and items that come with the turn.

    Raises:
        QueryError: A rank wasn't shown, no kind is left, or there is nothing to search for.
    """
    if turn.act not in (Act.SAY, Act.NEW):
        return state
    more = tuple(_id(rank, shown) for rank in turn.more)
    less = tuple(_id(rank, shown) for rank in turn.less)
    before = State() if turn.act is Act.NEW else state
    after = State(
        terms=before.terms + terms,
        texts=before.texts + ((turn.text,) if turn.text else ()),
        more=_joined(before.more, more, without=less),
        less=_joined(before.less, less, without=more),
        nots=_joined(before.nots, turn.nots),
        kinds=_kinds(before.kinds, turn),
    )
    if turn.act is Act.SAY and not after.says_what:
        raise QueryError("there is nothing to search for yet", hint="say what: a dog on a beach")
    return after


def query_terms(state: State, feedback: Feedback) -> tuple[Term, ...]:
    """The terms of the query that a state stands for, with their weights."""
    texts = state.texts
    if feedback.method is Method.DIALOGUE and texts:
        texts = (joined_text(texts),)
    avoided = len(state.less) + len(state.nots)
    return (
        *(replace(term, weight=term.weight * feedback.alpha) for term in state.terms),
        *(Term.text(text, weight=feedback.alpha) for text in texts),
        *(Term.like(id, weight=feedback.beta / len(state.more)) for id in state.more),
        *(Term.like(id, weight=-feedback.gamma / avoided) for id in state.less),
        *(Term.text(text, weight=-feedback.gamma / avoided) for text in state.nots),
    )


def joined_text(texts: tuple[str, ...]) -> str:
    """The words of several turns as one text, as a caption would have them."""
    return ", ".join(text.strip(" ,.;") for text in texts)


def _id(rank: int, shown: Mapping[int, str]) -> str:
    if rank not in shown:
        last = max(shown, default=0)
        raise QueryError(
            f"there is no hit {rank}",
            hint=f"hits are numbered up to {last}" if last else "search for something first",
        )
    return shown[rank]


def _joined(
    before: tuple[str, ...], added: tuple[str, ...], *, without: tuple[str, ...] = ()
) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for one in before + added if one not in without))


def _kinds(before: tuple[Modality, ...] | None, turn: Turn) -> tuple[Modality, ...] | None:
    kinds = before
    if turn.only is not None:
        kinds = tuple(dict.fromkeys(turn.only)) or None
    if turn.without:
        left = tuple(kind for kind in kinds or tuple(Modality) if kind not in turn.without)
        if not left:
            raise QueryError("no kind of media is left to find", hint="say: everything")
        return left
    return kinds
