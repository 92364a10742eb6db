"""PDF: the words on its pages, or pictures of them where there are hardly any words."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import pypdfium2  # pyright: ignore[reportMissingTypeStubs] - it has none; see the protocols below
from jaxtyping import UInt8

from .media_document import CONTROLS, text_items
from .media_info import MediaInfo, Reason, Source, clean_title, open_file
from .media_passages import passages
from .types import MediaItem, MediaLayout, Modality

MAX_PAGES = 5000
LEAST_LETTERS = 16
"""A PDF whose pages hold fewer letters than this on average is taken for a scan."""

_LOOKED_AT = 20  # pages, to tell a scan from a text
_LOCK = threading.Lock()  # PDFium is for one thread at a time


def open_pdf(source: Source, layout: MediaLayout) -> tuple[MediaInfo, Iterator[MediaItem]]:
    """Describe a PDF; its pages are read as the iterator is advanced.

    Raises:
        MediaError: It is damaged, locked by a password, or has no page.
    """
    with source.decoding(lambda: _is_cut(source)):
        pdf = _open(source)
        try:
            looked = range(min(pdf.pages, _LOOKED_AT))
            letters = sum(len(pdf.text(number).strip()) for number in looked)
            title = pdf.title()
        finally:
            pdf.close()
        if not 1 <= len(looked) <= pdf.pages <= MAX_PAGES:
            reason = Reason.TOO_LARGE if pdf.pages else Reason.EMPTY
            raise source.error(reason, f"has {pdf.pages} pages; 1 to {MAX_PAGES} are read")
        is_text = letters >= LEAST_LETTERS * len(looked)
    info = MediaInfo(
        Modality.TEXT if is_text else Modality.IMAGE,
        source.kind.mime,
        title=clean_title(title),
        caption=source.caption,
    )
    return info, (_texts if is_text else _pictures)(source, layout)


class _TextPage(Protocol):
    """What is used of PDFium's text of a page."""

    def get_text_bounded(self) -> str: ...
    def close(self) -> None: ...


class _Bitmap(Protocol):
    """What is used of a page that was drawn."""

    def to_numpy(self) -> np.ndarray: ...
    def close(self) -> None: ...


class _Page(Protocol):
    """What is used of a page."""

    def get_textpage(self) -> _TextPage: ...
    def get_size(self) -> tuple[float, float]: ...
    def render(self, *, scale: float, rev_byteorder: bool) -> _Bitmap: ...
    def close(self) -> None: ...


class _Document(Protocol):
    """What is used of a document."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> _Page: ...
    def get_metadata_value(self, key: str, /) -> str: ...
    def close(self) -> None: ...


class _Pdf:
    """An open document, each of whose calls keeps other threads out of PDFium."""

    def __init__(self, path: Path) -> None:
        # Through a file of ours: PDFium takes only names that are UTF-8.
        self._file = open_file(path)
        try:
            with _LOCK:
                self._document = cast("_Document", pypdfium2.PdfDocument(self._file))
                self.pages = len(self._document)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        with _LOCK:
            self._document.close()
        self._file.close()

    def title(self) -> str:
        with _LOCK:
            return self._document.get_metadata_value("Title")

    def text(self, number: int) -> str:
        with _LOCK:
            page = self._document[number]
            try:
                found = page.get_textpage()
                try:
                    return CONTROLS.sub(" ", found.get_text_bounded())
                finally:
                    found.close()
            finally:
                page.close()

    def picture(
        self, number: int, pixels: int, source: Source
    ) -> UInt8[np.ndarray, "height width 3"]:
        """A page with its shorter side at `pixels`: no more than that is ever drawn."""
        with _LOCK:
            page = self._document[number]
            try:
                width, height = page.get_size()
                scale = pixels / max(1.0, min(width, height))
                source.check_pixels(round(width * scale), round(height * scale))
                drawn = page.render(scale=scale, rev_byteorder=True)
                array = np.array(drawn.to_numpy()[..., :3], dtype=np.uint8)
                drawn.close()
            finally:
                page.close()
        return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array


def _open(source: Source) -> _Pdf:
    try:
        return _Pdf(source.path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise source.error(Reason.LOCKED, "is locked by a password") from error
        raise


def _texts(source: Source, layout: MediaLayout) -> Iterator[MediaItem]:
    with source.decoding(lambda: _is_cut(source)):
        pdf = _open(source)
        try:
            # A form feed ends a paragraph.
            texts = (f"{pdf.text(number)}\f" for number in range(pdf.pages))
            clean = (text.encode("utf-8", "replace").decode() for text in texts)
            yield from text_items(passages(clean, words=layout.passage_words), source)
        finally:
            pdf.close()


def _pictures(source: Source, layout: MediaLayout) -> Iterator[MediaItem]:
    with source.decoding(lambda: _is_cut(source)):
        pdf = _open(source)
        try:
            for number in range(pdf.pages):
                pixels = pdf.picture(number, layout.image_pixels, source)
                yield MediaItem(Modality.IMAGE, pixels, number)
        finally:
            pdf.close()


def _is_cut(source: Source) -> bool:
    with open_file(source.path) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - 4096))
        return b"%%EOF" not in file.read()
