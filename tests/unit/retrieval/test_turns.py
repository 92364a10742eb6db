"""What is said in a turn."""

import pytest

from omni_encoder import Modality, QueryError
from retrieval.turns import Act, Turn, parse

TEXT, IMAGE, AUDIO, VIDEO = Modality

SAID = {
    "more like 3": Turn(more=(3,)),
    "More like 1 and 3.": Turn(more=(1, 3)),
    "more like 2, 4": Turn(more=(2, 4)),
    "like the second one": Turn(more=(2,)),
    "more like hit 12": Turn(more=(12,)),
    "similar to #4": Turn(more=(4,)),
    "more like one": Turn(more=(1,)),
    "like 2 at Night": Turn(text="at Night", more=(2,)),
    "more like 3, at night": Turn(text="at night", more=(3,)),
    "like two dogs": Turn(text="like two dogs"),
    "less like 2": Turn(less=(2,)),
    "not like the first": Turn(less=(1,)),
    "unlike 4": Turn(less=(4,)),
    "more like 3 and less like 1": Turn(more=(3,), less=(1,)),
    "only sounds": Turn(only=(AUDIO,)),
    "sounds only": Turn(only=(AUDIO,)),
    "just photos": Turn(only=(IMAGE,)),
    "only sounds and videos": Turn(only=(AUDIO, VIDEO)),
    "only notes, clips": Turn(only=(TEXT, VIDEO)),
    "only videos of Dogs running": Turn(text="Dogs running", only=(VIDEO,)),
    "only the lonely": Turn(text="only the lonely"),
    "everything": Turn(only=()),
    "no videos": Turn(without=(VIDEO,)),
    "no sounds or videos": Turn(without=(AUDIO, VIDEO)),
    "not people": Turn(nots=("people",)),
    "without Cars and people": Turn(nots=("Cars and people",)),
    "not people, at night": Turn(text="at night", nots=("people",)),
    "less red": Turn(nots=("red",)),
    "same but outdoors": Turn(text="outdoors"),
    "the same, but at night": Turn(text="at night"),
    "and rain": Turn(text="rain"),
    "more red": Turn(text="more red"),
    "a dog, a cat and a bird": Turn(text="a dog, a cat and a bird"),
    "black and white": Turn(text="black and white"),
    "a dog and only photos": Turn(text="a dog", only=(IMAGE,)),
    "more like 1 and 3 but outdoors, not people, only photos": Turn(
        text="outdoors", more=(1, 3), nots=("people",), only=(IMAGE,)
    ),
    "next": Turn(Act.NEXT),
    "more results": Turn(Act.NEXT),
    "Show me more!": Turn(Act.NEXT),
    "back": Turn(Act.BACK),
    "open 2": Turn(Act.OPEN, rank=2),
    "open the third": Turn(Act.OPEN, rank=3),
    "new": Turn(Act.NEW, only=()),
    "new: a Red car": Turn(Act.NEW, text="a Red car", only=()),
    "new a red car, only photos": Turn(Act.NEW, text="a red car", only=(IMAGE,)),
    "start over": Turn(Act.NEW, only=()),
}


@pytest.mark.parametrize("words", SAID)
def test_a_sentence_is_understood_as_people_mean_it(words: str) -> None:
    assert parse(words) == SAID[words]
    assert parse(f"  {words} ") == SAID[words]


def test_new_york_is_a_place_in_the_first_turn() -> None:
    assert parse("new york at night", first=True) == Turn(text="new york at night")
    assert parse("new: york", first=True) == Turn(Act.NEW, text="york", only=())


@pytest.mark.parametrize("words", ["", "  ", ".", "?!"])
def test_nothing_said_is_an_error(words: str) -> None:
    with pytest.raises(QueryError):
        parse(words)
