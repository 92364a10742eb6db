"""Passages: a text cut into pieces of so many words at most, between sentences where it can be."""

import re
from collections.abc import Iterable, Iterator

# A word is a run of characters that are not blank. Chinese and Japanese are written without
# blanks, so each of their characters counts as one, as it does for a tokenizer. A longer run than
# this (an address, Base64, Thai) counts as several.
MAX_WORD_CHARS = 64

_IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(rf"(\s*)([{_IDEOGRAPH}]|[^\s{_IDEOGRAPH}]{{1,{MAX_WORD_CHARS}}})")
# Western marks count before a blank, with closing quotes and brackets behind them; ideographic
# ones anywhere: full stop, exclamation and question mark, and what may close behind them.
_WIDE_ENDS, _WIDE_CLOSERS = "\u3002\uff01\uff1f", "\u300d\u300f\uff09"
_ENDS_SENTENCE = re.compile(
    rf"[.!?\u2026][\"'\u201d\u2019\xbb)\]]*$|[{_WIDE_ENDS}][{_WIDE_CLOSERS}]*$"
)
# What the last word of a sentence ends with.
_LAST = frozenset(f".!?\u2026\"'\u201d\u2019\xbb)]{_WIDE_ENDS}{_WIDE_CLOSERS}")
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n|\f|\u2029")


def passages(chunks: Iterable[str], *, words: int) -> Iterator[str]:
    """Cut a text into passages, in order; nothing but white space is lost.

    Each takes as many whole sentences as fit; a sentence that alone is too long is cut between
    words. White space is narrowed to single blanks.

    Args:
        chunks: The text in pieces, cut anywhere.
        words: The most that a passage may hold, at least 1.

    Raises:
        ValueError: `words` is less than 1.
    """
    if words < 1:
        raise ValueError(f"words must be at least 1, got {words}")
    passage: list[str] = []
    for sentence in _sentences(chunks, words):
        if passage and len(passage) + len(sentence) > words:
            yield "".join(passage).strip()
            passage = []
        passage += sentence
    if passage:
        yield "".join(passage).strip()


def count_words(text: str) -> int:
    """How many words a text has, as passages count them."""
    return sum(1 for _ in _WORD.finditer(text))


def _sentences(chunks: Iterable[str], words: int) -> Iterator[list[str]]:
    # Sentences, or pieces of them, of at most `words` words, each word with the blank before it.
    sentence: list[str] = []
    for blank, word in _words(chunks):
        if sentence:
            # Most words follow a letter and a blank, where no sentence ends.
            maybe = blank != " " or sentence[-1][-1] in _LAST
            if len(sentence) == words or (maybe and _is_boundary(sentence[-1], blank, word)):
                yield sentence
                sentence = []
        sentence.append(f" {word}" if blank else word)
    if sentence:
        yield sentence


def _is_boundary(before: str, blank: str, word: str) -> bool:
    if not blank:  # only ideographic text goes on without one
        return before[-1] in _WIDE_ENDS and word[0] not in _WIDE_ENDS + _WIDE_CLOSERS
    return bool(_PARAGRAPH.search(blank) or _ENDS_SENTENCE.search(before))


def _words(chunks: Iterable[str]) -> Iterator[tuple[str, str]]:
    rest = ""
    for chunk in chunks:
        text = rest + chunk
        at = 0
        for found in _WORD.finditer(text):
            if found.end() == len(text):  # it may go on in the next chunk
                break
            yield found[1], found[2]
            at = found.end()
        rest = text[at:]
        if rest.isspace():  # may be endless; all that counts is whether it parts paragraphs
            rest = "\n\n" if _PARAGRAPH.search(rest) else "\n" if "\n" in rest else " "
    for found in _WORD.finditer(rest):
        yield found[1], found[2]
