"""Frames of a video at chosen moments: from keyframes where they lie well, else by decoding on.

Taking the keyframe nearest to a moment costs a fifth to a tenth of decoding up to it. It is near
enough when it lies in the same slot, that is, nearer to this moment than to the one before or
after, so every slot still has a frame of its own.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream
from jaxtyping import UInt8

from .media_pixels import MAX_ASPECT

# Frames that nothing refers to are passed over until this close to the wanted moment.
_SKIP_UNTIL_S = 0.25
# A keyframe ahead is worth a seek only when it saves this much decoding.
_WORTH_SEEKING_S = 0.2

# Between a frame's decoding and its display; more is another thing.
_LONGEST_DELAY_S = 1.0


@dataclass(frozen=True, slots=True)
class Shot:
    """A frame and when it is shown.

    Attributes:
        frame: As decoded.
        seconds: From the video's start.
        is_last: Whether the video ends with it.
    """

    frame: VideoFrame
    seconds: float
    is_last: bool


class FrameReader:
    """Reads frames in the order of time from one stream, holding two of them."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.fault: FFmpegError | None = None
        self.size = (1, 1)
        self.stream = stream
        self._container = container
        self._tick = float(stream.time_base or 0) or 1 / 90_000
        self._origin = stream.start_time or 0
        self._packets: Iterator[Packet[VideoStream]] | None = None
        self._waiting: list[VideoFrame] = []
        self._shown: tuple[float, VideoFrame] | None = None
        self._ahead: tuple[float, VideoFrame] | None = None
        self._frame_s = 1 / float(stream.average_rate or 25)
        self._keys: list[float] = []

    def first(self) -> VideoFrame | None:
        """The first frame that can be decoded, or None; the others are scaled to its size."""
        self._packets = self._container.demux(self.stream)
        self._shown = self._next(0.0)
        if self._shown is None:
            return None
        self.size = displayed_size(self._shown[1], self.stream)
        return self._shown[1]

    def find_keyframes(self) -> None:
        """Look up where the keyframes are. Without it, or an index, all frames are decoded."""
        try:  # Matroska reads its index at the first seek
            self._seek(self._origin)
        except FFmpegError as error:
            self.fault = error
        # Read out at once: after another seek these entries may point to freed memory.
        stamps = [entry.timestamp for entry in self.stream.index_entries if entry.is_keyframe]
        # MP4's index counts in decoding time, and its seeks in the time of display: the same
        # delay apart as the first frame's two times.
        delay = self._origin - min(stamps, default=self._origin)
        if not 0 <= delay * self._tick <= _LONGEST_DELAY_S:
            delay = 0
        self._keys = [(stamp + delay - self._origin) * self._tick for stamp in stamps]

    def shot_in(self, start: float, end: float) -> Shot | None:
        """A frame for a slot of time: the keyframe nearest to its middle, or what is shown there.

        None if nothing can be decoded. Slots must be asked for in order.
        """
        middle = (start + end) / 2
        number = self._key_before(middle)
        near = [n for n in (number, number + 1) if 0 <= n < len(self._keys)]
        key = min(near, key=lambda n: abs(self._keys[n] - middle), default=None)
        if key is not None and start <= self._keys[key] < end and self._seek_key(key):
            shot = self._advance(self._keys[key], keep_going=False)
            if shot and start <= shot.seconds < end:
                return shot
        if number >= 0:
            at = self._shown[0] if self._shown else float("inf")
            if at > middle or self._keys[number] > at + _WORTH_SEEKING_S:
                self._seek_key(number)
        return self._advance(middle, keep_going=True)

    def _key_before(self, seconds: float) -> int:
        return bisect_right(self._keys, seconds) - 1

    def _seek_key(self, number: int) -> bool:
        try:
            # Half a frame later, lest rounding leads to the keyframe before.
            self._seek(self._origin + round((self._keys[number] + self._frame_s / 2) / self._tick))
        except FFmpegError as error:
            self.fault = error
            return False
        return True

    def _seek(self, stamp: int) -> None:
        self._container.seek(stamp, stream=self.stream)
        self._packets = self._container.demux(self.stream)
        self._waiting.clear()
        self._shown = self._ahead = None

    def _advance(self, seconds: float, *, keep_going: bool) -> Shot | None:
        while True:
            if self._ahead is None:
                self._ahead = self._next(seconds)
            if self._ahead is None or (self._shown and self._ahead[0] > seconds):
                break
            self._shown, self._ahead = self._ahead, None
            if not keep_going or self._shown[0] > seconds:
                return Shot(self._shown[1], self._shown[0], is_last=False)
        if self._shown is None:
            return None
        return Shot(self._shown[1], self._shown[0], is_last=self._ahead is None)

    def _next(self, wanted: float) -> tuple[float, VideoFrame] | None:
        """The next frame in order of display; None at the end."""
        while not self._waiting:
            packet = self._next_packet()
            if packet is None:
                return None
            is_early = packet.pts is not None and self._seconds(packet.pts) < wanted - _SKIP_UNTIL_S
            self.stream.codec_context.skip_frame = "NONREF" if is_early else "DEFAULT"
            try:
                self._waiting = packet.decode()
            except FFmpegError as error:  # players pass over a broken packet, too
                self.fault = error
        frame = self._waiting.pop(0)
        if frame.pts is not None:
            return self._seconds(frame.pts), frame
        return (self._shown[0] + self._frame_s if self._shown else 0.0), frame

    def _next_packet(self) -> "Packet[VideoStream] | None":
        try:
            return next(self._packets, None) if self._packets else None
        except FFmpegError as error:
            self.fault, self._packets = error, None
            return None

    def _seconds(self, stamp: int) -> float:
        return (stamp - self._origin) * self._tick


def displayed_size(frame: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Width and height of a frame with square pixels, before it is turned."""
    shape = stream.sample_aspect_ratio or 1
    return max(1, round(frame.width * shape)), frame.height


def turned_size(frame: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Width and height of a frame as displayed."""
    width, height = displayed_size(frame, stream)
    return (height, width) if frame.rotation % 180 == 90 else (width, height)


def to_pixels(
    frame: VideoFrame, size: tuple[int, int], pixels: int
) -> UInt8[np.ndarray, "height width 3"]:
    """A frame in RGB, upright, on white, its shorter side at most `pixels`.

    Args:
        frame: As decoded.
        size: What `displayed_size` gave for the first frame; all others are made to fit it.
        pixels: The longest that the shorter side may be.
    """
    scale = min(1.0, pixels / min(size))
    width, height = (max(1, round(side * scale)) for side in size)
    has_alpha = any(component.is_alpha for component in frame.format.components)
    small = frame.reformat(
        width, height, "rgba" if has_alpha else "rgb24", interpolation=Interpolation.AREA
    )
    array = small.to_ndarray()
    if has_alpha:
        alpha = array[..., 3:].astype(np.uint16)
        mixed = array[..., :3] * alpha + 255 * (255 - alpha)
        array = ((mixed + 127) // 255).astype(np.uint8)
    long = MAX_ASPECT * min(width, height)
    top, left = max(0, height - long) // 2, max(0, width - long) // 2
    array = array[top : top + long, left : left + long]
    return np.rot90(array, frame.rotation // 90) if frame.rotation % 90 == 0 else array
