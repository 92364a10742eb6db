"""What goes on between the threads that read and the one that encodes: jobs, events, contents.

What waits for the encoder is bounded in bytes, not in files: a second of video weighs as much as
many photos.
"""

import os
import threading
from collections import deque
from collections.abc import Container
from dataclasses import dataclass, replace

import numpy as np

from omni_encoder import MediaItem
from omni_encoder.media import MediaInfo

from .entries import ContentKey, FileStamp

EVENT_BYTES = 1024
"""What an event without media is taken to weigh, so that these are bounded too."""

_FEW_KNOWN = 4096
_ENOUGH_JOBS = 16
"""With no more left, each is kept for whichever reader is free first."""


@dataclass(frozen=True, slots=True)
class Job:
    """A file to be read."""

    path: bytes
    stamp: FileStamp
    attempt: int = 0

    @property
    def name(self) -> str:
        """The path as Python's strings have it."""
        return os.fsdecode(self.path)

    def again(self) -> "Job":
        """The same job once more."""
        return replace(self, attempt=self.attempt + 1)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One part of a new content, in order; `last` says that the file was read whole."""

    job: Job
    key: ContentKey
    info: MediaInfo
    item: MediaItem
    last: bool


@dataclass(frozen=True, slots=True)
class Known:
    """The file's content is in the collection already."""

    job: Job
    key: ContentKey
    caption: str | None


@dataclass(frozen=True, slots=True)
class Held:
    """Another file with the same content is being read; this one has to wait for it."""

    job: Job
    content: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The file can't be indexed; pieces that came before are void.

    `content` is empty if the file could not even be read.
    """

    job: Job
    content: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Changed:
    """The file was written to while it was read; pieces that came before are void."""

    job: Job
    content: str


Event = Piece | Known | Held | Failed | Changed


class Stopped(Exception):  # noqa: N818 - it isn't an error
    """The one who encodes has stopped; nobody waits for more."""


class Exchange:
    """Where jobs wait for a reader, and events for the one who encodes."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._condition = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._events: deque[tuple[Event, int]] = deque()
        self._unread = 0  # jobs that will bring more events
        self._in_flight = 0  # bytes put and not yet released
        self._waiting: list[int] = []  # bytes that blocked readers want to put
        self._stopped = False

    def submit(self, job: Job) -> None:
        """Add a job."""
        with self._condition:
            self._jobs.append(job)
            self._unread += 1
            self._condition.notify_all()

    def take(self) -> Job:
        """The next job, as soon as there is one.

        Raises:
            Stopped: There won't be any more.
        """
        with self._condition:
            while not self._jobs and not self._stopped:
                self._condition.wait()
            if self._stopped:
                raise Stopped
            return self._jobs.popleft()

    def take_now(self) -> Job | None:
        """The next job, if there are so many that no other reader will soon want it."""
        with self._condition:
            return self._jobs.popleft() if len(self._jobs) > _ENOUGH_JOBS else None

    def finish(self) -> None:
        """A reader has put all events of its job."""
        with self._condition:
            self._unread -= 1
            self._condition.notify_all()

    def put(self, event: Event) -> None:
        """Add an event, as soon as there is room for it.

        Raises:
            Stopped: Nobody waits for it any more.
        """
        size = weight(event)
        with self._condition:
            self._waiting.append(size)
            self._condition.notify_all()
            while not self._fits(size) and not self._stopped:
                self._condition.wait()
            self._waiting.remove(size)
            if self._stopped:
                raise Stopped
            self._in_flight += size
            self._events.append((event, size))
            self._condition.notify_all()

    def get(self) -> Event | None:
        """The next event, which keeps its room until it is released.

        Returns:
            None when none will come before room is made: all readers are done, or wait for room.
        """
        with self._condition:
            while not self._events:
                stuck = self._waiting and not any(map(self._fits, self._waiting))
                if self._unread == 0 or stuck:
                    return None
                self._condition.wait()
            event, _ = self._events.popleft()
            return event

    def release(self, event: Event) -> None:
        """Make room: the event has been dealt with."""
        with self._condition:
            self._in_flight -= weight(event)
            self._condition.notify_all()

    def check(self) -> None:
        """Look whether to go on with something that takes long.

        Raises:
            Stopped: Nobody waits for it any more.
        """
        if self._stopped:
            raise Stopped

    def stop(self) -> None:
        """Send the readers home."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()

    def _fits(self, size: int) -> bool:
        # Whatever is larger than the limit goes alone.
        return not self._in_flight or self._in_flight + size <= self._limit


def weight(event: Event) -> int:
    """About how many bytes an event occupies."""
    if isinstance(event, Piece):
        content = event.item.content
        return EVENT_BYTES + (content.nbytes if isinstance(content, np.ndarray) else len(content))
    return EVENT_BYTES


class Contents:
    """Which contents are in the collection, and which are being read; for all threads."""

    def __init__(self, before: Container[ContentKey]) -> None:
        """Begin.

        Args:
            before: The contents that are there, perhaps with those that have come since; one
                thread at a time asks it.
        """
        self._before = before
        self._known: set[ContentKey] = set()  # those that `before` may not have yet
        self._look_after = _FEW_KNOWN
        self._readers: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def has(self, key: ContentKey) -> bool:
        """Whether all parts of a content are there."""
        with self._lock:
            return key in self._known or key in self._before

    def claim(self, key: ContentKey, path: bytes) -> bool | None:
        """Begin to read a content for a path.

        Returns:
            None if it is there already, False if another path is being read for it, or True.
        """
        with self._lock:
            if key in self._known or key in self._before:
                return None
            return self._readers.setdefault(key.content, path) == path

    def is_claimed(self, content: str) -> bool:
        """Whether some path is being read for a content."""
        with self._lock:
            return content in self._readers

    def release(self, content: str, path: bytes, complete: ContentKey | None = None) -> None:
        """End the reading of a content for a path; all its parts are there now if `complete`."""
        with self._lock:
            if complete:
                self._known.add(complete)
                if len(self._known) > self._look_after:
                    self._known = {key for key in self._known if key not in self._before}
                    self._look_after = max(_FEW_KNOWN, 2 * len(self._known))
            if self._readers.get(content) == path:
                del self._readers[content]
