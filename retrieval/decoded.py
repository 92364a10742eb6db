"""Media of queries and of hits, decoded."""

from pathlib import Path

from indexer import Record
from omni_encoder import MediaError, MediaItem, MediaLayout, Modality


def first_item(path: Path, layout: MediaLayout) -> MediaItem:
    """What a file holds; of several parts, the first.

    Raises:
        MediaError: It can't be decoded.
    """
    from omni_encoder.media import open_media

    _, items = open_media(path, layout)
    return next(iter(items))


def item_of(record: Record, layout: MediaLayout) -> MediaItem:
    """The part of a file that an item is; of a text, what the collection holds of it.

    Raises:
        MediaError: Its file is gone, has changed, or can't be decoded.
    """
    from omni_encoder.media import open_media

    if record.modality is Modality.TEXT and record.text:
        return MediaItem(Modality.TEXT, record.text)
    if not record.paths:
        raise MediaError("no file is known of this item", reason="gone")
    _, items = open_media(record.paths[0], layout)
    for item in items:
        if item.part == record.part:
            return item
    raise MediaError(f"{record.paths[0]} has no part {record.part} any more", reason="changed")
