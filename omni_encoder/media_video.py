"""Video: parts of equal length, each as a few frames spread evenly over it."""

from collections.abc import Iterator

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from .media_av import OpenParts, is_cut, measure, mime_of, require_decoder, title_of
from .media_frames import FrameReader, to_pixels, turned_size
from .media_info import MediaInfo, Reason, Source
from .media_times import even_parts
from .types import MediaItem, MediaLayout, Modality, Span


def open_video(
    container: InputContainer, stream: VideoStream, source: Source, layout: MediaLayout
) -> tuple[MediaInfo, Iterator[MediaItem]]:
    """Describe a video, and decode its first frame; others as the iterator is advanced.

    Raises:
        MediaError: There is no decoder for it, or nothing can be decoded.
    """
    require_decoder(stream, source)
    source.check_pixels(stream.codec_context.width, stream.codec_context.height)
    length = measure(container, stream, source)
    reader = FrameReader(container, stream)
    first = reader.first()
    if first is None:
        if reader.fault is not None:
            raise reader.fault
        reason = Reason.TRUNCATED if length.is_partial else Reason.EMPTY
        raise source.error(reason, "holds no frame")
    seconds = max(length.seconds, 1 / float(stream.average_rate or 25))
    width, height = turned_size(first, stream)
    info = MediaInfo(
        Modality.VIDEO,
        mime_of(source, Modality.VIDEO),
        width=width,
        height=height,
        duration=seconds,
        title=title_of(container, stream),
        caption=source.caption,
        partial=length.is_partial,
    )
    return info, OpenParts(container, _parts(container, reader, seconds, source, layout))


def _parts(
    container: InputContainer,
    reader: FrameReader,
    seconds: float,
    source: Source,
    layout: MediaLayout,
) -> Iterator[MediaItem]:
    part = 0
    before = -1.0
    with container, source.decoding(lambda: is_cut(source)):
        reader.find_keyframes()
        for start, end in even_parts(seconds, layout.video_part_s):
            slot = (end - start) / layout.video_frames
            frames: dict[float, np.ndarray] = {}
            for number in range(layout.video_frames):
                shot = reader.shot_in(start + number * slot, start + (number + 1) * slot)
                # A picture may stand still from part to part; but past the last one, the file
                # only goes on with sound, or was cut.
                if shot is None or (shot.is_last and shot.seconds == before):
                    continue
                before = shot.seconds
                if shot.seconds not in frames:
                    frames[shot.seconds] = to_pixels(shot.frame, reader.size, layout.image_pixels)
            if frames:
                yield MediaItem(
                    Modality.VIDEO, np.stack(list(frames.values())), part, Span(start, end)
                )
                part += 1
        if part == 0:
            raise source.error(Reason.DAMAGED, "holds no frame where its index says")
