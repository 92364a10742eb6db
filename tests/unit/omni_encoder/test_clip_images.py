"""Image preprocessing for open_clip models, against open_clip's own transform."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from omni_encoder.clip_images import ImagePreprocess
from omni_encoder.torchvision_guard import ensure_torchvision

ensure_torchvision()
from open_clip.transform import PreprocessCfg, image_transform_v2  # noqa: E402


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(5, 90),
    width=st.integers(5, 90),
    size=st.sampled_from([32, (32, 32), (24, 40)]),
    mode=st.sampled_from(["shortest", "longest", "squash"]),
    interpolation=st.sampled_from(["bicubic", "bilinear"]),
)
def test_preprocessing_equals_open_clips_transform(
    height: int, width: int, size: int | tuple[int, int], mode: str, interpolation: str
) -> None:
    config = {
        "size": size,
        "mode": "RGB",
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.3, 0.25),
        "interpolation": interpolation,
        "resize_mode": mode,
        "fill_color": 200,
    }
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    expected = image_transform_v2(PreprocessCfg(**config), is_train=False)(Image.fromarray(image))

    ours = ImagePreprocess.from_config(config)(image)

    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    "changed",
    [{"resize_mode": "crop"}, {"mean": (1, 2)}, {"size": (1, 2, 3)}, {"std": "wide"}],
)
def test_malformed_preprocessing_is_refused(changed: dict[str, object]) -> None:
    config = {"size": 8, "mean": 0.5, "std": 0.5, "interpolation": "bicubic", "fill_color": 0}

    with pytest.raises(ValueError, match=r"must be|expected|could not"):
        ImagePreprocess.from_config(config | {"resize_mode": "squash"} | changed)
