import sqlite3
import string
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.words import (
    Unit,
    create,
    folded,
    lengths,
    look,
    name_text,
    occurrences,
    tokens,
    units_of,
    unquoted,
)


def test_words_are_the_same_without_case_accents_and_english_endings() -> None:
    assert units_of("CAFÉ cafe\u0301 cafe") == (Unit(("cafe",)),)
    assert units_of("dogs") == units_of("Dog")
    assert units_of("हिन्दी") == (Unit(("हिन्दी",)),)


def test_a_quoted_phrase_is_one_required_unit_and_an_open_quote_is_none() -> None:
    assert units_of('beach "red car" “old town”') == (
        Unit(("red", "car"), required=True),
        Unit(("old", "town"), required=True),
        Unit(("beach",)),
    )
    assert units_of('"red car') == (Unit(("red",)), Unit(("car",)))
    assert units_of('"" !? ""') == ()


def test_chinese_words_are_phrases_of_characters() -> None:
    assert units_of("海滩 sunset") == (Unit(("海", "滩")), Unit(("sunset",)))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/photos/IMG_20240612-redCar.jpg", ["img", "20240612", "red", "car"]),
        ("/a/PDFFile2.tar.gz", ["pdf", "file", "2", "tar"]),
        ("/beach/x.png", ["x"]),
        ("/a/été à la plage.png", ["ete", "a", "la", "plage"]),
    ],
)
def test_the_words_of_a_name_are_told_apart(path: str, words: list[str]) -> None:
    assert tokens([name_text(path)]) == tokens([" ".join(words)])


def test_quotation_marks_are_not_for_the_encoder() -> None:
    assert unquoted('a "red car" at night') == "a red car at night"
    assert unquoted('""') == '""'


WORDS = st.lists(st.sampled_from(["red", "car", "old"]), max_size=6)


@given(
    documents=st.lists(WORDS, min_size=1, max_size=5),
    unit=st.sampled_from([("red",), ("red", "car"), ("red", "red"), ("car", "old", "red")]),
)
@settings(max_examples=60, deadline=None)
def test_occurrences_are_those_that_a_plain_look_through_finds(
    documents: list[list[str]], unit: tuple[str, ...]
) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        create(connection, "first", "second")
        look(connection)
        for number, words in enumerate(documents):
            connection.execute(
                "INSERT INTO words (rowid, first, second) VALUES (?, ?, ?)",
                (number, " ".join(words[:3]), " ".join(words[3:])),
            )
        found, counts = occurrences(connection, Unit(unit))
        expected = {}
        for number, words in enumerate(documents):
            count = sum(
                column[i : i + len(unit)] == list(unit)
                for column in (words[:3], words[3:])
                for i in range(len(column))
            )
            if count:
                expected[number] = count
        assert dict(zip(found.tolist(), counts.tolist(), strict=True)) == expected
        assert list(found) == sorted(found)
        assert lengths(connection, len(documents)).tolist() == list(map(len, documents))


@given(st.text(alphabet=string.printable + "éßЖ海\u0301\x00\ud7ff", max_size=30))
@settings(max_examples=60, deadline=None)
def test_any_text_can_be_asked_for(query: str) -> None:
    assert all(unit.words for unit in units_of(query))
    assert tokens([folded(query)])[0] == tokens([folded(query)])[0]
    assert unquoted(query) is not None
