"""Media files in, decoded items out: every format, by content.

Importing this module loads no decoder. What a file is called only helps where its content leaves
a choice: a JPEG named `.png` is decoded as a JPEG, and an `.mp4` that holds only sound is audio.
"""

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from .errors import MediaError
from .media_info import MAX_PIXELS, REASONS, Kind, MediaInfo, Reason, Source, open_file
from .media_sniff import HEAD_BYTES, kind_by_suffix, sniff
from .types import MediaItem, MediaLayout, Modality

__all__ = [
    "MAX_PIXELS",
    "REASONS",
    "SUFFIXES",
    "MediaInfo",
    "Reason",
    "caption_of",
    "guess_modality",
    "is_sidecar",
    "open_media",
    "sidecar_names",
    "sidecar_of",
    "source_of",
]

_RAW = "dng cr2 cr3 nef nrw arw srf sr2 raf orf rw2 pef srw 3fr erf kdc mrw"

SUFFIXES: Mapping[str, Modality] = MappingProxyType(
    {
        f".{suffix}": modality
        for modality, suffixes in (
            (Modality.TEXT, "txt md markdown html htm xhtml jsonl pdf epub docx"),
            (
                Modality.IMAGE,
                f"jpg jpeg jpe jfif png webp gif bmp dib tif tiff heic heif hif avif svg {_RAW}",
            ),
            (Modality.AUDIO, "wav flac ogg oga opus mp3 m4a m4b aac mka"),
            (Modality.VIDEO, "mp4 m4v mov qt webm mkv avi 3gp 3g2 ogv apng"),
        )
        for suffix in suffixes.split()
    }
)

_DOCUMENTS = frozenset({"pdf", "archive"})
_CAPTION_BYTES = 16_384


def _forms(suffix: str) -> tuple[str, str, str]:
    # Folders tell upper from lower case on most systems: these are the forms that cameras write.
    return suffix, suffix.upper(), f".{suffix[1:].capitalize()}"


_SIDECAR_SUFFIXES = _forms(".txt")
_HOST_SUFFIXES = tuple(
    form
    for suffix, modality in SUFFIXES.items()
    if modality is not Modality.TEXT
    for form in _forms(suffix)
)


def guess_modality(path: Path) -> Modality | None:
    """The modality that a file's suffix promises; None if it is no suffix of media.

    An animated GIF, WebP or PNG turns out to be a video only when it is opened.
    """
    return SUFFIXES.get(path.suffix.lower())


def sidecar_of(path: Path) -> Path | None:
    """The text file that holds the caption of a media file, or None.

    For `photo.jpg` it is `photo.jpg.txt`, else `photo.txt`, or either with `.TXT`. Texts have none.
    """
    if guess_modality(path) in (None, Modality.TEXT):
        return None
    for name in sidecar_names(path.name):
        candidate = f"{path.parent}{os.sep}{name}"
        if _is_file(candidate):
            return Path(candidate)
    return None


def sidecar_names(name: str) -> tuple[str, ...]:
    """What the caption file of a media file of this name may be called; the first one counts."""
    stem = os.path.splitext(name)[0]  # noqa: PTH122 - a tenth of the time of a Path
    return tuple(f"{host}{suffix}" for host in (name, stem) for suffix in _SIDECAR_SUFFIXES)


def is_sidecar(path: Path, *, siblings: Collection[str] | None = None) -> bool:
    """Whether a file is the caption of a media file beside it, and so no item of its own.

    Args:
        path: Any file.
        siblings: The names in its folder, if known: then nothing is looked up on disk.
    """
    if path.suffix not in _SIDECAR_SUFFIXES:
        return False
    host = path.with_suffix("")
    endings = list(_HOST_SUFFIXES)
    if guess_modality(host) not in (None, Modality.TEXT):
        endings.insert(0, "")
    if siblings is not None:
        return any(f"{host.name}{ending}" in siblings for ending in endings)
    return any(_is_file(f"{host}{ending}") for ending in endings)


def caption_of(path: Path) -> str | None:
    """What the sidecar of a media file says, on one line; None without a readable one."""
    sidecar = sidecar_of(path)
    if sidecar is None:
        return None
    from .media_text import read_caption

    return read_caption(sidecar, _CAPTION_BYTES)


