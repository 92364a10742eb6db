from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omni_encoder.synthetic import write_photos


def test_photos_are_different_files_of_the_size_of_real_ones(tmp_path: Path) -> None:
    paths = write_photos(tmp_path / "new", 3)

    contents = [path.read_bytes() for path in paths]
    assert len(set(contents)) == 3
    assert all(40_000 < len(content) < 120_000 for content in contents)
    for path in paths:
        with Image.open(path) as image:
            assert (image.format, image.size) == ("JPEG", (640, 480))
            assert np.asarray(image).std() > 10


def test_equal_seeds_give_equal_photos(tmp_path: Path) -> None:
    once, again, other = (
        write_photos(tmp_path / name, 1, seed=seed, size=(64, 48))[0].read_bytes()
        for name, seed in (("once", 1), ("again", 1), ("other", 2))
    )

    assert once == again != other


def test_no_photos_are_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="count must be at least 1"):
        write_photos(tmp_path, 0)
