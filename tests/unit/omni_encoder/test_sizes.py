"""The sizes on torch's meta device, and `base` with the towers of a CLIP that the test writes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from omni_encoder.clip_import import base_from_clip
from omni_encoder.clip_towers import ViTConfig
from omni_encoder.config import AudioConfig
from omni_encoder.errors import CheckpointError
from omni_encoder.flow_generate import generate
from omni_encoder.flow_model import FlowModel, Part
from omni_encoder.flow_path import MetricPath
from omni_encoder.large import LargeConfig, LargeNetwork, load_large, save_large
from omni_encoder.rotary import RotaryBackbone, RotaryConfig, RotaryLayer, rotations
from omni_encoder.sizes import SIZES, build, large_config
from omni_encoder.torchvision_guard import ensure_torchvision
from omni_encoder.types import Modality

ensure_torchvision()
import open_clip  # noqa: E402 -- the guard comes first

NAME = "omnidex-test-towers"
CLIP = {
    "embed_dim": 24,
    "vision_cfg": {
        "image_size": 32,
        "layers": 2,
        "width": 32,
        "head_width": 16,
        "patch_size": 8,
    },
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 48, "heads": 3, "layers": 3},
}
QWEN_7B = 7_615_616_512  # 7.61B: 152,064 words in and out, 28 layers of 3,584


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", SIZES)
def test_the_table_says_how_many_parameters_a_size_has(name: str) -> None:
    with torch.device("meta"):
        model = build(name)

    size, network = SIZES[name], model.network
    assert count(model) == size.parameters
    words = network.text.words.weight.numel() + count(model.words)
    assert count(network.backbone) + words == size.backbone
    assert count(model.heads) == size.heads
    assert all(parameter.is_meta for parameter in model.parameters())


def test_the_published_shape_is_qwen_with_light_heads() -> None:
    paper = SIZES["paper"]

    assert paper.backbone == QWEN_7B
    assert abs(paper.heads / 128e6 - 1) < 0.03
    assert abs((paper.backbone + paper.heads) / (QWEN_7B + 128e6) - 1) < 0.03


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(ValueError, match="nano, small, base, paper"):
        build("huge")


def test_a_rotary_layer_equals_one_written_out_in_numpy() -> None:
    torch.manual_seed(0)
    config = RotaryConfig(width=24, heads=6, key_heads=2, layers=1, hidden=40, base=100.0)
    layer = RotaryLayer(config).eval()
    torch.nn.init.normal_(layer.attention_norm.weight)
    x = torch.randn(1, 5, 24)
    with torch.no_grad():
        turns = rotations(5, 4, base=100.0, device=x.device)
        ours = layer(x, torch.ones(1, 1, 1, 5, dtype=torch.bool), turns)[0].double().numpy()
    w = {name: tensor.double().numpy() for name, tensor in layer.state_dict().items()}
    rows = x[0].double().numpy()

    def norm(v: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return v / np.sqrt((v**2).mean(-1, keepdims=True) + 1e-6) * weight

    def turn(v: np.ndarray) -> np.ndarray:
        """Each pair (i, i + 2) of a head as a complex number, turned by its position."""
        pairs = v[..., :2] + 1j * v[..., 2:]
        angles = np.arange(5)[:, None] * np.array([1.0, 100.0**-0.5])
        pairs = pairs * np.exp(1j * angles)[:, None]
        return np.concatenate([pairs.real, pairs.imag], axis=-1)

    inner = norm(rows, w["attention_norm.weight"])
    q = turn((inner @ w["q.weight"].T + w["q.bias"]).reshape(5, 6, 4))
    k = turn((inner @ w["k.weight"].T + w["k.bias"]).reshape(5, 2, 4))
    v = (inner @ w["v.weight"].T + w["v.bias"]).reshape(5, 2, 4)
    mixed = np.zeros((5, 6, 4))
    for head in range(6):
        scores = np.exp(q[:, head] @ k[:, head // 3].T / 2)
        mixed[:, head] = scores / scores.sum(-1, keepdims=True) @ v[:, head // 3]
    out = rows + mixed.reshape(5, 24) @ w["out.weight"].T
    inner = norm(out, w["mlp_norm.weight"])
    gate = inner @ w["gate.weight"].T
    out = out + (gate / (1 + np.exp(-gate)) * (inner @ w["up.weight"].T)) @ w["down.weight"].T
    np.testing.assert_allclose(ours, out, atol=1e-5)


def test_a_rotary_backbone_ignores_padding() -> None:
    torch.manual_seed(0)
    config = RotaryConfig(width=24, heads=6, key_heads=2, layers=2, hidden=40)
    backbone = RotaryBackbone(config).eval()
    tokens = torch.randn(1, 6, 24)
    real = torch.tensor([[True] * 4 + [False] * 2])
    other = tokens.clone()
    other[:, 4:] = 9

    with torch.no_grad():
        first, second = backbone(tokens, real), backbone(other, real)

    torch.testing.assert_close(first[:, :4], second[:, :4])


@pytest.mark.parametrize("is_rotary", [False, True])
def test_a_large_network_generates_and_embeds(is_rotary: bool) -> None:
    torch.manual_seed(0)
    network = LargeNetwork(_small(is_rotary)).eval()
    books = torch.randn(2, 8, 4)
    model = FlowModel(network, {Modality.IMAGE: books}, slots={Modality.IMAGE: 4}, inner=8).eval()
    paths = {Modality.IMAGE: [MetricPath(book).calibrated() for book in books]}
    ids = torch.tensor([[[5], [6]]])
    words = Part(Modality.TEXT, ids, torch.ones(1, 2, dtype=torch.bool))

    codes = generate(model, paths, [words], Modality.IMAGE, slots=4)
    with torch.no_grad():
        pixels, samples = torch.zeros(1, 3, 32, 32), torch.zeros(1, 256 * 160)
        tokens = [
            network.text(ids[..., 0]),
            network.image_tokens(pixels),
            network.audio_tokens(samples),
        ]
        vectors = network.encode(torch.cat(tokens, dim=1), torch.tensor([7]))

    assert codes.shape == (1, 4, 2)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(1))


def _small(is_rotary: bool) -> LargeConfig:
    return LargeConfig(
        "tiny",
        RotaryConfig(width=32, heads=4, key_heads=2, layers=2, hidden=64),
        vision=ViTConfig(width=32, layers=1, heads=2, patch=8, pixels=32),
        audio=AudioConfig(width=32, heads=2, layers=1, positions=256),
        vocabulary=50,
        rotary=is_rotary,
    )


@pytest.fixture(scope="module", params=[False, True], ids=["gelu", "quick gelu"])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """`MODEL/FILE` of a random CLIP that open_clip made."""
    folder = tmp_path_factory.mktemp("clip")
    name = f"{NAME}-{request.param}"
    (folder / f"{name}.json").write_text(json.dumps({**CLIP, "quick_gelu": request.param}))
    open_clip.add_model_config(folder / f"{name}.json")
    torch.manual_seed(3)
    model = open_clip.create_model(name, load_weights=False)
    weights = {
        key: (value + 0.1 * torch.randn_like(value)).contiguous()
        for key, value in model.state_dict().items()
    }
    save_file(weights, folder / "clip.safetensors")
    return f"{name}/{folder / 'clip.safetensors'}"


def _base() -> LargeConfig:
    return replace(large_config("base"), audio=AudioConfig(width=32, heads=2, layers=1))


def test_features_of_base_equal_those_of_the_clip_it_starts_from(clip: str, tmp_path: Path) -> None:
    name, _, file = clip.partition("/")
    theirs = open_clip.create_model(name, file).eval()
    ids = open_clip.get_tokenizer(name)(["a dog", "a red house by the sea", "word " * 60])
    pixels = torch.randn(3, 3, 32, 32)

    network = base_from_clip(clip, _base())
    save_large(network, tmp_path / "base.safetensors")
    again = load_large(tmp_path / "base.safetensors")

    with torch.inference_mode():
        images, texts = theirs.encode_image(pixels), theirs.encode_text(ids)
        for ours in (network, again):
            torch.testing.assert_close(
                ours.clip_image_features(pixels), images, atol=1e-5, rtol=1e-4
            )
            torch.testing.assert_close(ours.clip_text_features(ids), texts, atol=1e-5, rtol=1e-4)
    assert images.std() > 0.01  # the comparison is not of constants
    assert texts.std() > 0.01


def test_what_is_no_plain_clip_is_refused(clip: str, tmp_path: Path) -> None:
    name = clip.partition("/")[0]
    torch.save({}, tmp_path / "clip.pt")
    with pytest.raises(CheckpointError, match="no safetensors"):
        base_from_clip(f"{name}/{tmp_path / 'clip.pt'}", _base())

    other = f"{NAME}-both-ways"
    config = {**CLIP, "text_cfg": {**CLIP["text_cfg"], "no_causal_mask": True}}
    (tmp_path / f"{other}.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / f"{other}.json")
    path = tmp_path / "other.safetensors"
    save_file(open_clip.create_model(other, load_weights=False).state_dict(), path)
    with pytest.raises(CheckpointError, match="no plain CLIP"):
        base_from_clip(f"{other}/{path}", _base())
    with pytest.raises(CheckpointError, match="format"):
        load_large(path)
