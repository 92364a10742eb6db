"""Small pictures of items, kept in the collection's cache.

They are made when they are first looked at and may be deleted at any time. What has no picture, or
can't be decoded any more, simply has none: a picture is never a reason to fail.
"""

from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from omni_encoder import MediaError, Modality

from .cache_report import CACHE_NAME
from .types import Record

THUMBS_NAME = "thumbs"

# A file's time stamp is kept in seconds as a float, which holds microseconds and no more.
_SAME_S = 1e-3


class Thumbnails:
    """The pictures of one collection's items, by content and part."""

    def __init__(self, directory: Path) -> None:
        """Use the cache of the collection in `directory`."""
        self._folder = directory / CACHE_NAME / THUMBS_NAME

    def get(self, record: Record) -> bytes | None:
        """A WebP picture of an item; None for a text, or if none can be made."""
        if record.modality is Modality.TEXT:
            return None
        path = self._folder / record.content[:2] / f"{record.id}.webp"
        with suppress(OSError):
            kept = path.read_bytes()
            if _is_whole(kept):
                return kept
        picture = _made(record)
        if picture is not None:
            _keep(path, picture)
        return picture


def _made(record: Record) -> bytes | None:
    from omni_encoder.media_picture import picture_of

    for path in record.paths:
        with suppress(MediaError, OSError):
            # Another content may lie there by now; copies are known by their size at least.
            status = path.stat()
            same_time = path != record.paths[0] or abs(status.st_mtime - record.mtime) < _SAME_S
            if status.st_size == record.bytes and same_time:
                return picture_of(path, record.modality, part=record.part, span=record.span)
    return None


def _keep(path: Path, picture: bytes) -> None:
    partial = path.with_name(f"{path.name}-{uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(picture)
        partial.replace(path)
    except OSError:  # a full disk, or a collection that can only be read
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _is_whole(picture: bytes) -> bool:
    """Whether a file is as long as its header says: another process may have been killed."""
    return (
        picture[:4] == b"RIFF"
        and picture[8:12] == b"WEBP"
        and int.from_bytes(picture[4:8], "little") + 8 == len(picture)
    )
