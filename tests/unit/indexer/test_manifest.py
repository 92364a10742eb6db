import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from indexer.manifest import (
    FORMAT,
    MANIFEST_NAME,
    Manifest,
    read_manifest,
    reference_means,
    write_manifest,
)
from omni_encoder import CollectionError, Modality
from tests.toy import DIM, ToyEncoder

SPEC = ToyEncoder().spec


@given(
    means=hnp.arrays(
        np.float32,
        (4, DIM),
        elements=st.floats(-1, 1, width=32),
    )
)
def test_a_manifest_comes_back_exactly(
    means: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("manifest")
    written = Manifest(SPEC, reference_means(SPEC, means), reference_means(SPEC, means[::-1]))
    write_manifest(directory, written)
    found = read_manifest(directory)

    assert found.spec == SPEC
    assert [path.name for path in directory.iterdir()] == [MANIFEST_NAME]
    for modality, mean in zip(Modality, means, strict=True):
        np.testing.assert_array_equal(found.reference[modality], mean)
    for modality, mean in zip(Modality, means[::-1], strict=True):
        np.testing.assert_array_equal(found.mean(modality), mean)


def test_a_mean_moves_from_the_reference_to_the_items_as_they_grow() -> None:
    reference = np.ones((4, DIM), dtype=np.float32)
    manifest = Manifest(SPEC, reference_means(SPEC, reference))
    assert manifest.mean(Modality.IMAGE)[0] == 1

    few = manifest.with_means({Modality.IMAGE: (64, np.full(DIM, 64 * 3.0))})
    many = manifest.with_means({Modality.IMAGE: (64_000, np.full(DIM, 64_000 * 3.0))})

    assert few.mean(Modality.IMAGE)[0] == pytest.approx(2)
    assert many.mean(Modality.IMAGE)[0] == pytest.approx(3, abs=0.01)
    assert few.mean(Modality.TEXT)[0] == 1


def test_without_a_reference_small_collections_are_hardly_centred() -> None:
    manifest = Manifest(SPEC).with_means({Modality.TEXT: (1, np.full(DIM, 0.5))})
    assert manifest.mean(Modality.TEXT)[0] == pytest.approx(0.5 / 65)
    np.testing.assert_array_equal(manifest.mean(Modality.VIDEO), np.zeros(DIM))


def test_means_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 32\), got \(3, 32\)"):
        reference_means(SPEC, np.zeros((3, DIM), dtype=np.float32))


def test_no_manifest_is_no_collection(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="no collection") as caught:
        read_manifest(tmp_path)
    assert "omnidex index" in caught.value.hint


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text and "[]",
        lambda text: text.replace('"dim"', '"dimension"'),
        lambda text: text.replace('"image"', '"smell"'),
        lambda text: text.replace("image_pixels", "pixels"),
        lambda text: text.replace('"dim": 32', '"dim": 31'),
    ],
)
def test_a_damaged_manifest_is_said_to_be_damaged(tmp_path: Path, damage) -> None:
    means = reference_means(SPEC, np.zeros((4, DIM), dtype=np.float32))
    write_manifest(tmp_path, Manifest(SPEC, means, means))
    path = tmp_path / MANIFEST_NAME
    path.write_text(damage(path.read_text()))
    with pytest.raises(CollectionError, match=r"damaged|can't read"):
        read_manifest(tmp_path)


def test_a_newer_format_is_named(tmp_path: Path) -> None:
    write_manifest(tmp_path, Manifest(SPEC))
    path = tmp_path / MANIFEST_NAME
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "format": FORMAT + 1}))
    with pytest.raises(CollectionError, match=f"format {FORMAT + 1}"):
        read_manifest(tmp_path)
