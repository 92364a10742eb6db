"""Decodes media files for another process, one after the other.

`python -m omni_encoder.media_worker FILE_BYTES`. A file may crash or hang a decoder, or make it ask
for all the memory there is; here that costs one file. Commands come on stdin, parts go to stdout;
`media_remote` is the other end. It imports neither torch nor a store.
"""

import contextlib
import json
import operator
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from .errors import MediaError
from .media import open_media
from .media_info import MediaInfo, Reason
from .types import MediaItem, MediaLayout


def write_message(
    stream: BinaryIO, header: Mapping[str, object], payload: bytes | memoryview = b""
) -> None:
    """Write a header as JSON and what goes with it, each behind its length."""
    text = json.dumps(header).encode()
    stream.write(len(text).to_bytes(4, "big") + len(payload).to_bytes(8, "big") + text)
    stream.write(payload)
    stream.flush()


def main(file_bytes: int) -> int:
    """Serve until the other end is closed."""
    # Ctrl-C reaches every process of a terminal; the other end decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory(file_bytes)
    commands = sys.stdin.buffer
    # A decoder that prints must not be taken for an answer: what is its stdout goes to stderr.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    parts: Iterator[tuple[dict[str, object], memoryview]] = iter(())
    with contextlib.suppress(BrokenPipeError):
        write_message(answers, {"ready": True})
        while line := commands.readline():
            command = cast("dict[str, object]", json.loads(line))
            try:
                if "open" in command:
                    layout = MediaLayout(**cast("dict[str, float]", command["layout"]))  # pyright: ignore[reportArgumentType] - the other end made it of one
                    info, items = open_media(Path(str(command["open"])), layout)
                    parts = _parts(info, items)
                write_message(answers, *next(parts, ({"end": True}, b"")))
            except MediaError as error:
                parts = iter(())
                said = {"reason": str(error.reason), "message": error.message, "hint": error.hint}
                write_message(answers, {"error": said})
            except MemoryError:
                parts = iter(())
                said = {"reason": str(Reason.TOO_LARGE), "message": "it needs too much memory"}
                write_message(answers, {"error": said | {"hint": ""}})
    return 0


def _parts(
    info: MediaInfo, items: Iterator[MediaItem]
) -> Iterator[tuple[dict[str, object], memoryview]]:
    header: dict[str, object] = {"info": asdict(info)}
    for item in items:
        # What is known to be the last part is said to be, so that nobody asks for another.
        is_last = operator.length_hint(items, 1) == 0
        content = item.content
        if isinstance(content, str):
            shape, payload = None, memoryview(content.encode("utf-8", "surrogatepass"))
        else:
            shape, payload = content.shape, np.ascontiguousarray(content).data.cast("B")
        span = None if item.span is None else (item.span.start, item.span.end)
        described = {"modality": str(item.modality), "part": item.part, "span": span}
        yield header | {"item": described | {"shape": shape}, "last": is_last}, payload
        header = {}


def _limit_memory(file_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + file_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
