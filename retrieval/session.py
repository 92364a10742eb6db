"""A search over several turns, kept as a file that gives the same hits when it is replayed.

What a turn means is worked out from what was said and from the ids of the hits that were shown,
both of which the file holds. So a session is read without searching again, and `replay` can tell
whether a collection still answers as it did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from omni_encoder import QueryError

from .feedback import Feedback, State, advance, query_terms
from .query import Hit, Query, Term
from .retriever import Retriever
from .turns import Act, Turn, parse


@dataclass(frozen=True, slots=True)
class Frame:
    """How a turn is searched, whatever it says.

    Attributes:
        query: Limits, filters and mode; `query.terms` is not used.
        terms: Files and items that come with the turn.
    """

    query: Query
    terms: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One turn that was answered.

    Attributes:
        words: What was said.
        frame: How it was searched.
        version: The state of the collection's table, as `omnidex history` numbers it.
        hits: The ids of the hits that were shown, best first.
        first: The rank of the first of them.
    """

    words: str
    frame: Frame
    version: int | None
    hits: tuple[str, ...]
    first: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a turn.

    Attributes:
        turn: As it was understood.
        state: What is searched for now.
        hits: Best first; of a later page only those of that page.
    """

    turn: Turn
    state: State
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A turn that a collection no longer answers as it did.

    Attributes:
        turn: Its number, from 1.
        words: What was said.
        rank: The first rank at which the hits differ; 0 if the turn can't be answered any more.
        expected: The id that was found there; empty if there were no more hits.
        found: The id that is found there now.
        message: Why it can't be answered.
    """

    turn: int
    words: str
    rank: int
    expected: str = ""
    found: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of replaying a session.

    Attributes:
        turns: How many turns there are.
        changed: How many of them were answered from another version of the table than now.
        differences: Turns that are answered differently now.
    """

    turns: int
    changed: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class _Moment:
    """What was said up to some turn, and the ids of the hits that are on the screen, by rank."""

    state: State = field(default_factory=State)
    shown: Mapping[int, str] = field(default_factory=dict[int, str])


class Session:
    """Several turns with one collection."""

    def __init__(self, *, feedback: Feedback | None = None, steps: Sequence[Step] = ()) -> None:
        """Begin, or go on after some steps.

        Raises:
            QueryError: The steps don't follow from each other.
        """
        self.feedback = feedback or Feedback()
        self._steps: list[Step] = []
        self._moments: list[_Moment] = []
        for step in steps:
            turn, state = self.understand(step.words, step.frame.terms)
            self._enter(turn, state, step)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The turns that were answered."""
        return tuple(self._steps)

    @property
    def state(self) -> State:
        """What is searched for."""
        return self._moment.state

    @property
    def shown(self) -> Mapping[int, str]:
        """The ids of the hits that were shown for it, by rank."""
        return self._moment.shown

    def understand(self, words: str, terms: tuple[Term, ...] = ()) -> tuple[Turn, State]:
        """What a turn means here, and what would be searched for after it.

        Raises:
            QueryError: It means nothing here.
        """
        before = self._moment
        turn = parse(words, first=not self._moments) if words.strip() or not terms else Turn()
        if turn.act is Act.BACK:
            if len(self._moments) < 2:
                raise QueryError("there is no turn to go back to")
            return turn, self._moments[-2].state
        if turn.act is Act.NEXT and not before.shown:
            raise QueryError("there are no hits to go on from", hint="search for something first")
        if turn.act is Act.OPEN and turn.rank not in before.shown:
            last = max(before.shown, default=0)
            raise QueryError(f"there is no hit {turn.rank}", hint=f"hits are numbered up to {last}")
        return turn, advance(before.state, turn, before.shown, terms=terms)

    def say(self, words: str, retriever: Retriever, frame: Frame) -> Answer:
        """Take one turn: understand it, search, and remember what was found.

        A turn that can't be answered is not remembered.

        Raises:
            QueryError: The turn means nothing here, or its query can't be answered.
            OmniError: As `Retriever.search` raises it.
        """
        turn, state = self.understand(words, frame.terms)
        version = retriever.collection.version
        hits = self._search(turn, state, retriever, frame)
        first = hits[0].rank if hits else len(self.shown) + 1 if turn.act is Act.NEXT else 1
        step = Step(words, frame, version, tuple(hit.record.id for hit in hits), first)
        self._enter(turn, state, step)
        return Answer(turn, state, tuple(hits))

    def replay(self, retriever: Retriever) -> Replay:
        """Ask everything again, and see whether the same is found.

        Each turn builds on the hits that were shown when it was said, not on those found now, so
        that one difference doesn't bring about all later ones.
        """
        differences: list[Difference] = []
        version = retriever.collection.version
        again = Session(feedback=self.feedback)
        for number, step in enumerate(self._steps, start=1):
            turn, state = again.understand(step.words, step.frame.terms)
            try:
                hits = again._search(turn, state, retriever, step.frame)
            except QueryError as error:
                differences.append(Difference(number, step.words, 0, message=error.message))
            else:
                found = tuple(hit.record.id for hit in hits)
                place = _first_difference(step.hits, found)
                if place is not None:
                    expected, now = (
                        ids[place] if place < len(ids) else "" for ids in (step.hits, found)
                    )
                    rank = step.first + place
                    differences.append(Difference(number, step.words, rank, expected, now))
            again._enter(turn, state, step)
        changed = sum(step.version != version for step in self._steps)
        return Replay(len(self._steps), changed, tuple(differences))

    @property
    def _moment(self) -> _Moment:
        return self._moments[-1] if self._moments else _Moment()

    def _search(
        self, turn: Turn, state: State, retriever: Retriever, frame: Frame
    ) -> Sequence[Hit]:
        """The hits of a turn; those on the screen for OPEN, none where nothing is asked."""
        if turn.act is Act.OPEN or not state.says_what:
            return ()
        skipped = len(self.shown) if turn.act is Act.NEXT else 0
        wanted = skipped + frame.query.k
        if turn.act is Act.BACK:
            wanted = max(wanted, len(self._moments[-2].shown))
        query = replace(
            frame.query,
            terms=query_terms(state, self.feedback),
            modalities=state.kinds or frame.query.modalities,
            k=wanted,
        )
        return retriever.search(query)[skipped:]

    def _enter(self, turn: Turn, state: State, step: Step) -> None:
        self._steps.append(step)
        hits = dict(enumerate(step.hits, start=step.first))
        if turn.act is Act.OPEN:
            return
        if turn.act is Act.BACK:
            self._moments.pop()
            self._moments[-1] = _Moment(state, hits)
        elif turn.act is Act.NEXT:
            self._moments[-1] = _Moment(state, {**self._moment.shown, **hits})
        else:
            self._moments.append(_Moment(state, hits))


def open_path(retriever: Retriever, id: str) -> Path | None:
    """A file that holds an item and is there; None if there is none.

    Raises:
        QueryError: The collection doesn't know the item any more.
    """
    return next((path for path in retriever.collection.get(id).paths if path.is_file()), None)


def _first_difference(one: Sequence[str], other: Sequence[str]) -> int | None:
    places = range(max(len(one), len(other)))
    return next((i for i in places if one[i : i + 1] != other[i : i + 1]), None)
