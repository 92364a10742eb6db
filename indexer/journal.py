"""Which files are being decoded right now, for the case that one of them takes the process along.

What is left over by a process that died is suspect: the next run decodes in other processes.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "reading-"


class Journal:
    """The slots of one run, one for each thread that reads. The writer's lock must be held."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def suspects(self) -> list[bytes]:
        """The files that were being decoded when the last run died; each is named once."""
        found: list[bytes] = []
        for path in sorted(self._directory.glob(f"{PREFIX}*")):
            with suppress(OSError):
                found += [name for name in [path.read_bytes()] if name]
                path.unlink()
        return found

    @contextmanager
    def slot(self, number: int) -> Generator["Slot", None, None]:
        """A slot, which is removed at the end, unless the process dies before."""
        path = self._directory / f"{PREFIX}{number}"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        except OSError:  # a full disk, say: then there is no journal, and whoever writes will tell
            yield Slot(None)
            return
        try:
            yield Slot(descriptor)
        finally:
            os.close(descriptor)
            path.unlink(missing_ok=True)


class Slot:
    """Where a thread writes down what it is decoding. Not synced: it is about dying processes."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def enter(self, path: bytes) -> None:
        """Begin with a file; an empty path says that the last one didn't do any harm."""
        if self._descriptor is None:
            return
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, path, 0)
