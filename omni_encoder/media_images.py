"""Images: upright, with their titles; animations are handed on."""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image

from .media_animation import open_animation
from .media_info import MediaInfo, Source, clean_title
from .media_pixels import decode, is_animation, open_plugin
from .media_structure import is_cut_short
from .types import MediaItem, MediaLayout, Modality

_IMAGE_DESCRIPTION, _ORIENTATION, _XP_TITLE = 0x010E, 0x0112, 0x9C9B
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TURNED_ASIDE = frozenset(_TURNS[orientation] for orientation in (5, 6, 7, 8))


def open_image(
    file: BinaryIO, source: Source, layout: MediaLayout
) -> tuple[MediaInfo, Iterator[MediaItem]]:
    """Decode an image at once; an animation is handed on, to be decoded as a video.

    Raises:
        MediaError: It can't be decoded, or is too large.
    """
    with source.decoding(lambda: is_cut_short(file, source.kind.decoder)):
        image = open_plugin(file, source)
        if is_animation(image):
            return open_animation(image, source, layout)
        width, height = image.size
        pixels = decode(image, source, layout.image_pixels)
        turn, title = _exif(image)
        if turn is not None:
            pixels = np.array(Image.fromarray(pixels).transpose(turn))
            if turn in _TURNED_ASIDE:
                width, height = height, width
        info = MediaInfo(
            Modality.IMAGE,
            source.kind.mime,
            width=width,
            height=height,
            title=title,
            caption=source.caption,
        )
        return info, iter((MediaItem(Modality.IMAGE, pixels),))


def _exif(image: Image.Image) -> tuple[Image.Transpose | None, str | None]:
    try:
        exif = image.getexif()
        turn = _TURNS.get(exif.get(_ORIENTATION, 1))
        title = exif.get(_IMAGE_DESCRIPTION) or exif.get(_XP_TITLE) or image.info.get("Title")
    # Tags are read leniently: a picture with broken ones is still a picture.
    except Exception:  # noqa: BLE001
        return None, None
    if isinstance(title, bytes):
        title = title.decode("utf-16-le", "replace")
    return turn, clean_title(title) if isinstance(title, str) else None
