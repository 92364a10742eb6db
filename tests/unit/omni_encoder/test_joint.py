"""Pseudo-words whole: learned on a miniature manifest, saved, read, and used in sequences."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from omni_encoder.errors import CheckpointError
from omni_encoder.joint import PseudoWords, load_pseudo_words, save_pseudo_words
from omni_encoder.model import OmniEncoder, tiny_checkpoint
from omni_encoder.train_config import TrainingError
from omni_encoder.train_joint import read_joint_config
from omni_encoder.train_stages import train
from omni_encoder.types import JointEncoder, MediaItem, Modality

SETTINGS = """
run = "run"
manifests = ["manifest.jsonl"]
split = "split.json"
[joint]
encoder = "tiny.safetensors"
words = 2
steps = 3
batch = 4
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("joint")
    tiny_checkpoint(folder / "tiny.safetensors")
    rows = [
        {
            "id": f"i{number}",
            "modality": "image",
            "file": "absent.png",  # only its captions are used
            "captions": [f"thing {letter}"],
            "source": "test",
            "license": "CC0",
        }
        for number, letter in enumerate("abcdefgh")
    ]
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "split.json").write_text(json.dumps({"validation": ["i0"]}))
    (folder / "joint.toml").write_text(SETTINGS)
    return folder


@pytest.fixture(scope="module")
def encoder(folder: Path) -> OmniEncoder:
    """The tiny encoder, with pseudo-words trained for it beside its checkpoint."""
    train(folder / "joint.toml").rename(folder / "tiny-joint.safetensors")
    path = folder / "tiny.safetensors"
    return OmniEncoder.load(path, name=f"omni:{path}")


def vector(seed: int, dim: int) -> np.ndarray:
    row = np.random.default_rng(seed).standard_normal(dim)
    return (row / np.linalg.norm(row)).astype(np.float32)


def test_a_sequence_of_texts_reads_as_the_text_that_joins_them_by_commas(
    encoder: OmniEncoder,
) -> None:
    assert isinstance(encoder, JointEncoder)
    joined = [MediaItem(Modality.TEXT, text) for text in ("a cat", "a cat, at night")]

    read = encoder.encode_joint([["a cat"], ["a cat", "at night"]])

    np.testing.assert_allclose(read, encoder.encode(joined), atol=1e-5)


def test_vectors_stand_in_sequences_in_their_place_whatever_else_is_in_the_batch(
    encoder: OmniEncoder,
) -> None:
    one, other = vector(0, encoder.spec.dim), vector(1, encoder.spec.dim)
    sequences = [[one, "at night"], ["at night", one], [other, "at night"], [one, other, "x"]]

    together = encoder.encode_joint(sequences)
    apart = np.concatenate([encoder.encode_joint([sequence]) for sequence in sequences])

    np.testing.assert_allclose(together, apart, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.abs(together[0] - together[2]).max() > 1e-4


def test_a_sequence_beyond_the_limit_is_cut_and_still_ends_in_eos(encoder: OmniEncoder) -> None:
    limit = encoder.network.config.text_tokens
    long = " ".join(["cat"] * (2 * limit))

    read = encoder.encode_joint([[long, vector(0, encoder.spec.dim)]])

    np.testing.assert_allclose(read, encoder.encode([MediaItem(Modality.TEXT, long)]), atol=1e-5)


def test_pseudo_words_of_another_checkpoint_and_missing_ones_say_what_to_do(
    tmp_path: Path,
) -> None:
    path = tiny_checkpoint(tmp_path / "own.safetensors")
    encoder = OmniEncoder.load(path, name=f"omni:{path}")
    beside = tmp_path / "own-joint.safetensors"
    with pytest.raises(CheckpointError, match="no pseudo-words"):
        encoder.encode_joint([["a"]])
    save_pseudo_words(PseudoWords(encoder.spec.dim, 1), beside, fingerprint="another")
    with pytest.raises(CheckpointError, match="another encoder") as caught:
        encoder.encode_joint([["a"]])
    assert "arithmetic" in str(caught.value.hint)
    beside.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="holds no pseudo-words"):
        encoder.encode_joint([["a"]])


def test_training_again_gives_the_same_words(folder: Path, encoder: OmniEncoder) -> None:
    torch.manual_seed(5)
    paths = train(folder / "joint.toml"), folder / "tiny-joint.safetensors"

    again, before = (
        load_pseudo_words(path, fingerprint=encoder.spec.fingerprint) for path in paths
    )

    assert all(map(torch.equal, again.parameters(), before.parameters()))


@pytest.mark.parametrize(
    ("setting", "message"), [("steps = 1", "at least 2"), ("size = 3", "unknown setting")]
)
def test_wrong_settings_are_named(tmp_path: Path, setting: str, message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f'run = "r"\nmanifests = ["m"]\n[joint]\n{setting}\n')

    with pytest.raises(TrainingError, match=message):
        read_joint_config(path)
