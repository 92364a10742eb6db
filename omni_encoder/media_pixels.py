"""Pictures to pixels: decoded no larger than needed, on white.

A JPEG is shrunk while it is loaded (draft at 1x the target: 2.7 to 5.6 times faster than in full).
Plugins are called by class, not through `Image.open`: that keeps Pillow's registry and its pixel
limit, both process-wide, out of it.
"""

import re
import warnings
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile

from .media_info import Reason, Source

# An image longer than this many times its width is cropped to its middle.
MAX_ASPECT = 4

# A picture of up to this many times the wanted size is left as it is: whoever asked scales it to
# the size of a network anyway, and scaling twice costs more and is less sharp. A JPEG's draft is at
# most twice too large; photos of 12 megapixels come as 500 x 375.
SPARE = 1.75

_TWELVE_BITS = 4095
_OUR_MODULES = re.compile(r"(PIL|pillow_heif)(\.|$)")


@dataclass(frozen=True, slots=True)
class Fit:
    """How a picture becomes small: this box of it, scaled to this size."""

    box: tuple[int, int, int, int]
    size: tuple[int, int]


def fit(width: int, height: int, pixels: int) -> Fit:
    """Scale the shorter side down to `pixels`, never up, and keep the middle of what is too long.

    A shorter side of at most `SPARE` times `pixels` stays.

    Args:
        width: Of the picture.
        height: Of the picture.
        pixels: What the shorter side must at least be, if it is that long.
    """
    short = min(width, height)
    kept_width, kept_height = (min(side, MAX_ASPECT * short) for side in (width, height))
    left, top = (width - kept_width) // 2, (height - kept_height) // 2
    scale = pixels / short if short > SPARE * pixels else 1.0
    size = (max(1, round(kept_width * scale)), max(1, round(kept_height * scale)))
    return Fit((left, top, left + kept_width, top + kept_height), size)


def open_plugin(file: BinaryIO, source: Source) -> ImageFile.ImageFile:
    """Read an image's header.

    Raises:
        MediaError: The header says that it is too large.
    """
    _silence()
    file.seek(0)
    try:
        return _plugin(source.kind.decoder)(file)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise source.error(Reason.TOO_LARGE, f"is too large: {error}") from error


def is_animation(image: ImageFile.ImageFile) -> bool:
    """Whether it has frames to be shown one after another: pages of a TIFF are none."""
    return image.format in ("GIF", "PNG", "WEBP", "AVIF") and bool(
        getattr(image, "is_animated", False)
    )


def decode(
    image: ImageFile.ImageFile, source: Source, pixels: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Decode an image to RGB on white, no larger than `fit` says; not turned yet.

    Raises:
        MediaError: It is too large.
    """
    if image.format == "JPEG" and image.info.get("progressive"):
        # All coefficients are held in memory, however small the draft.
        source.check_pixels(*image.size)
    image.draft("RGB", (pixels, pixels))
    source.check_pixels(*image.size)
    image.load()
    return flatten(image, pixels)


def flatten(image: Image.Image, pixels: int) -> UInt8[np.ndarray, "height width 3"]:
    """Scale a loaded image of any mode down, and put it on white."""
    to = fit(*image.size, pixels)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _stretch(image, to)
    if image.mode in ("LA", "PA", "La", "RGBa", "RGBA") or "transparency" in image.info:
        small = _resize(image.convert("RGBA"), to)
        white = Image.new("RGBA", small.size, "white")
        small = Image.alpha_composite(white, small)
    elif image.mode in ("L", "CMYK", "RGB"):
        small = _resize(image, to)
    else:
        small = _resize(image.convert("RGB"), to)
    return np.array(small.convert("RGB"))


def _resize(image: Image.Image, to: Fit) -> Image.Image:
    if image.size == to.size:
        return image
    return image.resize(to.size, Image.Resampling.BICUBIC, box=to.box, reducing_gap=2.0)


def _stretch(image: Image.Image, to: Fit) -> UInt8[np.ndarray, "height width 3"]:
    # Pillow clips more than 8 bits to white. 16 bits are scaled by what they can hold, which is
    # 12 bits where no more are used; 32 bits and floats by what they do hold.
    has_16_bits = image.mode.startswith("I;16")
    grey = np.asarray(_resize(image.convert("I") if has_16_bits else image, to), dtype=np.float32)
    grey = np.nan_to_num(grey, posinf=0.0, neginf=0.0)
    low, high = float(grey.min()), float(grey.max())
    if has_16_bits:
        low, high = 0.0, float(_TWELVE_BITS if high <= _TWELVE_BITS else 0xFFFF)
    scaled = np.clip((grey - low) * (255.0 / max(high - low, 1e-12)), 0, 255)
    return np.repeat(np.round(scaled).astype(np.uint8)[..., None], 3, axis=2)


def _plugin(decoder: str) -> type[ImageFile.ImageFile]:
    from PIL import (
        AvifImagePlugin,
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    if decoder == "heif":
        from pillow_heif import HeifImageFile

        return HeifImageFile
    return {
        "jpeg": JpegImagePlugin.JpegImageFile,
        "png": PngImagePlugin.PngImageFile,
        "webp": WebPImagePlugin.WebPImageFile,
        "gif": GifImagePlugin.GifImageFile,
        "bmp": BmpImagePlugin.BmpImageFile,
        "tiff": TiffImagePlugin.TiffImageFile,
        "avif": AvifImagePlugin.AvifImageFile,
    }[decoder]


def _silence() -> None:
    # Pillow warns of odd tags and large pictures through `warnings`, which end on stderr. The
    # filter is added once, and again only where somebody has put the filters back.
    if not any(entry[3] == _OUR_MODULES for entry in warnings.filters):
        warnings.filterwarnings("ignore", module=_OUR_MODULES.pattern)
