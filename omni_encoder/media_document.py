"""EPUB and DOCX: the text of ZIP archives, read as a stream."""

import io
import posixpath
import re
import zipfile
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import unquote

from .media_html import html_text
from .media_info import MediaInfo, Reason, Source, clean_title, open_file
from .media_passages import passages
from .types import MediaItem, MediaLayout, Modality

MAX_MEMBER_BYTES = 64_000_000
"""The most that one file inside an archive may hold once it is unpacked."""

MAX_TOTAL_BYTES = 512_000_000
_CHUNK_BYTES = 1 << 20
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ufffe\uffff]+")
_DOCX_TEXT, _EPUB_ROOT = "word/document.xml", "META-INF/container.xml"
_ATTRIBUTE = r"""\b{}\s*=\s*["']([^"']*)["']"""
_TITLE = re.compile(r"<dc:title\b[^>]*>([^<]*)<", re.IGNORECASE)


def open_archive(source: Source, layout: MediaLayout) -> tuple[MediaInfo, Iterator[MediaItem]]:
    """Describe an EPUB or DOCX; its chapters are read as the iterator is advanced.

    Raises:
        MediaError: It is damaged, or something else in a ZIP archive.
    """
    with source.decoding(lambda: False), open_file(source.path) as file:
        archive = _archive(file, source)
        names = _chapters(archive, source)
        title = _archive_title(archive, source)
        mime = source.kind.mime
        if _DOCX_TEXT in names:
            mime = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    info = MediaInfo(Modality.TEXT, mime, title=clean_title(title), caption=source.caption)
    return info, _archive_passages(names, source, layout)


def _archive(file: BinaryIO, source: Source) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise source.error(
            Reason.TRUNCATED, f"is cut short or damaged: {error}", hint="copy or download it again"
        ) from error
    if sum(entry.file_size for entry in archive.infolist()) > MAX_TOTAL_BYTES:
        message = f"holds more than {MAX_TOTAL_BYTES} bytes once it is unpacked"
        raise source.error(Reason.TOO_LARGE, message)
    return archive


def _chapters(archive: zipfile.ZipFile, source: Source) -> list[str]:
    """The names of the files in an archive that hold its text, in reading order."""
    names = set(archive.namelist())
    if _DOCX_TEXT in names:
        return [_DOCX_TEXT]
    if _EPUB_ROOT not in names:
        raise source.error(Reason.UNSUPPORTED, "is a ZIP archive, and no EPUB or DOCX")
    package = _package_name(archive, source)
    text = _member(archive, package, source)
    items: dict[str, str] = {}
    for tag in re.findall(r"<(?:\w+:)?item\b[^>]*>", text):
        found = [re.search(_ATTRIBUTE.format(name), tag) for name in ("id", "href")]
        if found[0] and found[1]:
            items[found[0][1]] = found[1][1]
    spine = re.findall(rf"<(?:\w+:)?itemref\b[^>]*{_ATTRIBUTE.format('idref')}", text)
    folder = posixpath.dirname(package)
    paths = [
        posixpath.normpath(posixpath.join(folder, unquote(items[name])))
        for name in spine
        if name in items
    ]
    chapters = [path for path in paths if path in names]
    if not chapters:
        raise source.error(Reason.EMPTY, "names no chapter that it holds")
    return chapters


def _package_name(archive: zipfile.ZipFile, source: Source) -> str:
    found = re.search(_ATTRIBUTE.format("full-path"), _member(archive, _EPUB_ROOT, source))
    if found is None or found[1] not in archive.namelist():
        raise source.error(Reason.DAMAGED, "doesn't say which of its files is the book")
    return found[1]


def _archive_title(archive: zipfile.ZipFile, source: Source) -> str | None:
    import html

    name = "docProps/core.xml"
    if _EPUB_ROOT in archive.namelist():
        name = _package_name(archive, source)
    if name not in archive.namelist():
        return None
    found = _TITLE.search(_member(archive, name, source))
    return html.unescape(found[1]) if found else None


def _member(archive: zipfile.ZipFile, name: str, source: Source) -> str:
    return "".join(_member_chunks(archive, name, source))


def _member_chunks(archive: zipfile.ZipFile, name: str, source: Source) -> Iterator[str]:
    # What the directory says of sizes may be a lie, so what comes out is counted.
    size = 0
    with archive.open(name) as packed, io.TextIOWrapper(packed, "utf-8-sig", "replace") as text:
        while chunk := text.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > MAX_MEMBER_BYTES:
                message = f"holds a text of more than {MAX_MEMBER_BYTES} bytes"
                raise source.error(Reason.TOO_LARGE, message)
            yield chunk


def _archive_passages(names: list[str], source: Source, layout: MediaLayout) -> Iterator[MediaItem]:
    with source.decoding(lambda: False), open_file(source.path) as file:
        archive = _archive(file, source)
        texts = (text for name in names for text in _chapter(archive, name, source))
        clean = (CONTROLS.sub(" ", text) for text in texts)
        yield from text_items(passages(clean, words=layout.passage_words), source)


def _chapter(archive: zipfile.ZipFile, name: str, source: Source) -> Iterator[str]:
    chunks = _member_chunks(archive, name, source)
    yield from html_text(_as_html(chunks) if name == _DOCX_TEXT else _body(chunks))
    yield "\n\n"


def _body(chunks: Iterator[str]) -> Iterator[str]:
    """A page without its head, whose title is no part of the text."""
    first = next(chunks, "")
    yield re.sub(r"^.*?</head\s*>", "", first, count=1, flags=re.DOTALL | re.IGNORECASE)
    yield from chunks


def _as_html(chunks: Iterator[str]) -> Iterator[str]:
    """WordprocessingML as HTML: its runs cut words in two, so only paragraphs may part text."""
    rest = ""
    for chunk in chunks:
        # Never cut a tag: what follows the last `<` waits for the next chunk.
        text = rest + chunk
        cut = text.rfind("<")
        rest, text = (text[cut:], text[:cut]) if cut >= 0 else ("", text)
        yield _reduced(text)
    yield _reduced(rest)


def _reduced(text: str) -> str:
    text = re.sub(r"<w:(?:br|tab|cr)\b[^>]*>", "<br>", text)
    text = re.sub(r"</w:p>", "<p></p>", text)
    text = re.sub(r"<w:(?:instrText|delText)\b[^>]*>[^<]*", "", text)
    return re.sub(r"</?(?!br>|p>|/p>)[^>]*>", "", text)


def text_items(texts: Iterator[str], source: Source) -> Iterator[MediaItem]:
    """Texts as the parts of a file.

    Raises:
        MediaError: There are none.
    """
    part = 0
    for text in texts:
        yield MediaItem(Modality.TEXT, text, part)
        part += 1
    if part == 0:
        raise source.error(Reason.EMPTY, "holds no words")
