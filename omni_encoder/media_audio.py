"""Audio: streamed as mono at 16 kHz, in overlapping windows, never a whole file at once."""

from collections.abc import Iterator

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from jaxtyping import Float32

from .media_av import OpenParts, is_cut, measure, mime_of, require_decoder, title_of
from .media_info import MediaInfo, Reason, Source
from .types import SAMPLE_RATE_HZ, MediaItem, MediaLayout, Modality, Span

# A last window that brings less than this that the window before it didn't have is dropped.
LEAST_NEW_S = 1.0

# Decoding so much sound costs about as much as a seek and is exact.
_WORTH_SEEKING_S = 60.0

_BLOCK_SAMPLES = SAMPLE_RATE_HZ  # the resampler's output; a codec's own frames cost 1.6 times


def open_audio(
    container: InputContainer, stream: AudioStream, source: Source, layout: MediaLayout
) -> tuple[MediaInfo, Iterator[MediaItem]]:
    """Describe a file of sound; it is decoded as the iterator is advanced.

    Raises:
        MediaError: There is no decoder for it.
    """
    require_decoder(stream, source)
    length = measure(container, stream, source)
    info = MediaInfo(
        Modality.AUDIO,
        mime_of(source, Modality.AUDIO),
        duration=length.seconds or None,
        title=title_of(container, stream),
        caption=source.caption,
        partial=length.is_partial,
    )
    return info, OpenParts(container, _parts(container, stream, source, layout))


def samples_between(
    container: InputContainer, stream: AudioStream, span: Span
) -> Float32[np.ndarray, " samples"]:
    """A stretch of sound as mono at 16 kHz, for looking at: far in, it may be some frames off."""
    skipped = span.start
    if span.start > _WORTH_SEEKING_S:
        tick = float(stream.time_base or 0) or 1 / SAMPLE_RATE_HZ
        origin = stream.start_time or 0
        container.seek(origin + int(span.start / tick), stream=stream)
        stamp = next((packet.pts for packet in container.demux(stream)), None)
        if stamp is not None:  # where the seek has led to; reading it took the packet away
            skipped = max(0.0, span.start - (stamp - origin) * tick)
            container.seek(origin + int(span.start / tick), stream=stream)
    first = round(skipped * SAMPLE_RATE_HZ)
    last = first + round((span.end - span.start) * SAMPLE_RATE_HZ)
    blocks: list[np.ndarray] = []
    heard = 0
    for block in _blocks(container, stream):
        blocks.append(block[max(0, first - heard) : max(0, last - heard)])
        heard += len(block)
        if heard >= last:
            break
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


class Windows:
    """Cuts a stream of samples into overlapping windows, holding one window's worth of them."""

    def __init__(self, *, length: int, hop: int, least_new: int) -> None:
        """Set the sizes, in samples.

        Args:
            length: Of a window.
            hop: From one window's start to the next.
            least_new: How many samples a last, shorter window must add.
        """
        if length < 1 or hop < 1:
            raise ValueError(f"length and hop must be at least 1, got {length} and {hop}")
        self._length, self._hop, self._least_new = length, hop, least_new
        self._blocks: list[np.ndarray] = []
        self._held = 0  # samples in the blocks
        self._start = 0  # of the next window, in the file
        self._skip = 0  # samples between two windows that don't overlap
        self._end = 0  # of the last window

    def add(self, block: Float32[np.ndarray, " samples"]) -> Iterator[tuple[int, np.ndarray]]:
        """Take more samples; give the windows that are complete, each with where it starts."""
        skipped = min(self._skip, len(block))
        self._skip -= skipped
        self._blocks.append(block[skipped:])
        self._held += len(block) - skipped
        while self._held >= self._length:
            joined = np.concatenate(self._blocks)
            window = joined[: self._length].copy()
            rest = joined[self._hop :]
            self._skip = max(0, self._hop - len(joined))
            self._blocks, self._held = [rest], len(rest)
            start, self._start = self._start, self._start + self._hop
            self._end = start + self._length
            yield start, window

    def finish(self) -> Iterator[tuple[int, np.ndarray]]:
        """Give the last, shorter window, if it adds enough or is the only one."""
        new = self._start + self._held - max(self._end, self._start)
        if self._held and (self._start == 0 or new >= self._least_new):
            yield self._start, np.concatenate(self._blocks)


def _parts(
    container: InputContainer, stream: AudioStream, source: Source, layout: MediaLayout
) -> Iterator[MediaItem]:
    windows = Windows(
        length=round(layout.audio_part_s * SAMPLE_RATE_HZ),
        hop=round(layout.audio_hop_s * SAMPLE_RATE_HZ),
        least_new=round(LEAST_NEW_S * SAMPLE_RATE_HZ),
    )
    part = 0
    with container, source.decoding(lambda: is_cut(source)):
        for block in _blocks(container, stream):
            for start, samples in windows.add(block):
                yield _item(part, start, samples)
                part += 1
        for start, samples in windows.finish():
            yield _item(part, start, samples)
            part += 1
        if part == 0:
            reason = Reason.TRUNCATED if is_cut(source) else Reason.EMPTY
            raise source.error(reason, "holds no sound")


def _item(part: int, start: int, samples: np.ndarray) -> MediaItem:
    span = Span(start / SAMPLE_RATE_HZ, (start + len(samples)) / SAMPLE_RATE_HZ)
    return MediaItem(Modality.AUDIO, samples, part, span)


def _blocks(container: InputContainer, stream: AudioStream) -> Iterator[np.ndarray]:
    """The whole stream as mono float32 at 16 kHz in [-1, 1], in blocks of about a second."""
    resampler, shape = _resampler(), None
    fault: FFmpegError | None = None
    heard = 0
    for frame in _frames(container, stream):
        if isinstance(frame, FFmpegError):
            fault = frame
            continue
        if shape not in (None, (frame.format.name, frame.layout.name, frame.sample_rate)):
            # A resampler takes frames of one shape only, and streams may change theirs.
            yield from map(_samples, resampler.resample(None))
            resampler = _resampler()
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        frame.pts = None  # time is counted in samples: gaps in the stamps would add silence
        for block in resampler.resample(frame):
            heard += block.samples
            yield _samples(block)
    if shape is not None:
        for block in resampler.resample(None):
            heard += block.samples
            yield _samples(block)
    if fault is not None and not heard:
        raise fault


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame | FFmpegError]:
    # A broken packet is passed over, as players do, and handed on in case there is nothing else.
    try:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except FFmpegError as error:
                yield error
    except FFmpegError as error:
        yield error


def _resampler() -> av.AudioResampler:
    # Channels are averaged. By itself the mix of two equal ones is 1.4 times as loud, and clips.
    return av.AudioResampler(
        "flt",
        "mono",
        SAMPLE_RATE_HZ,
        frame_size=_BLOCK_SAMPLES,
        options={"rematrix_maxval": "1.0"},
    )


def _samples(frame: AudioFrame) -> Float32[np.ndarray, " samples"]:
    samples = np.array(frame.to_ndarray()[0], dtype=np.float32)
    np.nan_to_num(samples, copy=False, posinf=0.0, neginf=0.0)
    return np.clip(samples, -1.0, 1.0, out=samples)
