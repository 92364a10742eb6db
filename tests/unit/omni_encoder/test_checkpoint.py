from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from omni_encoder.checkpoint import load_checkpoint, save_checkpoint
from omni_encoder.errors import CheckpointError
from omni_encoder.model import OmniEncoder, tiny_checkpoint
from omni_encoder.types import MediaItem, Modality


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("saved") / "tiny.safetensors")


def _items() -> list[MediaItem]:
    generator = np.random.default_rng(0)
    return [
        MediaItem(Modality.TEXT, "a red ball"),
        MediaItem(Modality.IMAGE, generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)),
        MediaItem(Modality.AUDIO, generator.uniform(-1, 1, 8000).astype(np.float32)),
        MediaItem(Modality.VIDEO, generator.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)),
    ]


def test_a_model_saved_and_read_again_makes_the_same_vectors(saved: Path, tmp_path: Path) -> None:
    first = load_checkpoint(saved)
    again = tmp_path / "deep" / "again.safetensors"
    save_checkpoint(first, again)
    second = load_checkpoint(again)

    np.testing.assert_allclose(
        OmniEncoder(first).encode(_items()), OmniEncoder(second).encode(_items()), atol=1e-5
    )
    assert second.network.config == first.network.config
    assert second.tokenizer == first.tokenizer
    assert second.training == {"seed": 0}
    assert second.means is not None
    assert second.means.shape == (4, 32)
    assert [path.name for path in again.parent.iterdir()] == ["again.safetensors"]


def test_word_embeddings_keep_8_bits_and_all_else_half_precision(
    saved: Path, tmp_path: Path
) -> None:
    checkpoint = load_checkpoint(saved)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for parameter in checkpoint.network.parameters():
            parameter.data = torch.randn_like(parameter)
    save_checkpoint(checkpoint, tmp_path / "c.safetensors")

    after = load_checkpoint(tmp_path / "c.safetensors").network.state_dict()

    for name, tensor in checkpoint.network.state_dict().items():
        if name == "text.words.weight":
            step = tensor.abs().amax(dim=1, keepdim=True) / 127
            assert ((after[name] - tensor).abs() <= step * 0.501).all()
        else:
            assert torch.equal(after[name], tensor.half().float()), name


def test_saving_a_model_again_keeps_its_fingerprint(saved: Path, tmp_path: Path) -> None:
    first = load_checkpoint(saved)
    for number in range(3):  # safetensors writes its header in no fixed order
        save_checkpoint(first, tmp_path / f"{number}.safetensors")
        again = load_checkpoint(tmp_path / f"{number}.safetensors")
        assert again.fingerprint == first.fingerprint


def test_the_fingerprint_is_the_files(saved: Path, tmp_path: Path) -> None:
    same = tmp_path / "same.safetensors"
    same.write_bytes(saved.read_bytes())
    other = tiny_checkpoint(tmp_path / "other.safetensors", seed=1)

    fingerprints = [load_checkpoint(path).fingerprint for path in (saved, same, other)]

    assert fingerprints[0] == fingerprints[1] != fingerprints[2]
    assert len(fingerprints[0]) == 32


def _refused(path: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert caught.value.hint
    return caught.value


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "there is no checkpoint" in _refused(tmp_path / "none.safetensors").message


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"not a checkpoint at all" * 10,
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
    ],
    ids=["empty", "other bytes", "half", "a byte short"],
)
def test_a_damaged_file_is_refused(
    saved: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(damage(saved.read_bytes()))

    assert "not a readable safetensors file" in _refused(path).message


def test_a_safetensors_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    assert "its format is not stated" in _refused(path).hint

    save_file({"weight": torch.zeros(2)}, path, {"format": "pt"})
    assert "its format is pt" in _refused(path).hint


def _altered(saved: Path, path: Path, alter: Callable[[dict[str, Tensor]], None]) -> Path:
    with safe_open(saved, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    alter(tensors)
    save_file(tensors, path, metadata)
    return path


def test_values_that_are_not_finite_are_refused(saved: Path, tmp_path: Path) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        tensors["bias"][0, 0] = float("nan")

    path = _altered(saved, tmp_path / "nan.safetensors", spoil)

    assert "not finite, first in bias" in _refused(path).message


def test_a_tensor_of_another_size_is_refused(saved: Path, tmp_path: Path) -> None:
    def widen(tensors: dict[str, Tensor]) -> None:
        tensors["bias"] = torch.zeros(4, 99)

    path = _altered(saved, tmp_path / "wide.safetensors", widen)

    assert "doesn't fit the model it describes" in _refused(path).message


@pytest.mark.parametrize("name", ["bias", "text.words.int8", "text.words.scale"])
def test_a_missing_tensor_is_refused(saved: Path, tmp_path: Path, name: str) -> None:
    def drop(tensors: dict[str, Tensor]) -> None:
        del tensors[name]

    path = _altered(saved, tmp_path / "less.safetensors", drop)

    assert "doesn't fit the model it describes" in _refused(path).message
