"""Raw photos: the camera's own preview where it is large enough, else developed at half size."""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin

from .media_info import MediaInfo, Reason, Source
from .media_pixels import flatten
from .types import MediaItem, MediaLayout, Modality

if TYPE_CHECKING:
    import rawpy

_TURNS = {3: 2, 5: 1, 6: 3}
"""LibRaw's `flip` as quarter turns to the left."""


def open_raw(
    file: BinaryIO, source: Source, layout: MediaLayout
) -> tuple[MediaInfo, Iterator[MediaItem]]:
    """Decode a raw photo at once.

    Raises:
        MediaError: rawpy is missing, or the file can't be decoded.
    """
    try:
        import rawpy
    except ImportError as error:
        hint = "pip install rawpy"
        raise source.error(
            Reason.UNSUPPORTED, "is a raw photo, and rawpy is missing", hint=hint
        ) from error
    with source.decoding(lambda: False):
        file.seek(0)
        with rawpy.imread(file) as raw:
            sizes = raw.sizes
            source.check_pixels(sizes.width // 2, sizes.height // 2)
            picture = _preview(raw, layout.image_pixels)
            if picture is None:
                half = raw.postprocess(half_size=True, use_camera_wb=True, output_bps=8)
                picture = Image.fromarray(half)  # LibRaw has turned it
            turned = sizes.flip in (5, 6)
            width, height = (sizes.height, sizes.width) if turned else (sizes.width, sizes.height)
        pixels = flatten(picture, layout.image_pixels)
    info = MediaInfo(
        Modality.IMAGE, source.kind.mime, width=width, height=height, caption=source.caption
    )
    return info, iter((MediaItem(Modality.IMAGE, pixels),))


def _preview(raw: "rawpy.RawPy", pixels: int) -> Image.Image | None:
    """The picture that the camera put beside the raw data, upright; None if it is too small."""
    import rawpy

    try:
        thumb = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return None
    flip = raw.sizes.flip
    if isinstance(thumb.data, bytes):  # a JPEG; else pixels
        image: Image.Image = JpegImagePlugin.JpegImageFile(io.BytesIO(thumb.data))
        image.draft("RGB", (pixels, pixels))
        has_turn = image.getexif().get(0x0112, 1) != 1
        image = ImageOps.exif_transpose(image).convert("RGB")
        flip = 0 if has_turn else flip
    else:
        image = Image.fromarray(thumb.data)
    if min(image.size) < pixels:
        return None
    turns = _TURNS.get(flip, 0)
    return Image.fromarray(np.rot90(np.asarray(image), turns)) if turns else image
