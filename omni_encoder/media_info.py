"""What is known about a media file, why one can't be read, and errors that say so."""

import re
import stat
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from .errors import MediaError
from .types import Modality

# 0.5 GB a thread at about 8 bytes per pixel while decoding; Pillow's own limits come into play
# only above this one.
MAX_PIXELS = 64_000_000

_TITLE_CHARS = 500
# What decoders find of bytes that are none of theirs.
_SAID_OF_JUNK = frozenset({"truncated", "empty", "damaged", "no_audio", "no_video"})
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\ufffd]+")


class Reason(StrEnum):
    """Why a file can't be decoded: the codes of `MediaError.reason`."""

    EMPTY = "empty"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    WRONG_TYPE = "wrong_type"
    UNSUPPORTED = "unsupported"
    NOT_TEXT = "not_text"
    TOO_LARGE = "too_large"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    LOCKED = "locked"
    NO_AUDIO = "no_audio"
    NO_VIDEO = "no_video"
    UNREADABLE = "unreadable"
    MISSING = "missing"


REASONS: Mapping[str, str] = MappingProxyType(
    {
        Reason.EMPTY: "there is nothing in the file, or nothing but blanks",
        Reason.TRUNCATED: "the file ends before its content does, as after a broken download",
        Reason.DAMAGED: "the file is of a known format, but its data make no sense",
        Reason.WRONG_TYPE: "the file holds text, and its name says it is an image, sound or video",
        Reason.UNSUPPORTED: "the file is of a format or codec that can't be decoded here",
        Reason.NOT_TEXT: "the file is called a text, and holds binary data",
        Reason.TOO_LARGE: "decoding the file would take more memory than is allowed",
        Reason.TIMED_OUT: "decoding or drawing the file took longer than is allowed",
        Reason.CRASHED: "the file made its decoder crash; it is left alone until it changes",
        Reason.LOCKED: "the document is locked by a password",
        Reason.NO_AUDIO: "the file has no sound track",
        Reason.NO_VIDEO: "the file has no picture track",
        Reason.UNREADABLE: "the file can't be opened or read, say for lack of permission",
        Reason.MISSING: "there is no such file, or it went away while it was being read",
    }
)


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a media file says about itself.

    Attributes:
        modality: What it turned out to be, whatever its name says.
        mime: Media type by content, such as `image/jpeg`.
        width: As displayed, in pixels; None for text and audio, or if unknown.
        height: As displayed, in pixels; None for text and audio, or if unknown.
        duration: In seconds; None for text and images.
        title: Its own, from EXIF, ID3, Vorbis or MP4 tags, `<title>` or the first heading.
        caption: What the text file beside it says.
        partial: Whether it is shorter than its container says: it was cut, or some lines of a
            JSONL file are bad, and what is left is used.
    """

    modality: Modality
    mime: str
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    title: str | None = None
    caption: str | None = None
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file's first bytes say it is.

    Attributes:
        modality: Before a closer look: an animation is an image, a file of sound a video.
        decoder: Name of its decoder, such as `jpeg`, `mov` or `html`.
        mime: Media type.
    """

    modality: Modality
    decoder: str
    mime: str


@dataclass(frozen=True, slots=True)
class Source:
    """A file that is about to be decoded.

    Attributes:
        path: Where it lies.
        kind: What its content is.
        caption: What its sidecar says.
        max_pixels: The largest image or frame that may be decoded.
        is_signed: Whether its first bytes say so; otherwise only its name does.
    """

    path: Path
    kind: Kind
    caption: str | None
    max_pixels: int
    is_signed: bool = True

    def error(self, reason: Reason, message: str, *, hint: str = "") -> MediaError:
        """A `MediaError` about this file; `message` goes on after the file's name."""
        return MediaError(f"{self.path.name} {message}", reason=reason, hint=hint)

    def check_pixels(self, width: int, height: int) -> None:
        """Refuse an image or frame that is too large to decode.

        Raises:
            MediaError: It has more than `max_pixels` pixels.
        """
        if width * height > self.max_pixels:
            raise self.error(
                Reason.TOO_LARGE,
                f"is {width} x {height} pixels large, and at most "
                f"{self.max_pixels / 1e6:g} megapixels are decoded",
                hint="make a smaller copy of it",
            )

    @contextmanager
    def decoding(self, is_cut: Callable[[], bool]) -> Generator[None, None, None]:
        """Turn whatever a decoder raises into a `MediaError`, and keep the cause.

        Args:
            is_cut: Whether the file is shorter than its own structure says; asked only after a
                failure.
        """
        try:
            yield
        except MediaError as error:
            if self.is_signed or error.reason not in _SAID_OF_JUNK:
                raise
            raise self._unsigned(error.message.removeprefix(f"{self.path.name} ")) from error
        except MemoryError as error:
            raise self.error(Reason.TOO_LARGE, "needs more memory than there is") from error
        # Decoders raise anything on broken files: OSError, SyntaxError, struct.error, IndexError,
        # zlib.error, RuntimeError. None of them may end a run over many files.
        except Exception as error:
            said = str(getattr(error, "strerror", None) or error)
            detail = " ".join(said.split()).rstrip(".") or type(error).__name__
            if not self.is_signed:
                raise self._unsigned(detail) from error
            if is_cut() or _says_cut(error, detail):
                raise self.error(
                    Reason.TRUNCATED, f"is cut short: {detail}", hint="copy or download it again"
                ) from error
            raise self.error(Reason.DAMAGED, f"can't be decoded: {detail}") from error

    def _unsigned(self, detail: str) -> MediaError:
        return self.error(
            Reason.DAMAGED,
            f"does not begin like {self.kind.mime}, and can't be decoded: {detail}",
            hint="it may have a wrong suffix, or be encrypted or overwritten",
        )


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Raises:
        MediaError: It is missing, is no regular file, or may not be read.
    """
    try:
        status = path.stat()
        # Opening a named pipe would wait for a writer.
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise MediaError(f"{path.name} is {what}", reason=Reason.UNREADABLE)
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MediaError(f"there is no file {path}", reason=Reason.MISSING) from error
    except PermissionError as error:
        raise MediaError(
            f"{path.name} can't be read: {error.strerror}",
            reason=Reason.UNREADABLE,
            hint=f"chmod u+r {path}",
        ) from error
    except OSError as error:
        message = f"{path.name} can't be read: {error.strerror or error}"
        raise MediaError(message, reason=Reason.UNREADABLE) from error


def clean_title(text: str | None) -> str | None:
    """A title on one line, without control characters; None if nothing is left."""
    if text is None:
        return None
    text = _UNPRINTABLE.sub(" ", text).strip()
    return text.encode("utf-8", "replace").decode("utf-8")[:_TITLE_CHARS].strip() or None


def _says_cut(error: Exception, detail: str) -> bool:
    words = ("truncated", "end of file", "unexpected end", "end of data", "not enough data")
    return isinstance(error, EOFError) or any(word in detail.lower() for word in words)
