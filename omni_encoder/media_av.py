"""Audio and video files through PyAV: how they are opened, how long they last, what they say."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import av
import av.container
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.stream import Stream
from av.video.stream import VideoStream

from .media_info import Reason, Source, clean_title, open_file
from .media_structure import has_box, is_cut_short
from .types import MediaItem, Modality

# Formats that are only rows of frames: their length is a guess, or was written before a cut.
_UNMEASURED = frozenset({"mp3", "aac", "flac"})
# How much shorter than said a recording may be before it counts as partial.
_SLACK_S, _SLACK_SHARE = 0.25, 0.01
_AUDIO_MIME = {
    "video/mp4": "audio/mp4",
    "video/quicktime": "audio/mp4",
    "video/webm": "audio/webm",
    "video/x-matroska": "audio/x-matroska",
}
_VIDEO_MIME = {"audio/ogg": "video/ogg"}


@dataclass(frozen=True, slots=True)
class Length:
    """How long a stream lasts.

    Attributes:
        seconds: From its first moment to its last; 0 if there is nothing in it.
        is_partial: Whether the file was cut before that.
    """

    seconds: float
    is_partial: bool


class OpenParts(Iterator[MediaItem]):
    """The parts of an open file; the file is closed when they are used up, or given up.

    A generator that was never started would leave that to the garbage collector, which may take
    its time: a container and its streams refer to each other.
    """

    def __init__(self, container: av.container.InputContainer, parts: Iterator[MediaItem]) -> None:
        self._container, self._parts = container, parts

    def __next__(self) -> MediaItem:
        return next(self._parts)

    def __del__(self) -> None:
        self._container.close()


def open_container(source: Source) -> av.container.InputContainer:
    """Open a file by the format that its content showed, so that nothing else is tried.

    Playlists and the like, which could name other files, are never opened.
    """
    return av.open(
        f"file:{source.path.absolute()}",
        format=source.kind.decoder,
        metadata_errors="replace",
        options={"max_pixels": str(source.max_pixels)},
    )


def require_decoder(stream: AudioStream | VideoStream, source: Source) -> None:
    """Prepare a stream for decoding on the caller's thread.

    Raises:
        MediaError: There is no decoder for it here.
    """
    if getattr(stream, "codec_context", None) is None:
        message = f"holds {stream.type} of a kind that can't be decoded here"
        raise source.error(Reason.UNSUPPORTED, message)
    # More threads cost more CPU altogether, and ingestion decodes several files at once.
    stream.codec_context.thread_count = 1


def mime_of(source: Source, modality: Modality) -> str:
    """The media type of a file that turned out to be audio or video."""
    mime = source.kind.mime
    return (_AUDIO_MIME if modality is Modality.AUDIO else _VIDEO_MIME).get(mime, mime)


def title_of(container: av.container.InputContainer, stream: Stream) -> str | None:
    """The title in a file's tags, or else in a stream's (as in Ogg)."""
    for tags in (container.metadata, stream.metadata):
        for key, value in tags.items():
            if key.lower() == "title" and clean_title(value):
                return clean_title(value)
    return None


def measure(container: av.container.InputContainer, stream: Stream, source: Source) -> Length:
    """How long a stream lasts, read packet by packet where the file's word can't be trusted.

    Reading packets costs about a twentieth of decoding them.
    """
    said = 0.0
    if stream.duration and stream.time_base:
        said = float(stream.duration * stream.time_base)
    elif container.duration:
        said = container.duration / 1e6
    was_cut = is_cut(source)
    if said > 0 and not was_cut and not _is_unmeasured(source):
        return Length(said, is_partial=False)
    found = _scan(source, stream.index)
    slack = max(_SLACK_S, _SLACK_SHARE * said)
    # Packets hold up to 0.1 s of padding that the header knows of, so its word is preferred.
    seconds = said if abs(found - said) <= slack else found
    return Length(seconds, is_partial=was_cut or found < said - slack)


def _scan(source: Source, index: int) -> float:
    # In a container of its own: some formats can't be rewound.
    first, end = sys.maxsize, 0
    with open_container(source) as container:
        stream = container.streams[index]
        tick = float(stream.time_base or 0)  # fractions of each packet would take twice the time
        try:
            for packet in container.demux(stream):
                if packet.pts is not None:
                    first = min(first, packet.pts)
                    end = max(end, packet.pts + (packet.duration or 0))
        except FFmpegError:  # a cut file ends so; what came before it counts
            pass
    return max(0.0, (end - max(first, 0)) * tick) if end else 0.0


def _is_unmeasured(source: Source) -> bool:
    if source.kind.decoder != "mov":
        return source.kind.decoder in _UNMEASURED
    with open_file(source.path) as file:  # fragments may go on after what the header says
        return has_box(file, b"moof")


def is_cut(source: Source) -> bool:
    """Whether a file ends before its own structure says; False without a structure."""
    if not source.is_signed:
        return False
    with open_file(source.path) as file:
        return is_cut_short(file, source.kind.decoder)
