from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_encoder.errors import EncoderError
from omni_encoder.model import OmniEncoder, encode_texts, pad_ids, tiny_checkpoint
from omni_encoder.types import Encoder, MediaItem, Modality


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> OmniEncoder:
    path = tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny.safetensors")
    made = OmniEncoder.load(path, name="omni:tiny")
    # A fresh media `<EOS>` feature has no say; give it one, so that the backbone is tested too.
    made.network.eos_weight.data.fill_(0.5)
    return made


def _clip(samples: int, seed: int) -> MediaItem:
    generator = np.random.default_rng(seed)
    return MediaItem(Modality.AUDIO, generator.uniform(-1, 1, samples).astype(np.float32))


def _image(height: int, width: int, seed: int) -> MediaItem:
    generator = np.random.default_rng(seed)
    return MediaItem(Modality.IMAGE, generator.integers(0, 256, (height, width, 3), np.uint8))


def _video(frames: int, seed: int) -> MediaItem:
    generator = np.random.default_rng(seed)
    return MediaItem(Modality.VIDEO, generator.integers(0, 256, (frames, 64, 48, 3), np.uint8))


ITEMS = [
    MediaItem(Modality.TEXT, "a"),
    _image(64, 64, 1),
    _clip(100, 2),
    _video(2, 3),
    MediaItem(Modality.TEXT, "the quick brown fox jumps over the lazy dog"),
    _clip(50_000, 4),
    _image(80, 100, 5),
    _video(5, 6),
    _clip(40_000, 7),
    MediaItem(Modality.TEXT, "words " * 100),
    _video(1, 8),
]


@pytest.fixture(scope="module")
def alone(encoder: OmniEncoder) -> np.ndarray:
    return np.concatenate([encoder.encode([item]) for item in ITEMS])


@settings(max_examples=10)
@given(order=st.permutations(range(len(ITEMS))), count=st.integers(1, len(ITEMS)))
def test_a_vector_does_not_depend_on_its_batch(
    encoder: OmniEncoder, alone: np.ndarray, order: list[int], count: int
) -> None:
    rows = order[:count]

    vectors = encoder.encode([ITEMS[i] for i in rows])

    np.testing.assert_allclose(vectors, alone[rows], rtol=0, atol=1e-5)


def test_vectors_are_unit_rows_and_differ_between_items(alone: np.ndarray) -> None:
    assert alone.shape == (len(ITEMS), 32)
    assert alone.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-5)
    distances = np.linalg.norm(alone[:, None] - alone[None], axis=2) + np.eye(len(ITEMS))
    assert distances.min() > 1e-3


def test_it_is_an_encoder_of_all_modalities(encoder: OmniEncoder) -> None:
    assert isinstance(encoder, Encoder)
    assert encoder.spec.modalities == tuple(Modality)
    assert encoder.spec.dim == 32
    assert encoder.encode([]).shape == (0, 32)


def test_audio_longer_than_the_model_takes_is_an_error_with_a_hint(encoder: OmniEncoder) -> None:
    longest = encoder.network.config.audio.positions * 320
    assert encoder.encode([_clip(longest, 0)]).shape == (1, 32)

    with pytest.raises(EncoderError, match=f"holds {longest + 1} samples") as caught:
        encoder.encode([_clip(longest + 1, 0)])

    assert caught.value.hint


@torch.inference_mode()
def test_padding_of_texts_has_no_influence_whatever_it_holds(encoder: OmniEncoder) -> None:
    ids, real = pad_ids([[101, 110, 111, 102], [101, 102]])
    other = torch.where(real, ids, 120)

    vectors = encoder.network.encode_text(ids, real)

    torch.testing.assert_close(encoder.network.encode_text(other, real), vectors)
    short = encoder.network.encode_text(*pad_ids([[101, 102]]))
    torch.testing.assert_close(vectors[1:], short, rtol=0, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("modality", [Modality.AUDIO, Modality.IMAGE])
def test_media_tokens_marked_as_padding_have_no_influence(
    encoder: OmniEncoder, modality: Modality
) -> None:
    network, generator = encoder.network, torch.Generator().manual_seed(0)
    width = 48 if modality is Modality.IMAGE else 32 * 8
    features = torch.randn(2, 5, width, generator=generator)
    real = torch.arange(5)[None].expand(2, 5) < 3
    other = torch.where(real[:, :, None], features, 9.0)

    vectors = network.encode_media(modality, features, real)

    torch.testing.assert_close(network.encode_media(modality, other, real), vectors)


def test_texts_are_cut_at_the_token_limit(encoder: OmniEncoder) -> None:
    limit = encoder.network.config.text_tokens
    texts = [MediaItem(Modality.TEXT, "a " * count) for count in (limit - 2, limit + 50)]

    vectors = encoder.encode(texts)

    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)


def test_fewer_frames_than_asked_are_repeated(encoder: OmniEncoder) -> None:
    one = _video(1, 9)
    assert isinstance(one.content, np.ndarray)
    twice = replace(one, content=one.content.repeat(2, axis=0))

    vectors = encoder.encode([one, twice])

    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)


def test_many_texts_are_encoded_as_one_by_one_and_in_order(
    encoder: OmniEncoder, tmp_path: Path
) -> None:
    texts = ["one", "a much longer text than the others", "two", "three 3"]

    together = encode_texts(encoder.network, encoder.tokenizer.to_str(), texts, batch=2)

    expected = encoder.encode([MediaItem(Modality.TEXT, text) for text in texts])
    np.testing.assert_allclose(together, expected, atol=1e-5)


@pytest.mark.parametrize("threads", [0, -1])
def test_fewer_than_one_thread_is_a_value_error(tmp_path: Path, threads: int) -> None:
    with pytest.raises(ValueError, match="threads must be at least 1"):
        OmniEncoder.load(tmp_path / "none", name="omni", threads=threads)
