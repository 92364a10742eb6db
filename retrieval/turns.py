"""What a person says in one turn of a search, understood by a few fixed forms; no model guesses.

    more like 3, like the second        be like these hits; `less like 2` is the opposite
    only sounds, no videos, everything  which kinds of media are found
    not people, without cars, less red  what hits should not be like
    next, more results                  the hits after those shown
    back                                as before the last turn
    new: TEXT, new TEXT                 forget all that was said; alone, ask anew
    open 2                              open that hit's file
    anything else                       say more: "same but outdoors", "at night", "a red one"

Several may stand in one turn: "more like 1 and 3 but outdoors, not people, only photos".
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from omni_encoder import Modality, QueryError


class Act(StrEnum):
    """What a turn does with what was said before."""

    SAY = "say"
    NEW = "new"
    NEXT = "next"
    BACK = "back"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn says.

    Attributes:
        act: SAY adds to what was said before, NEW forgets it; the others add nothing.
        text: What hits should be like, in words; may be empty.
        more: Ranks of hits that others should be like.
        less: Ranks of hits that others should not be like.
        nots: What hits should not be like, in words.
        only: The kinds to find from now on; empty stands for all, None for as before.
        without: Kinds to find no more.
        rank: The hit to open.
    """

    act: Act = Act.SAY
    text: str = ""
    more: tuple[int, ...] = ()
    less: tuple[int, ...] = ()
    nots: tuple[str, ...] = ()
    only: tuple[Modality, ...] | None = None
    without: tuple[Modality, ...] = ()
    rank: int = 0


_KINDS = {
    Modality.TEXT: "text texts note notes document documents passage passages",
    Modality.IMAGE: "image images picture pictures photo photos photograph photographs drawing "
    "drawings pics",
    Modality.AUDIO: "sound sounds audio recording recordings",
    Modality.VIDEO: "video videos clip clips film films movie movies",
}
_KIND = {word: kind for kind, words in _KINDS.items() for word in words.split()}
_ORDINALS = (
    *("first", "second", "third", "fourth", "fifth"),
    *("sixth", "seventh", "eighth", "ninth", "tenth"),
)
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_RANK = {word: number for words in (_ORDINALS, _NUMBERS) for number, word in enumerate(words, 1)}

_NUMBER = (
    r"(?:the\s+)?(?:hits?\s+|results?\s+|numbers?\s+|no\.\s*|#\s*)?"
    rf"(?:\d{{1,5}}|{'|'.join(_RANK)})(?:\s+one)?"
)
_LIST = rf"{_NUMBER}(?:\s*(?:,|and|or|&|\s)\s*{_NUMBER})*"
_MORE = re.compile(rf"(?:show\s+(?:me\s+)?)?(?:more\s+)?(?:like|of|similar\s+to)\s+({_LIST})")
_LESS = re.compile(rf"(?:less|not|nothing|fewer)\s+(?:like|of)\s+({_LIST})|unlike\s+({_LIST})")
_ONLY = re.compile(r"(?:only|just)\s+(.+)|(.+?)\s+only")
_WITHOUT = re.compile(r"(?:not|no|without|except)\s+(?:any\s+)?(.+)|less\s+(?!like\b)(.+)")
_NEXT = re.compile(
    r"next(?:\s+(?:page|results|ones))?|(?:show\s+(?:me\s+)?)?more(?:\s+(?:results|hits|please))?"
)
_BACK = re.compile(r"(?:go\s+)?back|undo")
_OPEN = re.compile(rf"open\s+({_NUMBER})")
_NEW = re.compile(r"(?:new(?:\s+search)?|start\s+over)(?:\s*:\s*|\s+|$)(.*)")
_ALL = re.compile(r"everything|all\s+kinds|anything|any\s+kind|of\s+any\s+kind")
_LEAD = re.compile(
    r"(?:(?:(?:the\s+)?same(?:\s+thing)?(?:\s*,|\s+but|\s+and)|but\b|and\b|also\b|now\b)[\s,]*)+"
)
_MORE_AND = re.compile(
    rf"((?:more\s+)?like\s+(?:#?\d{{1,5}}|the\s+(?:{'|'.join(_ORDINALS)})))\s+(\D.*)"
)
_ONLY_OF = re.compile(r"((?:only|just)\s+\S+)\s+(?:of|with)\s+(.+)")
# Between the things that one turn says.
_JOINT = re.compile(r"(\s*[,;]\s*(?:but\s+|and\s+)?|\s+but\s+|\s+and\s+)")


def parse(words: str, *, first: bool = False) -> Turn:
    """Understand one turn. Case doesn't matter; what no form fits is text.

    Args:
        words: What was said.
        first: Whether nothing was said before: then "new york" is a place.

    Raises:
        QueryError: There is nothing in it.
    """
    said = " ".join(words.split()).strip(" .!?") if words.strip() else ""
    if not said:
        raise QueryError("nothing was said", hint="such as: more like 2, only sounds, at night")
    if _NEXT.fullmatch(said.lower()):
        return Turn(Act.NEXT)
    if _BACK.fullmatch(said.lower()):
        return Turn(Act.BACK)
    opened = _OPEN.fullmatch(said.lower())
    if opened:
        return Turn(Act.OPEN, rank=_ranks(opened[1])[0])
    new = _NEW.fullmatch(said.lower())
    if new and not (first and said.lower().startswith("new ") and ":" not in said):
        rest = said[new.start(1) :].strip()
        turn = _clauses(rest) if rest else Turn()
        return _merged(Turn(Act.NEW, only=()), turn)
    return _clauses(said)


