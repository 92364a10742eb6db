"""How pictures look, to tell copies from other pictures: a difference hash, and small previews."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .errors import MediaError
from .media import open_media
from .types import MediaLayout, Modality

HASH_SIDE = 16
HASH_BITS = HASH_SIDE * HASH_SIDE

_EXIF, _TAKEN, _TAKEN_FRACTION = 0x8769, 0x9003, 0x9291
_SMALL = MediaLayout(image_pixels=96, video_frames=1, video_part_s=3600.0)


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture looks.

    Attributes:
        bits: Whether each of 16 x 16 cells is brighter than the one to its right: the difference
            hash, which scaling, compression and small changes of colour hardly touch.
        taken: When a camera took it, by its own words and to a fraction of a second if it says so.
    """

    bits: int
    taken: str | None

    def distance(self, other: "Look") -> int:
        """In how many of the 256 bits two pictures differ."""
        return (self.bits ^ other.bits).bit_count()


def look_of(path: Path) -> Look:
    """Decode a picture, or the first frame of a video, and see how it looks.

    Raises:
        MediaError: It can't be decoded, or holds no picture.
    """
    grey = _first_picture(path).convert("L")
    cells = np.asarray(grey.resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX), np.int16)
    brighter = cells[:, :-1] > cells[:, 1:]
    return Look(int.from_bytes(np.packbits(brighter).tobytes(), "big"), _taken(path))


def preview_of(path: Path, *, pixels: int = 160) -> bytes:
    """A small JPEG of a picture, or of the first frame of a video.

    Args:
        path: The file.
        pixels: The longest side.

    Raises:
        MediaError: It can't be decoded, or holds no picture.
    """
    picture = _first_picture(path)
    picture.thumbnail((pixels, pixels))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _first_picture(path: Path) -> Image.Image:
    info, items = open_media(path, _SMALL)
    if info.modality not in (Modality.IMAGE, Modality.VIDEO):
        raise MediaError(f"{path.name} holds no picture", reason="no_video")
    content = next(items).content
    assert isinstance(content, np.ndarray)  # as it is no text
    return Image.fromarray(content if info.modality is Modality.IMAGE else content[0])


def _taken(path: Path) -> str | None:
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            tags = image.getexif().get_ifd(_EXIF)
    # Tags are read leniently: a picture with broken ones, or none, is still a picture.
    except Exception:  # noqa: BLE001
        return None
    taken = tags.get(_TAKEN)
    return f"{taken}.{tags.get(_TAKEN_FRACTION, '')}" if taken else None
