"""What a file is by its first bytes."""

import codecs
import re

from .media_info import Kind
from .types import Modality

HEAD_BYTES = 16_384

_KINDS = {
    kind.decoder: kind
    for kind in (
        Kind(Modality.IMAGE, "jpeg", "image/jpeg"),
        Kind(Modality.IMAGE, "png", "image/png"),
        Kind(Modality.IMAGE, "webp", "image/webp"),
        Kind(Modality.IMAGE, "gif", "image/gif"),
        Kind(Modality.IMAGE, "bmp", "image/bmp"),
        Kind(Modality.IMAGE, "tiff", "image/tiff"),
        Kind(Modality.IMAGE, "heif", "image/heic"),
        Kind(Modality.IMAGE, "avif", "image/avif"),
        Kind(Modality.IMAGE, "svg", "image/svg+xml"),
        Kind(Modality.IMAGE, "raw", "image/x-dcraw"),
        Kind(Modality.AUDIO, "wav", "audio/wav"),
        Kind(Modality.AUDIO, "flac", "audio/flac"),
        Kind(Modality.AUDIO, "mp3", "audio/mpeg"),
        Kind(Modality.AUDIO, "aac", "audio/aac"),
        Kind(Modality.AUDIO, "ogg", "audio/ogg"),
        Kind(Modality.VIDEO, "mov", "video/mp4"),
        Kind(Modality.VIDEO, "matroska", "video/x-matroska"),
        Kind(Modality.VIDEO, "avi", "video/x-msvideo"),
        Kind(Modality.TEXT, "text", "text/plain"),
        Kind(Modality.TEXT, "markdown", "text/markdown"),
        Kind(Modality.TEXT, "html", "text/html"),
        Kind(Modality.TEXT, "jsonl", "application/jsonl"),
        Kind(Modality.TEXT, "pdf", "application/pdf"),
        Kind(Modality.TEXT, "archive", "application/epub+zip"),
    )
}
_BY_SUFFIX = {
    suffix: decoder
    for decoder, suffixes in {
        "jpeg": "jpg jpeg jpe jfif",
        "png": "png apng",
        "webp": "webp",
        "gif": "gif",
        "bmp": "bmp dib",
        "tiff": "tif tiff",
        "heif": "heic heif hif",
        "avif": "avif",
        "svg": "svg",
        "raw": "dng cr2 cr3 nef nrw arw srf sr2 raf orf rw2 pef srw 3fr erf kdc mrw",
        "wav": "wav",
        "flac": "flac",
        "mp3": "mp3",
        "aac": "aac",
        "ogg": "ogg oga opus ogv",
        "mov": "mp4 m4v mov qt 3gp 3g2 m4a m4b",
        "matroska": "webm mkv mka",
        "avi": "avi",
        "text": "txt",
        "markdown": "md markdown",
        "html": "html htm xhtml",
        "jsonl": "jsonl",
        "pdf": "pdf",
        "archive": "epub docx",
    }.items()
    for suffix in suffixes.split()
}
_HEIF_BRANDS = frozenset(b"heic heix heim heis hevc hevx hevm hevs mif1 msf1".split())
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_QUICKTIME_BOXES = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_SEGMENT_BOXES = frozenset({b"styp", b"moof", b"sidx"})  # of streams kept piece by piece
_BMP_HEADER_BYTES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_CONTROLS = bytes(b for b in (*range(0x20), 0x7F) if b not in b"\t\n\v\f\r\x1b")
# Atomic groups: without them a row of comments can be parted in exponentially many ways.
_COMMENT = r"(?><!--.*?-->\s*)"
_DOCTYPE = r"(?><!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>\s*)"
_SVG_ROOT = re.compile(
    rf"\s*(?>(?><\?.*?\?>\s*)|{_COMMENT}|{_DOCTYPE})*<(?:\w+:)?svg[\s>]", re.DOTALL | re.IGNORECASE
)
_HTML_ROOT = re.compile(
    rf"\s*(?>{_COMMENT})*<(?:!doctype\s+html|html)\b", re.DOTALL | re.IGNORECASE
)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def kind_by_suffix(suffix: str) -> Kind:
    """The kind that a known suffix, lower case with its dot, promises."""
    return _KINDS[_BY_SUFFIX[suffix[1:]]]