def open_media(
    path: Path, layout: MediaLayout, *, max_pixels: int = MAX_PIXELS
) -> tuple[MediaInfo, Iterator[MediaItem]]:
    """Look into a media file, and decode it part by part as the iterator is advanced.

    Memory stays bounded whatever the file's length. Different files may be read by different
    threads; one iterator belongs to one thread.

    Args:
        path: The file; symbolic links are followed.
        layout: How the encoder wants it cut and scaled.
        max_pixels: The largest image or frame to decode, after a JPEG was shrunk while loading.

    Returns:
        What the file says about itself, and its parts in order, at least one.

    Raises:
        MediaError: The file can't be decoded; `reason` is one of `REASONS`. The iterator raises it
            too, when the fault lies deeper in.
        ValueError: `max_pixels` is less than 1.
    """
    if max_pixels < 1:
        raise ValueError(f"max_pixels must be at least 1, got {max_pixels}")
    path = Path(path)
    with open_file(path) as file:
        head = _read_head(file, path)
        kind, is_signed = _kind_of(head, path)
        source = Source(path, kind, caption_of(path), max_pixels, is_signed)
        if kind.modality is Modality.IMAGE:
            if kind.decoder == "svg":
                from .media_vector import open_svg

                return open_svg(file, source, layout)
            if kind.decoder == "raw":
                from .media_raw import open_raw

                return open_raw(file, source, layout)
            from .media_images import open_image

            return open_image(file, source, layout)
    if kind.decoder == "pdf":
        from .media_pdf import open_pdf

        return open_pdf(source, layout)
    if kind.decoder == "archive":
        from .media_document import open_archive

        return open_archive(source, layout)
    if kind.modality is Modality.TEXT:
        from .media_text import open_text

        return open_text(source, layout)
    from .media_streams import open_audio_or_video

    return open_audio_or_video(source, layout)


def source_of(path: Path, *, max_pixels: int = MAX_PIXELS) -> Source:
    """What a file is by its content, for decoding a moment of it; without its caption.

    Raises:
        MediaError: It can't be read, or nothing tells what it is.
    """
    with open_file(path) as file:
        kind, is_signed = _kind_of(_read_head(file, path), path)
    return Source(path, kind, None, max_pixels, is_signed)


def _is_file(path: str) -> bool:
    # os.stat on a str takes a fifth of the time of Path.is_file, and scans ask it per file.
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116
    except (OSError, ValueError):
        return False


def _read_head(file: BinaryIO, path: Path) -> bytes:
    try:
        head = file.read(HEAD_BYTES)
    except OSError as error:
        message = f"{path.name} can't be read: {error.strerror or error}"
        raise MediaError(message, reason=Reason.UNREADABLE) from error
    if not head:
        raise MediaError(f"{path.name} is empty", reason=Reason.EMPTY)
    return head


def _kind_of(head: bytes, path: Path) -> tuple[Kind, bool]:
    # The kind, and whether the content bears it out: texts have no signature to miss.
    promised = guess_modality(path)
    suffix = path.suffix.lower()
    kind = sniff(head, is_named_text=promised is Modality.TEXT)
    if kind is None:
        # Nothing tells what it is, so its name decides, and its decoder has the last word.
        if promised is None:
            message = f"{path.name} is of no format that is known here"
            raise MediaError(message, reason=Reason.UNSUPPORTED)
        return kind_by_suffix(suffix), promised is Modality.TEXT
    is_raw = promised is Modality.IMAGE and kind_by_suffix(suffix).decoder == "raw"
    if is_raw and kind.modality is not Modality.TEXT:
        return kind_by_suffix(suffix), True  # most are TIFF files by their first bytes
    if kind.modality is not Modality.TEXT or kind.decoder in _DOCUMENTS:
        return kind, True
    if promised in (None, Modality.TEXT):
        return (kind if promised is None else kind_by_suffix(suffix)), True
    raise MediaError(
        f"{path.name} holds text, and its name says it is {promised}",
        reason=Reason.WRONG_TYPE,
        hint="give it a suffix that says what it is",
    )
