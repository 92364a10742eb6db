"""Small JPEG pictures of media files, for pages that show what was found."""

import io
from pathlib import Path

import numpy as np

from .errors import MediaError
from .types import MediaLayout, Modality


def thumbnail(path: Path, *, pixels: int = 128) -> bytes | None:
    """A JPEG of an image or of a frame in the middle of a video, at most `pixels` wide and high.

    Returns:
        The JPEG, or None for what has no picture: text, sound, and files that can't be decoded.
    """
    from PIL import Image

    from .media import open_media

    layout = MediaLayout(image_pixels=pixels, video_frames=3)
    try:
        info, items = open_media(path, layout)
        if info.modality not in {Modality.IMAGE, Modality.VIDEO}:
            return None
        first = next(iter(items), None)
    except MediaError:
        return None
    if first is None or not isinstance(first.content, np.ndarray):
        return None
    content = first.content
    picture = Image.fromarray(content[len(content) // 2] if content.ndim == 4 else content)
    picture.thumbnail((pixels, pixels))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=80)
    return buffer.getvalue()