def _clauses(said: str) -> Turn:
    """Cut a turn at commas, `and` and `but`, but only beside something that has a form."""
    pieces = _JOINT.split(_LEAD.sub("", said, count=1) if _led(said) else said)
    turn = Turn()
    text = ""
    before: Turn | None = None  # the last piece, if it has a form and may go on
    for number in range(0, len(pieces), 2):
        piece = pieces[number].strip()
        joint = pieces[number - 1] if number else ""
        if not piece:
            continue
        longer = _continued(before, piece, joint) if before else None
        if before is not None and longer is not None:
            turn, before = _unmerged(turn, before, longer), longer
            continue
        found = _form(piece.lower(), piece)
        if found is not None:
            turn, before = _merged(turn, found), found
            continue
        for both in (_MORE_AND, _ONLY_OF):
            match = both.fullmatch(piece.lower())
            found = _form(match[1], match[1]) if match else None
            if match and found is not None:
                turn, piece = _merged(turn, found), piece[match.start(2) :]
                before = found
                break
        text = f"{text}{joint if text and before is None else ', ' if text else ''}{piece}"
        before = None
    return _merged(turn, Turn(text=text))


def _led(said: str) -> bool:
    """Whether a turn begins with words that only tie it to the one before, and then goes on."""
    match = _LEAD.match(said.lower())
    return match is not None and match.end() < len(said)


def _form(piece: str, written: str) -> Turn | None:
    """What a piece says if it has a form of its own."""
    if match := _MORE.fullmatch(piece):
        return Turn(more=_ranks(match[1]))
    if match := _LESS.fullmatch(piece):
        return Turn(less=_ranks(match[1] or match[2]))
    if _ALL.fullmatch(piece):
        return Turn(only=())
    if match := _ONLY.fullmatch(piece):
        kinds = _kinds(match[1] or match[2])
        if kinds:
            return Turn(only=kinds)
    if match := _WITHOUT.fullmatch(piece):
        group = 1 if match[1] else 2
        what = written[match.start(group) : match.end(group)]
        kinds = _kinds(what.lower())
        return Turn(without=kinds) if kinds else Turn(nots=(what,))
    return None


def _continued(before: Turn, piece: str, joint: str) -> Turn | None:
    """What a form becomes when this piece belongs to it, as `3` does in `more like 1 and 3`."""
    low = piece.lower()
    if (before.more or before.less) and re.fullmatch(_LIST, low):
        ranks = _ranks(low)
        return Turn(
            more=before.more + ranks if before.more else (),
            less=before.less + ranks if before.less else (),
        )
    kinds = _kinds(low)
    if kinds and before.only:
        return Turn(only=before.only + kinds)
    if kinds and before.without:
        return Turn(without=before.without + kinds)
    if before.nots and joint.strip().lower() == "and" and _form(low, piece) is None:
        return Turn(nots=(f"{before.nots[0]}{joint}{piece}",))
    return None


def _merged(one: Turn, other: Turn) -> Turn:
    return Turn(
        one.act,
        text=other.text or one.text,
        more=one.more + other.more,
        less=one.less + other.less,
        nots=one.nots + other.nots,
        only=one.only if other.only is None else other.only,
        without=one.without + other.without,
    )


def _unmerged(turn: Turn, before: Turn, after: Turn) -> Turn:
    """The turn with its last form replaced by what that has become."""
    return Turn(
        turn.act,
        text=turn.text,
        more=turn.more[: len(turn.more) - len(before.more)] + after.more,
        less=turn.less[: len(turn.less) - len(before.less)] + after.less,
        nots=turn.nots[: len(turn.nots) - len(before.nots)] + after.nots,
        only=turn.only if after.only is None else after.only,
        without=turn.without[: len(turn.without) - len(before.without)] + after.without,
    )


def _ranks(listed: str) -> tuple[int, ...]:
    found = re.findall(rf"\d+|\b(?:{'|'.join(_RANK)})\b", re.sub(r"\s+one\b", "", listed))
    # "one" alone is a number; behind another it only stands for "hit".
    found = found or ["one"]
    return tuple(dict.fromkeys(_RANK.get(word) or int(word) for word in found))


def _kinds(listed: str) -> tuple[Modality, ...]:
    """The kinds of media that a list names; empty if it names anything else."""
    words = [word for word in re.split(r"[\s,&]+|\band\b|\bor\b", listed) if word]
    kinds = [_KIND.get(word) for word in words]
    if not kinds or None in kinds:
        return ()
    return tuple(dict.fromkeys(kind for kind in kinds if kind))
