"""Files of sound and moving pictures: which of the two they are."""

from collections.abc import Iterator

from av.stream import Disposition
from av.video.stream import VideoStream

from .media_audio import open_audio
from .media_av import is_cut, open_container
from .media_info import MediaInfo, Reason, Source
from .media_video import open_video
from .types import MediaItem, MediaLayout, Modality


def open_audio_or_video(
    source: Source, layout: MediaLayout
) -> tuple[MediaInfo, Iterator[MediaItem]]:
    """Open an audio or video file; which of the two it is, its streams decide.

    Raises:
        MediaError: It has neither, or none that can be decoded.
    """
    with source.decoding(lambda: is_cut(source)):
        container = open_container(source)
        video = next((s for s in container.streams.video if not _is_cover(s)), None)
        if video is not None:
            return open_video(container, video, source, layout)
        if container.streams.audio:
            return open_audio(container, container.streams.audio[0], source, layout)
        if is_cut(source):
            raise source.error(Reason.TRUNCATED, "is cut short, before its first stream")
        if source.kind.modality is Modality.VIDEO and source.path.suffix.lower() not in (
            ".m4a",
            ".mka",
        ):
            raise source.error(Reason.NO_VIDEO, "has no picture track, and no sound either")
        raise source.error(Reason.NO_AUDIO, "has no sound track")


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)
