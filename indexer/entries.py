"""What the catalogue knows of files and contents, row by row.

Tuples where a scan makes one for every file: they take a third of the time of frozen dataclasses.
"""

from dataclasses import dataclass
from typing import NamedTuple

from omni_encoder import Modality

UNSETTLED = -1


class ContentKey(NamedTuple):
    """What a file holds: the digest of its bytes, and what they were read as."""

    content: str
    modality: Modality


class FileStamp(NamedTuple):
    """What is compared to see whether a file has changed; -1 stands for a sidecar that isn't there.

    The inode `UNSETTLED` matches no file: it makes sure that a file is looked at again. Nobody can
    set `ctime_ns`, so it shows a file that was overwritten in place and given its old time again.
    """

    size: int
    mtime_ns: int
    inode: int
    sidecar_size: int = -1
    sidecar_mtime_ns: int = -1
    ctime_ns: int = 0

    @property
    def sidecar(self) -> tuple[int, int]:
        """What tells whether the sidecar has changed."""
        return self.sidecar_size, self.sidecar_mtime_ns

    @property
    def has_sidecar(self) -> bool:
        """Whether there is a sidecar."""
        return self.sidecar_size >= 0


class FileRow(NamedTuple):
    """What the catalogue knows of one path: a content, or why there is none."""

    path: bytes
    stamp: FileStamp
    key: ContentKey | None = None
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class ContentRow:
    """A content whose rows are all in the table."""

    key: ContentKey
    parts: int
    partial: bool


@dataclass(frozen=True, slots=True)
class Location:
    """One of the files that hold a content."""

    path: bytes
    size: int
    mtime_ns: int
