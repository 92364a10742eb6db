"""What is drawn is measured beside its controls, on a manifest of the tiniest kind."""

import json
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from omnidex_benchmarks.drawing import DrawingOptions, kernel_distance, run
from PIL import Image

from omni_encoder import OmniError
from omni_encoder.flow_generate import GenerateRule
from tests.tiny_generator import write_tiny_generator


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawing")
    rows: list[str] = []
    for number in range(5):
        Image.new("RGB", (40, 30), (50 * number, 90, 30)).save(folder / f"{number}.png")
        row = {
            "id": f"image-{number}",
            "modality": "image",
            "file": f"{number}.png",
            "captions": [f"a {number}"],
            "source": "test",
            "license": "CC0-1.0",
        }
        rows.append(json.dumps(row))
    (folder / "manifest.jsonl").write_text("\n".join(rows))
    return folder / "manifest.jsonl"


def test_every_figure_stands_beside_its_controls(manifest: Path, tmp_path: Path) -> None:
    generator = write_tiny_generator(tmp_path).load()
    options = DrawingOptions(GenerateRule(steps=2, most_blocks=1), count=4)

    result = run(manifest, generator=generator, options=options)
    again = run(manifest, generator=generator, options=options)

    found = cast("dict[str, dict[str, float]]", result["directions"])
    assert list(found) == ["text->image", "image->text"]
    assert again["directions"] == result["directions"]
    row = found["image->text"]
    assert row["success@1 of rebuilt answers"] == row["success@1 of true answers"]
    for row in found.values():
        assert (row["items"], row["chance"]) == (4, 0.25)
        assert len({row["nats"], row["nats shuffled"], row["nats unconditional"]}) == 3
        assert all(np.isfinite(value) for value in row.values())


def test_a_manifest_without_captions_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "0.png")
    row = {"id": "0", "modality": "image", "file": "0.png", "captions": []}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row))
    generator = write_tiny_generator(tmp_path).load()

    with pytest.raises(OmniError, match="captions"):
        run(
            tmp_path / "manifest.jsonl",
            generator=generator,
            options=DrawingOptions(GenerateRule(steps=2)),
        )


def test_the_kernel_distance_of_one_law_is_about_zero_and_of_two_is_not() -> None:
    numbers = np.random.default_rng(0)
    first, second = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for rows in numbers.normal(size=(2, 400, 16)).astype(np.float32)
    )
    far = second + np.eye(16, dtype=np.float32)[0]
    far /= np.linalg.norm(far, axis=1, keepdims=True)

    assert abs(kernel_distance(first, second)) < 10
    assert kernel_distance(first, far) > 200
    with pytest.raises(ValueError, match="two rows"):
        kernel_distance(first[:1], second)
