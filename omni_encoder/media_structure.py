"""Whether a file ends before its own structure says."""

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO


def is_cut_short(file: BinaryIO, decoder: str) -> bool:
    """Whether a file's own structure says that it should go on after its end.

    False where the format's structure doesn't tell, and for a file that makes no sense.
    """
    try:
        size = file.seek(0, os.SEEK_END)
        return _CUT_CHECKS[decoder](file, size) if decoder in _CUT_CHECKS else False
    except (OSError, ValueError, struct.error, IndexError):
        return False


def has_box(file: BinaryIO, name: bytes) -> bool:
    """Whether an ISO base media file (MP4 and its kin) has a top-level box of this name."""
    size = file.seek(0, os.SEEK_END)
    return any(box == name for box, _ in _boxes(file, size))


def _tail(file: BinaryIO, size: int) -> bytes:
    file.seek(max(0, size - 65_536))
    return file.read(65_536)


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    # Name and end of each box; an end of 0 means "up to the end of the file".
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, header = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, header = int.from_bytes(head[8:16], "big"), 16
        end = size if length == 0 else at + length
        yield head[4:8], end
        if length and length < header:
            return
        at = end


def _iso_is_cut(file: BinaryIO, size: int) -> bool:
    names, last = set[bytes](), 0
    for name, end in _boxes(file, size):
        names.add(name)
        last = end
    return last > size or not names & {b"moov", b"moof", b"meta"}


def _riff_is_cut(file: BinaryIO, size: int) -> bool:
    file.seek(0)
    magic, length = struct.unpack("<4sI", file.read(8))
    # 0 and the largest number mean that the writer couldn't go back to fill the length in; some
    # writers count their own 8 bytes in, hence the slack.
    return magic == b"RIFF" and length not in (0, 0xFFFFFFFF) and length > size + 8


def _ebml_is_cut(file: BinaryIO, size: int) -> bool:
    file.seek(0)
    head = file.read(4096)

    def length_at(at: int) -> tuple[int | None, int]:
        width = 9 - head[at].bit_length()
        value = int.from_bytes(head[at : at + width], "big") & ((1 << 7 * width) - 1)
        return (None if value == (1 << 7 * width) - 1 else value), at + width

    header, at = length_at(4)
    segment = at + (header or 0)
    if head[segment : segment + 4] != b"\x18S\x80g":
        return False
    length, at = length_at(segment + 4)
    return length is not None and at + length > size


def _ogg_is_cut(file: BinaryIO, size: int) -> bool:
    tail = _tail(file, size)
    page = tail[tail.rfind(b"OggS") :]
    if not page.startswith(b"OggS") or len(page) < 27:
        return True
    segments = page[27 : 27 + page[26]]
    is_whole = len(page) >= 27 + page[26] + sum(segments)
    return not (is_whole and page[5] & 4)  # 4 marks a stream's last page


def _tiff_is_cut(file: BinaryIO, size: int) -> bool:
    file.seek(0)
    head = file.read(16)
    order = "<" if head.startswith(b"II") else ">"
    is_big = head[2:4] in (b"+\0", b"\0+")
    (directory,) = struct.unpack_from(f"{order}{'Q' if is_big else 'I'}", head, 8 if is_big else 4)
    return directory >= size


def _bmp_is_cut(file: BinaryIO, size: int) -> bool:
    file.seek(2)
    return struct.unpack("<I", file.read(4))[0] > size


def _jpeg_is_cut(file: BinaryIO, size: int) -> bool:
    return b"\xff\xd9" not in _tail(file, size)


def _png_is_cut(file: BinaryIO, size: int) -> bool:
    return b"IEND" not in _tail(file, size)


def _gif_is_cut(file: BinaryIO, size: int) -> bool:
    return not _tail(file, size).rstrip(b"\0").endswith(b";")


_CUT_CHECKS: Mapping[str, Callable[[BinaryIO, int], bool]] = {
    "mov": _iso_is_cut,
    "heif": _iso_is_cut,
    "avif": _iso_is_cut,
    "wav": _riff_is_cut,
    "avi": _riff_is_cut,
    "webp": _riff_is_cut,
    "matroska": _ebml_is_cut,
    "ogg": _ogg_is_cut,
    "tiff": _tiff_is_cut,
    "bmp": _bmp_is_cut,
    "jpeg": _jpeg_is_cut,
    "png": _png_is_cut,
    "gif": _gif_is_cut,
}
