"""open_clip's image preprocessing for inference, in Pillow and numpy.

The same numbers as `open_clip.image_transform_v2(config, is_train=False)`, which a test compares,
without torchvision doing any of the work.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

_RESIZE_MODES = ("shortest", "longest", "squash")


@dataclass(frozen=True, slots=True)
class ImagePreprocess:
    """How an image becomes a tower's input.

    Attributes:
        height: Of the input, in pixels.
        width: Of the input, in pixels.
        mean: Per channel, on a scale of 0 to 1; subtracted.
        std: Per channel; divided by.
        interpolation: `bilinear`; anything else is bicubic, as in open_clip.
        resize_mode: `shortest` fills the input and crops, `longest` fits into it and pads,
            `squash` ignores the proportions.
        fill_color: The grey that pads, 0 to 255.
    """

    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    resize_mode: str
    fill_color: int

    def __post_init__(self) -> None:
        if self.resize_mode not in _RESIZE_MODES:
            raise ValueError(f"resize mode must be one of {_RESIZE_MODES}, got {self.resize_mode}")
        if len(self.mean) != len(self.std) or len(self.mean) != 3:
            raise ValueError(f"mean and std need 3 channels, got {self.mean} and {self.std}")

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> "ImagePreprocess":
        """Read what `open_clip.get_model_preprocess_cfg` returns.

        Raises:
            ValueError: A value is of the wrong kind.
        """
        size = _numbers(config["size"], 2)
        return cls(
            height=int(size[0]),
            width=int(size[1]),
            mean=_numbers(config["mean"], 3),
            std=_numbers(config["std"], 3),
            interpolation=str(config["interpolation"]),
            resize_mode=str(config["resize_mode"]),
            fill_color=int(_numbers(config["fill_color"], 1)[0]),
        )

    def __call__(
        self, image: UInt8[np.ndarray, "height width 3"]
    ) -> Float32[np.ndarray, "3 input_height input_width"]:
        """Resize, crop or pad, and normalise one RGB image."""
        resized = self._resize(Image.fromarray(image))
        pixels = np.asarray(resized, dtype=np.uint8)
        if self.resize_mode != "squash":
            pixels = self._centre(pixels)
        scaled = pixels.astype(np.float32) / np.float32(255)
        mean, std = (np.asarray(values, dtype=np.float32) for values in (self.mean, self.std))
        return np.ascontiguousarray(((scaled - mean) / std).transpose(2, 0, 1))

    def _resize(self, image: Image.Image) -> Image.Image:
        width, height = image.size
        square = self.height == self.width
        resample = Image.Resampling.BICUBIC
        if self.interpolation == "bilinear" and (self.resize_mode != "shortest" or square):
            resample = Image.Resampling.BILINEAR  # open_clip ignores it for oblong inputs
        if self.resize_mode == "squash":
            target = (self.width, self.height)
        elif self.resize_mode == "shortest" and square:
            # Truncated, as torchvision does it; the two other branches round.
            short, side = min(image.size), self.height
            target = (int(side * width / short), int(side * height / short))
        else:
            pick = max if self.resize_mode == "longest" else min
            ratio = pick(height / self.height, width / self.width)
            target = (max(1, round(width / ratio)), max(1, round(height / ratio)))
        return image if target == image.size else image.resize(target, resample)

    def _centre(
        self, pixels: UInt8[np.ndarray, "height width 3"]
    ) -> UInt8[np.ndarray, "input_height input_width 3"]:
        """Crop to the middle, padding the sides that are too short."""
        missing = [max(0, self.height - pixels.shape[0]), max(0, self.width - pixels.shape[1])]
        if any(missing):
            margins = [(gap // 2, (gap + 1) // 2) for gap in missing]
            pixels = np.pad(pixels, [*margins, (0, 0)], constant_values=self.fill_color)
        top = round((pixels.shape[0] - self.height) / 2)
        left = round((pixels.shape[1] - self.width) / 2)
        return pixels[top : top + self.height, left : left + self.width]


def _numbers(value: object, count: int) -> tuple[float, ...]:
    """Read a number or a sequence of them as `count` numbers."""
    values = np.asarray(value, dtype=np.float64).ravel()
    if values.size not in (1, count):
        raise ValueError(f"expected 1 or {count} numbers, got {value!r}")
    return tuple(float(number) for number in np.broadcast_to(values, (count,)))
