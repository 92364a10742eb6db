"""Text files: read as a stream, whatever their encoding, and cut into passages."""

import codecs
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from .errors import MediaError
from .media_html import html_text
from .media_info import MediaInfo, Reason, Source, clean_title, open_file
from .media_passages import passages
from .media_sniff import HEAD_BYTES, bom_encoding, count_controls
from .types import MediaItem, MediaLayout, Modality

CHUNK_BYTES = 1 << 20
MAX_LINE_BYTES = 1 << 20

# How much of a text may be control characters, and letters beyond ASCII where each is one byte:
# French and German have about 5%, random bytes 11% and 50%.
_MAX_CONTROLS, _MAX_CONTROLS_8_BIT, _MAX_HIGH = 0.01, 0.002, 0.3
_HIGH = bytes(range(0x80, 0x100))
_UNUSED_IN_CP1252 = b"\x81\x8d\x8f\x90\x9d"
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]+")
_HTML_TITLE = re.compile(r"<title\b[^>]*>([^<]*)<", re.IGNORECASE)
_HTML_CHARSET = re.compile(rb"""<meta\b[^>]*?charset\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE)
_CHARSETS = re.compile(r"(windows-|cp)125\d|iso-8859-\d+|shift_jis|euc-(jp|kr)|gb\w+|big5|koi8-\w")
_MARKDOWN_TITLE = re.compile(r"^#[ \t]+(\S.*)$", re.MULTILINE)


def open_text(source: Source, layout: MediaLayout) -> tuple[MediaInfo, Iterator[MediaItem]]:
    """Check that a file is text, and describe it; it is read again as the iterator is advanced.

    Raises:
        MediaError: It is no text.
    """
    decoder = source.kind.decoder
    with source.decoding(lambda: False):
        if decoder == "jsonl":
            info = MediaInfo(Modality.TEXT, source.kind.mime, partial=_has_bad_line(source))
            return info, _parts(source, _caption_passages(source, layout))
        with open_file(source.path) as file:
            encoding = find_encoding(file, is_html=decoder == "html")
            if encoding is None:
                raise source.error(Reason.NOT_TEXT, "is called a text, but holds binary data")
            file.seek(0)
            head = file.read(4 * HEAD_BYTES).decode(encoding, "replace")
    title = {"html": _HTML_TITLE, "markdown": _MARKDOWN_TITLE}.get(decoder)
    found = title.search(head) if title else None
    info = MediaInfo(
        Modality.TEXT,
        source.kind.mime,
        title=clean_title(html.unescape(found[1]).rstrip("# ")) if found else None,
    )
    return info, _parts(source, _file_passages(source, layout, encoding))


def read_caption(path: Path, most_bytes: int) -> str | None:
    """A short text on one line; None if the file is empty, no text, or can't be read."""
    try:
        with open_file(path) as file:
            encoding = find_encoding(file, is_html=False)
            file.seek(0)
            data = file.read(most_bytes)
    except (MediaError, OSError):
        return None
    if encoding is None:
        return None
    # The last character may be cut in two.
    text = codecs.getincrementaldecoder(encoding)("replace").decode(data)
    return " ".join(_CONTROLS.sub(" ", text).split()) or None


def find_encoding(file: BinaryIO, *, is_html: bool) -> str | None:
    """How a text is encoded, judged by all of it; None if it is no text.

    By its byte order mark; else UTF-8; else what its `<meta charset>` says, if it is HTML; else
    CP1252, which Latin-1 files are nearly always meant to be, if it looks like text in that.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    named = bom_encoding(head)
    decoder = codecs.getincrementaldecoder(named or "utf-8")()
    file.seek(0)
    size = controls = high = unused = 0
    is_valid = True
    while chunk := file.read(CHUNK_BYTES):
        size += len(chunk)
        high += len(chunk) - len(chunk.translate(None, _HIGH))
        unused += len(chunk) - len(chunk.translate(None, _UNUSED_IN_CP1252))
        try:
            text = decoder.decode(chunk) if is_valid else ""
        except UnicodeDecodeError:
            is_valid = False
        else:
            chunk = text.encode() if named else chunk
        controls += count_controls(chunk)
    if is_valid:
        return (named or "utf-8") if controls <= _MAX_CONTROLS * size else None
    charset = _HTML_CHARSET.search(head) if is_html else None
    if charset and _CHARSETS.fullmatch(charset[1].decode().lower()):
        return charset[1].decode().lower() if controls <= _MAX_CONTROLS * size else None
    is_text = controls + unused <= _MAX_CONTROLS_8_BIT * size and high <= _MAX_HIGH * size
    return "cp1252" if is_text and named is None else None


def _parts(source: Source, texts: Iterator[str]) -> Iterator[MediaItem]:
    part = 0
    with source.decoding(lambda: False):
        for text in texts:
            yield MediaItem(Modality.TEXT, text, part)
            part += 1
        if part == 0:
            raise source.error(Reason.EMPTY, "holds no words")


def _file_passages(source: Source, layout: MediaLayout, encoding: str) -> Iterator[str]:
    chunks = _chunks(source.path, encoding)
    if source.kind.decoder == "html":
        chunks = html_text(chunks)
    return passages((_CONTROLS.sub(" ", chunk) for chunk in chunks), words=layout.passage_words)


def _chunks(path: Path, encoding: str) -> Iterator[str]:
    # "replace": the file was looked through already; only a character cut at its end can be left.
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    with open_file(path) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def _caption_passages(source: Source, layout: MediaLayout) -> Iterator[str]:
    for caption in _captions(source):
        if isinstance(caption, str):
            # Lone surrogates may stand in JSON, but can't be stored.
            clean = _CONTROLS.sub(" ", caption).encode("utf-8", "replace").decode("utf-8")
            yield from passages([clean], words=layout.passage_words)


def _has_bad_line(source: Source) -> bool:
    """Look through a JSONL file: bad lines are left out, as long as there is a good one.

    Raises:
        MediaError: No line can be used.
    """
    fault: MediaError | None = None
    is_usable = False
    for caption in _captions(source):
        if isinstance(caption, str):
            is_usable = True
        elif fault is None:
            fault = caption
        if is_usable and fault is not None:
            break
    if is_usable:
        return fault is not None
    if fault is not None:
        raise fault
    message = "has no line with a text, a caption or captions"
    raise source.error(Reason.EMPTY, message, hint='such as {"text": "a red bus"}')


def _captions(source: Source) -> Iterator[str | MediaError]:
    # For each line its caption, or what is wrong with it; nothing for one that has no caption.
    with open_file(source.path) as file:
        for number, line in enumerate(_lines(file), start=1):
            if line is None:
                message = f"has a line {number} of more than {MAX_LINE_BYTES} bytes"
                yield source.error(Reason.TOO_LARGE, message)
                continue
            try:
                text = line.removeprefix(codecs.BOM_UTF8).decode("utf-8")
                caption = _caption(cast("object", json.loads(text))) if text.strip() else None
            except (ValueError, RecursionError) as error:
                if not line.endswith(b"\n") and number > 1:
                    message = f"ends in the middle of line {number}"
                    fault = source.error(Reason.TRUNCATED, message)
                else:
                    message = f"has no JSON in line {number}: {error}"
                    fault = source.error(Reason.DAMAGED, message)
                fault.__cause__ = error
                yield fault
                continue
            if caption is not None:
                yield caption


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    # None stands for a line that is too long; no more of it is held than allowed.
    while line := file.readline(MAX_LINE_BYTES):
        end = line
        while len(end) == MAX_LINE_BYTES and not end.endswith(b"\n"):
            end = file.readline(MAX_LINE_BYTES)
            line = None
        yield line


def _caption(row: object) -> str | None:
    if isinstance(row, str):
        return row if row.strip() else None
    if not isinstance(row, dict):
        return None
    fields = cast("dict[str, object]", row)
    captions = fields.get("captions")
    first = cast("list[object]", captions)[:1] if isinstance(captions, list) else []
    for value in (fields.get("text"), fields.get("caption"), *first):
        if isinstance(value, str) and value.strip():
            return value
    return None
