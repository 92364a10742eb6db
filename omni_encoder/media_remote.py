"""Decoding in a process of its own, which is replaced when a file makes it crash or hang."""

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np

from .errors import MediaError
from .media_info import MediaInfo, Reason
from .types import MediaItem, MediaLayout, Modality, Span

SLOWEST_DRIVE = 4e6
"""Bytes a second that any drive is taken to bring; larger files get more time."""

START_SECONDS = 120.0
"""How long a child may take to start, which a busy machine can draw out."""

TRANSFER_SECONDS = 5.0
"""How long an answer may take to come over that is asked for long after it was to be there."""

_PAYLOAD_TYPES = {Modality.IMAGE: np.uint8, Modality.VIDEO: np.uint8, Modality.AUDIO: np.float32}
_PIPE_BYTES = 1 << 20
_MOST_HEADER = 1 << 26
_MOST_PAYLOAD = 1 << 34
"""Beyond these a child does not say what ours says, and no memory is asked for."""


@dataclass(frozen=True, slots=True)
class _Opening:
    path: Path
    layout: MediaLayout
    seconds: float


class RemoteDecoder:
    """Opens media files like `open_media`, in a child process. For one thread.

    The child is started with the first file, and again after it had to be ended.
    """

    def __init__(self, *, file_seconds: float, file_bytes: int) -> None:
        """Set the limits.

        Args:
            file_seconds: How long one part of a file may take, beside what reading it takes.
            file_bytes: How much memory a file may take.
        """
        self._file_seconds = file_seconds
        self._file_bytes = file_bytes
        self._child: subprocess.Popen[bytes] | None = None
        self._since = 0.0  # when the last command was given
        self._begun: _Opening | None = None  # what the child is decoding unasked
        self._following: _Opening | None = None  # what it will decode then

    def follow(self, path: Path, layout: MediaLayout) -> None:
        """Say what will be opened after the next file, or after the one that is being read.

        As soon as the child is done with that, it begins with this one, whether or not the parts
        have been taken from here.

        Raises:
            OSError: There is no such file.
        """
        self._following = self._opening(path, layout)

    def open(self, path: Path, layout: MediaLayout) -> tuple[MediaInfo, Iterator[MediaItem]]:
        """See `open_media`.

        Raises:
            MediaError: Also if the file crashed its decoder, or took too long.
            ChildProcessError: No child can be started here.
        """
        opening = self._opening(path, layout)
        if self._begun != opening:
            if self._begun is not None:  # a file that nobody wants any more
                self.close()
            self._begin(opening)
        self._begun = None
        header, payload = self._answer(opening)
        info = cast("dict[str, object]", header["info"])
        info["modality"] = Modality(str(info["modality"]))
        return MediaInfo(**info), self._items(header, payload, opening)  # pyright: ignore[reportArgumentType] - the child made it of one

    def kill(self) -> None:
        """End the child, from any thread; whoever waits for it gets an error."""
        child = self._child  # its own thread may be letting go of it
        if child is not None:
            child.kill()

    def close(self) -> None:
        """End the child."""
        self._begun = None
        if self._child is not None:
            child, self._child = self._child, None
            child.kill()
            child.communicate()

    def _opening(self, path: Path, layout: MediaLayout) -> "_Opening":
        seconds = self._file_seconds + path.stat().st_size / SLOWEST_DRIVE
        return _Opening(path, layout, seconds)

    def _begin(self, opening: "_Opening") -> None:
        self._following = None if self._following == opening else self._following
        self._tell({"open": os.fspath(opening.path), "layout": asdict(opening.layout)})
        self._begun = opening

    def _items(
        self, header: dict[str, object], payload: bytearray, opening: "_Opening"
    ) -> Iterator[MediaItem]:
        while "item" in header:
            yield _to_item(cast("dict[str, object]", header["item"]), payload)
            if header["last"]:
                return
            self._tell({"next": True})
            header, payload = self._answer(opening)

    def _tell(self, command: dict[str, object]) -> None:
        """Give the child a command; if it has died, its answer will be missing."""
        if self._child is None:
            self._child = self._start()
        assert self._child.stdin is not None  # it is a pipe
        self._since = time.monotonic()
        with suppress(BrokenPipeError):
            self._child.stdin.write(json.dumps(command).encode() + b"\n")
            self._child.stdin.flush()

    def _answer(self, opening: "_Opening") -> tuple[dict[str, object], bytearray]:
        child, path = self._child, opening.path
        assert child is not None and child.stdout is not None  # noqa: PT018 - it is a pipe
        try:
            late = time.monotonic() + min(opening.seconds, TRANSFER_SECONDS)
            deadline = max(self._since + opening.seconds, late)
            text, payload = _read_message(child.stdout.fileno(), deadline)
            header = cast("dict[str, object]", json.loads(text))
        except TimeoutError as error:
            self.close()
            message = f"{path.name} takes more than {opening.seconds:.0f} seconds to decode"
            raise MediaError(message, reason=Reason.TIMED_OUT) from error
        except (EOFError, ValueError) as error:
            child.kill()
            code = child.wait()
            self.close()
            message = f"{path.name} crashed its decoder ({_cause(code)})"
            hint = "the file is damaged or hostile; the other files are not affected"
            raise MediaError(message, reason=Reason.CRASHED, hint=hint) from error
        if self._following is not None and ("item" not in header or header["last"]):
            self._begin(self._following)  # the child is free
        if "error" in header:
            said = cast("dict[str, str]", header["error"])
            raise MediaError(said["message"], reason=said["reason"], hint=said["hint"])
        return header, payload

    def _start(self) -> "subprocess.Popen[bytes]":
        # -P: the folder that a user is in may hold a json.py, which must not hide Python's.
        module = "omni_encoder.media_worker"
        command = [sys.executable, "-P", "-m", module, str(self._file_bytes)]
        # Where this process finds its modules, the child has to find them too.
        paths = os.pathsep.join(path for path in sys.path if path)
        single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        child = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | single | {"PYTHONPATH": paths},
            pipesize=_PIPE_BYTES if sys.platform == "linux" else -1,
        )
        assert child.stdout is not None
        try:
            _read_message(child.stdout.fileno(), time.monotonic() + START_SECONDS)
        except (EOFError, TimeoutError, ValueError) as error:
            child.kill()
            child.communicate()
            raise ChildProcessError("no process that decodes can be started") from error
        return child