def sniff(head: bytes, *, is_named_text: bool) -> Kind | None:
    """What a file is by its first `HEAD_BYTES` bytes; None if nothing tells.

    Args:
        head: The file's beginning, not empty.
        is_named_text: Whether its name says it is text; then markup stays text.
    """
    text = _clean_text(head)
    if text is None:
        if is_named_text and not count_controls(head):
            return None  # an older encoding: every binary format has control characters up here
        decoder = _binary_decoder(head)
        return _with_mime(_KINDS[decoder], head) if decoder else None
    if is_named_text:
        return _KINDS["text"]
    if _SVG_ROOT.match(text):
        return _KINDS["svg"]
    return _KINDS["html" if _HTML_ROOT.match(text) else "text"]


def bom_encoding(head: bytes) -> str | None:
    """The encoding that a byte order mark names, or None without one."""
    return next((encoding for bom, encoding in _BOMS if head.startswith(bom)), None)


def count_controls(data: bytes) -> int:
    """How many bytes are control characters that no text has any use for."""
    return len(data) - len(data.translate(None, _CONTROLS))


def _clean_text(head: bytes) -> str | None:
    # Without any stray control character: then no signature of a binary format can be meant.
    encoding = bom_encoding(head) or "utf-8"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return None
    return None if count_controls(text.encode()) else text


def _binary_decoder(head: bytes) -> str | None:
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "tiff"
    if head.startswith((b"RIFF", b"RF64")):
        return {b"WEBP": "webp", b"WAVE": "wav", b"AVI ": "avi"}.get(head[8:12])
    if head.startswith(b"BM") and len(head) >= 18:
        return "bmp" if head[14] in _BMP_HEADER_BYTES and not any(head[15:18]) else None
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "matroska"
    if head.startswith(b"OggS"):
        return "ogg"
    if b"%PDF-" in head[:1024] or head.startswith(b"PK\x03\x04"):
        return "archive" if head.startswith(b"PK") else "pdf"
    if head[4:8] == b"ftyp":
        return _brand_decoder(head)
    if head[4:8] in _QUICKTIME_BOXES | _SEGMENT_BOXES:
        return "mov"
    return _frame_decoder(head)


def _brand_decoder(head: bytes) -> str:
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))}
    if brands & _AVIF_BRANDS:
        return "avif"
    return "heif" if head[8:12] in _HEIF_BRANDS else "mov"


def _frame_decoder(head: bytes) -> str | None:
    # Formats that are only a row of frames, often behind an ID3 tag (its length: 4 x 7 bits).
    if head.startswith(b"ID3") and len(head) >= 10 and head[3] < 0x10:
        length = (head[6] << 21) | (head[7] << 14) | (head[8] << 7) | head[9]
        frame = head[10 + length :]
        # Where the tag is longer than the head (cover art), it is nearly always an MP3.
        return "mp3" if len(frame) < 4 else _frame_decoder(frame) or "mp3"
    if head.startswith(b"fLaC"):
        return "flac"
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    if layer == 0:
        return "aac" if head[1] & 0xF0 == 0xF0 else None
    is_frame = version != 1 and head[2] >> 4 != 15 and head[2] >> 2 & 3 != 3
    return "mp3" if is_frame and layer != 3 else None


def _with_mime(kind: Kind, head: bytes) -> Kind:
    mime = kind.mime
    if kind.decoder == "mov":
        is_quicktime = head[4:8] in _QUICKTIME_BOXES or head[8:12] == b"qt  "
        mime = "video/quicktime" if is_quicktime else "video/mp4"
    elif kind.decoder == "matroska" and b"webm" in head[:64]:
        mime = "video/webm"
    return Kind(kind.modality, kind.decoder, mime)
