"""Words: how texts are cut into them, and an inverted index of them in SQLite (FTS5).

The index only says which documents hold a word, where and how often; what that is worth is
computed in `matches`, over all segments together. Words are compared without case, accents and
English endings; Chinese and Japanese characters count as a word each, and what is written without
a gap is looked for as a phrase.
"""

import re
import sqlite3
import unicodedata
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from omni_encoder.arrays import Int32, Int64

TOKENIZER = "porter unicode61 remove_diacritics 2 categories ''L* M* N* Co''"

_DENSE = re.compile(r"([\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")
_QUOTED = re.compile(r'"([^"]*)"|“([^”]*)”')
# Where a name goes on without a gap: `redCar`, `PDFFile`, `car2`.
_SEAM = re.compile(
    r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])"
)


@dataclass(frozen=True, slots=True)
class Unit:
    """What must stand together: a word, or several in this order.

    Attributes:
        words: As the index has them.
        required: Whether nothing without it is a match: it was quoted.
    """

    words: tuple[str, ...]
    required: bool = False


def folded(text: str) -> str:
    """A text as the tokenizer takes it: one form of each character, dense scripts spaced out."""
    return _DENSE.sub(r" \1 ", unicodedata.normalize("NFKC", text))


def name_text(path: str) -> str:
    """What a file's name says: its words, without the suffix."""
    return folded(_SEAM.sub(" ", PurePath(path).stem))


def unquoted(text: str) -> str:
    """A query without the quotation marks of its phrases; as it is, if nothing else is left."""
    plain = _QUOTED.sub(lambda match: match[1] or match[2] or "", text)
    return plain if plain.strip() else text


def units_of(query: str) -> tuple[Unit, ...]:
    """What a query asks for, each unit once; a quoted phrase is required."""
    phrases = [match[1] or match[2] or "" for match in _QUOTED.finditer(query)]
    pieces = _QUOTED.sub(" ", query).split()
    cut = tokens([folded(text) for text in (*phrases, *pieces)])
    found = {words: True for words in cut[: len(phrases)] if words}
    for piece, words in zip(pieces, cut[len(phrases) :], strict=True):
        dense = _DENSE.search(piece) is not None
        for unit in (words,) if dense and words else ((word,) for word in words):
            found.setdefault(unit, False)
    return tuple(Unit(words, required) for words, required in found.items())


def tokens(texts: Sequence[str]) -> list[tuple[str, ...]]:
    """The words of folded texts, as the index has them."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as scratch:
        create(scratch, "text")
        look(scratch)
        scratch.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", enumerate(texts))
        found: list[list[str]] = [[] for _ in texts]
        for number, term in scratch.execute("SELECT doc, term FROM seen ORDER BY doc, offset"):
            found[number].append(term)
        return list(map(tuple, found))


def create(connection: sqlite3.Connection, *columns: str, keeps_text: bool = False) -> None:
    """Make an empty index; `rowid` numbers its documents.

    Args:
        connection: The database.
        columns: What a document has; phrases don't reach from one into another.
        keeps_text: Whether documents can be deleted later, for which their text is kept.
    """
    content = "" if keeps_text else ", content = ''"
    connection.execute(
        f"CREATE VIRTUAL TABLE words USING"
        f" fts5({', '.join(columns)}{content}, tokenize = '{TOKENIZER}')"
    )


def look(connection: sqlite3.Connection) -> None:
    """Let `occurrences` read the index of a database."""
    connection.execute(
        "CREATE VIRTUAL TABLE temp.seen USING fts5vocab('main', 'words', 'instance')"
    )


def lengths(connection: sqlite3.Connection, count: int) -> Int32[np.ndarray, " count"]:
    """How many words each of `count` documents has, those without any among them."""
    found: Int32[np.ndarray, " count"] = np.zeros(count, np.int32)
    for document, sizes in connection.execute("SELECT id, sz FROM words_docsize"):
        found[document] = sum(_varints(sizes))
    return found


def occurrences(
    connection: sqlite3.Connection, unit: Unit
) -> tuple[Int64[np.ndarray, " found"], Int64[np.ndarray, " found"]]:
    """The documents that hold a unit, ascending, and how often each does."""
    if len(unit.words) > 1:
        return _phrase(connection, unit.words)
    found = connection.execute(
        "SELECT doc, count(*) FROM seen WHERE term = ? GROUP BY doc ORDER BY doc", unit.words
    ).fetchall()
    table: Int64[np.ndarray, "found 2"] = np.array(found, np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _phrase(
    connection: sqlite3.Connection, words: Sequence[str]
) -> tuple[Int64[np.ndarray, " found"], Int64[np.ndarray, " found"]]:
    """As `occurrences`: places where the words stand in this order."""
    places: set[tuple[int, str, int]] | None = None
    for step, word in enumerate(words):
        rows = connection.execute("SELECT doc, col, offset FROM seen WHERE term = ?", (word,))
        begins = {(doc, column, offset - step) for doc, column, offset in rows}
        places = begins if places is None else places & begins
        if not places:
            break
    documents = np.array([place[0] for place in places or ()], np.int64)
    found, counts = np.unique(documents, return_counts=True)
    return found, counts.astype(np.int64)


def _varints(blob: bytes) -> list[int]:
    """SQLite's numbers of variable length: seven bits a byte, the highest bit says `more`."""
    found: list[int] = []
    value = 0
    for byte in blob:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            found.append(value)
            value = 0
    return found