def _read_message(descriptor: int, deadline: float) -> tuple[bytearray, bytearray]:
    lengths = _read(descriptor, 12, deadline)
    text, payload = int.from_bytes(lengths[:4], "big"), int.from_bytes(lengths[4:], "big")
    if text > _MOST_HEADER or payload > _MOST_PAYLOAD:
        raise ValueError(f"a message of {text} and {payload} bytes is none of ours")
    return _read(descriptor, text, deadline), _read(descriptor, payload, deadline)


def _read(descriptor: int, count: int, deadline: float) -> bytearray:
    """Read so many bytes.

    Raises:
        EOFError: The other end was closed first.
        TimeoutError: It took too long.
    """
    data = bytearray(count)
    view, at = memoryview(data), 0
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while at < count:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            got = os.readv(descriptor, [view[at:]])
            if got == 0:
                raise EOFError
            at += got
    return data


def _to_item(described: dict[str, object], payload: bytearray) -> MediaItem:
    modality = Modality(str(described["modality"]))
    span = cast("list[float] | None", described["span"])
    content: str | np.ndarray
    if modality is Modality.TEXT:
        content = payload.decode("utf-8", "surrogatepass")
    else:
        shape = cast("list[int]", described["shape"])
        content = np.frombuffer(payload, _PAYLOAD_TYPES[modality]).reshape(shape)
    part = cast("int", described["part"])
    return MediaItem(modality, content, part, Span(*span) if span else None)


def _cause(code: int) -> str:
    import signal

    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        return f"exit code {code}"
