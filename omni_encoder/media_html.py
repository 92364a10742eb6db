"""The text of an HTML page, without scripts and styles, as a stream."""

from collections.abc import Iterable, Iterator
from html import unescape
from html.parser import HTMLParser

# A tag or comment that is still open after this much is a fault: a page with pictures inside its
# tags stays below it, and the parser would read an open one again with every chunk.
MAX_OPEN_CHARS = 16_000_000
_MAX_START_CHARS = 4000  # a title and a heading are shorter

_HIDDEN = frozenset({"script", "style", "template", "noscript"})
_PHRASE_TAGS = (
    "a abbr acronym bdi bdo cite code data del dfn em img ins kbd label mark q rp rt ruby"
)
_FORMAT_TAGS = "b big font i s samp small span strike strong sub sup time tt u var wbr"
_INLINE = frozenset(f"{_PHRASE_TAGS} {_FORMAT_TAGS}".split())
_CELLS = frozenset({"br", "td", "th", "option", "button", "input", "select"})


class _TextParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.has_title = False  # before any other words
        self._has_words = False
        self._hidden: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if self._hidden is None and tag in _HIDDEN:
            self._hidden = tag
        self.has_title = self.has_title or (tag == "title" and not self._has_words)
        self._part(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = None
        self._part(tag)

    def handle_data(self, data: str) -> None:
        if self._hidden is None:
            self.pieces.append(data)
            self._has_words = self._has_words or bool(data.strip())

    def _part(self, tag: str) -> None:
        # Blocks are paragraphs of their own, cells only stand apart.
        if tag not in _INLINE:
            self.pieces.append(" " if tag in _CELLS else "\n\n")


def html_text(chunks: Iterable[str]) -> Iterator[str]:
    """The text of a page in pieces: entities resolved, block elements apart by a blank line.

    A heading that says the page's title once more is left out.

    Args:
        chunks: The page, cut anywhere.

    Raises:
        ValueError: A tag or comment doesn't end within `MAX_OPEN_CHARS`.
    """
    parser = _TextParser()
    start: str | None = ""  # what may still hold title and heading
    for piece in _pieces(parser, chunks):
        if start is None:
            yield piece
            continue
        start += piece
        if len(start) > _MAX_START_CHARS or len(_blocks(start)) > 2:
            yield _once(start) if parser.has_title else start
            start = None
    if start:
        yield _once(start) if parser.has_title else start


def _blocks(text: str) -> list[str]:
    """The first two blocks that aren't blank, and a third if they are complete."""
    return [block for block in text.split("\n\n") if block.strip()][:3]


def _once(start: str) -> str:
    """The text without its second block, if that says what the first says."""
    blocks = _blocks(start)
    if len(blocks) < 2 or blocks[0].split() != blocks[1].split():
        return start
    second = start.index(blocks[1], start.index(blocks[0]) + len(blocks[0]))
    return start[:second] + start[second + len(blocks[1]) :]


def _pieces(parser: _TextParser, chunks: Iterable[str]) -> Iterator[str]:
    for chunk in chunks:
        parser.feed(chunk)
        if len(parser.rawdata) > MAX_OPEN_CHARS:
            raise ValueError(f"a tag is still open after {MAX_OPEN_CHARS} characters")
        yield "".join(parser.pieces)
        parser.pieces.clear()
    # Not close(): on an open tag it takes quadratic time, and that holds no text anyway.
    rest = parser.rawdata
    if not rest.startswith("<"):
        parser.handle_data(unescape(rest))
        yield "".join(parser.pieces)
