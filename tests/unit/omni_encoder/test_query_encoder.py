"""Texts read in numpy: the vectors of the whole encoder, and that encoder for everything else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from omni_encoder import CheckpointError, JointEncoder, MediaItem, Modality, load_encoder
from omni_encoder.checkpoint import load_checkpoint, save_checkpoint
from omni_encoder.model import tiny_checkpoint
from omni_encoder.query_encoder import QueryEncoder, load_query_encoder
from omni_encoder.shipped import shipped_checkpoint
from omni_encoder.text_side import TextSide

TEXTS = ("a", "two words", "An umbrella, 3.5 m wide; naïve!", "日本", "long " * 300)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "tiny.safetensors")


def items(*texts: str) -> list[MediaItem]:
    return [MediaItem(Modality.TEXT, text) for text in texts]


def wakened(path: Path) -> Path:
    """The checkpoint with what training moves from zero moved from zero."""
    checkpoint = load_checkpoint(path)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for name, parameter in checkpoint.network.named_parameters():
            if name.startswith(("readout", "text_adapter", "bias", "backbone")):
                parameter.add_(torch.randn_like(parameter) / 10)
    save_checkpoint(checkpoint, path)
    return path


def test_texts_get_the_vectors_of_the_whole_encoder(tiny: Path) -> None:
    name = f"omni:{wakened(tiny)}"
    whole, words = load_encoder(name), load_query_encoder(name)

    assert isinstance(words, QueryEncoder)
    assert isinstance(words, JointEncoder)
    assert words.spec == whole.spec
    np.testing.assert_array_equal(words.means, whole.means)
    np.testing.assert_allclose(
        words.encode(items(*TEXTS)), whole.encode(items(*TEXTS)), rtol=0, atol=2e-6
    )


@pytest.mark.skipif(not shipped_checkpoint().is_file(), reason="no weights ship with this install")
def test_texts_get_the_vectors_of_the_shipped_encoder() -> None:
    np.testing.assert_allclose(
        load_query_encoder("omni").encode(items(*TEXTS)),
        load_encoder("omni").encode(items(*TEXTS)),
        rtol=0,
        atol=2e-6,
    )


def test_what_is_no_text_and_many_texts_load_the_whole_encoder_once(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"omni:{tiny}"
    words, whole = load_query_encoder(name), load_encoder(name)
    loads: list[str] = []
    monkeypatch.setattr(
        "omni_encoder.query_encoder.load_encoder", lambda name: loads.append(name) or whole
    )
    picture = MediaItem(Modality.IMAGE, np.zeros((20, 30, 3), np.uint8))
    mixed, many = [*items("a"), picture], items(*["long text " * 10] * 40)

    assert len(words.encode([])) == 0
    np.testing.assert_array_equal(words.encode(mixed), whole.encode(mixed))
    np.testing.assert_array_equal(words.encode(many), whole.encode(many))
    assert loads == [name]


def test_a_checkpoint_that_can_not_be_read_says_what_the_whole_encoder_says(tiny: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_query_encoder(f"omni:{tiny.parent / 'absent'}")
    tensors = load_file(tiny)
    save_file(tensors, tiny)  # without a header
    with pytest.raises(CheckpointError, match="format"):
        load_query_encoder(f"omni:{tiny}")
    tiny.write_bytes(tiny.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="not a readable"):
        load_query_encoder(f"omni:{tiny}")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("text.words.scale", lambda t: t * float("nan")),
        ("means", lambda t: t * float("inf")),
        ("text.positions", lambda t: t[:-1]),
        ("backbone.layers.1.up.weight", lambda t: t[:, :-1]),
        ("readout.query.weight", None),
        ("eos_weight", None),
        ("text.words.int8", None),
    ],
)
def test_a_spoilt_tensor_is_one_clear_error(
    tiny: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor] | None
) -> None:
    with safe_open(tiny, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(tiny)
    own = tensors.pop(name)
    if change is not None:
        tensors[name] = change(own).contiguous()
    save_file(tensors, tiny, metadata)

    with pytest.raises(CheckpointError, match=r"not finite|doesn't fit"):
        load_query_encoder(f"omni:{tiny}")


@pytest.mark.parametrize("part", ["tokenizer", "config"])
def test_a_spoilt_header_is_one_clear_error(tiny: Path, part: str) -> None:
    with safe_open(tiny, framework="pt") as file:
        metadata = file.metadata()
    save_file(load_file(tiny), tiny, metadata | {part: metadata[part][:-9]})

    with pytest.raises(CheckpointError, match=r"tokenizer can't be read|doesn't fit"):
        load_query_encoder(f"omni:{tiny}")


def test_an_encoder_that_was_replaced_meanwhile_is_refused(tiny: Path) -> None:
    words = load_query_encoder(f"omni:{tiny}")
    wakened(tiny)

    with pytest.raises(CheckpointError, match="was replaced"):
        words.encode([MediaItem(Modality.IMAGE, np.zeros((9, 9, 3), np.uint8))])


def test_a_text_side_with_values_that_are_not_finite_is_refused(tiny: Path) -> None:
    checkpoint = load_checkpoint(tiny)
    with torch.no_grad():
        checkpoint.network.bias[0, 0] = float("nan")
    save_checkpoint(checkpoint, tiny)

    with pytest.raises(ValueError, match="not finite"):
        TextSide.read(tiny, name="omni")
    with pytest.raises(CheckpointError, match="not finite"):
        load_query_encoder(f"omni:{tiny}")
