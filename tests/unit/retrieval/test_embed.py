import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omni_encoder import MediaError, Modality
from omni_encoder.media import open_media
from retrieval.embed import embed_file, embed_files, embed_texts
from tests.toy import ToyEncoder


def write_image(path: Path, seed: int) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, size=(40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_sound(path: Path, duration: float, seed: int) -> Path:
    samples = np.random.default_rng(seed).integers(-9000, 9000, size=int(16_000 * duration))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def test_a_file_of_several_parts_has_the_unit_mean_of_its_parts(tmp_path: Path) -> None:
    path, encoder = write_sound(tmp_path / "noise.wav", 23.0, seed=0), ToyEncoder()

    embedded = embed_file(path, encoder)

    parts = encoder.encode(list(open_media(path, encoder.spec.layout)[1]))
    mean = parts.mean(axis=0)
    assert len(parts) > 1
    assert embedded.modality is Modality.AUDIO
    np.testing.assert_allclose(embedded.vector, mean / np.linalg.norm(mean), atol=1e-6)


@pytest.mark.parametrize("batch_items", [1, 2, 100])
def test_batches_do_not_change_vectors(tmp_path: Path, batch_items: int) -> None:
    paths = [
        write_image(tmp_path / "a.png", seed=0),
        write_sound(tmp_path / "b.wav", 17.0, seed=1),
        write_image(tmp_path / "c.png", seed=2),
    ]
    encoder = ToyEncoder()

    together = embed_files(paths, encoder, batch_items=batch_items)

    alone = np.stack([embed_file(path, encoder).vector for path in paths])
    np.testing.assert_allclose(together.vectors, alone, atol=1e-6)
    assert together.failures == ()


def test_a_file_that_cannot_be_decoded_is_reported_beside_the_others(tmp_path: Path) -> None:
    good = write_image(tmp_path / "good.png", seed=0)
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:200])
    seen: list[int] = []

    embedded = embed_files([good, bad, good], ToyEncoder(), advance=seen.append)

    assert [failure.number for failure in embedded.failures] == [1]
    assert embedded.failures[0].reason
    np.testing.assert_array_equal(embedded.vectors[1], 0)
    np.testing.assert_array_equal(embedded.vectors[0], embedded.vectors[2])
    np.testing.assert_allclose(np.linalg.norm(embedded.vectors[0]), 1, atol=1e-6)
    assert seen == [1, 2, 3]
    with pytest.raises(MediaError):
        embed_file(bad, ToyEncoder())


def test_texts_keep_their_order_whatever_their_length() -> None:
    texts = ["a much longer text than the others", "b", "a text", "b"]

    vectors = embed_texts(texts, ToyEncoder(), batch_items=3)

    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_array_equal(vector, embed_texts([text], ToyEncoder())[0])
    assert embed_texts([], ToyEncoder()).shape == (0, 32)


def test_no_files_have_no_vectors() -> None:
    assert embed_files([], ToyEncoder()).vectors.shape == (0, 32)
