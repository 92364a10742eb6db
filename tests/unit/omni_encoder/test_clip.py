"""open_clip encoders, on tiny random checkpoints that the tests write."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from omni_encoder import (
    CheckpointError,
    Encoder,
    EncoderError,
    MediaItem,
    Modality,
    load_encoder,
)
from omni_encoder.clip import OpenClipEncoder
from omni_encoder.torchvision_guard import GuardState, ensure_torchvision

ensure_torchvision()
import open_clip  # noqa: E402 -- the guard comes first

NAME = "omnidex-test-tiny"
CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {
        "image_size": 32,
        "layers": 2,
        "width": 32,
        "head_width": 16,
        "patch_size": 8,
        "patch_dropout": 0.5,  # random in training: an encoder must not be
    },
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
TEXTS = [
    "a dog",
    "A red bicycle leans against the wall of an old house",
    "word " * 60,  # more than the context holds
    "x",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds `tiny.safetensors` and `tiny.pt`, the same weights of a registered tiny model."""
    folder = tmp_path_factory.mktemp("clip")
    (folder / f"{NAME}.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder / f"{NAME}.json")
    weights = random_weights(NAME)
    save_file(weights, folder / "tiny.safetensors")
    torch.save({"state_dict": weights, "epoch": 3}, folder / "tiny.pt")
    return folder


@pytest.fixture(scope="module")
def encoder(folder: Path) -> OpenClipEncoder:
    return OpenClipEncoder.load(f"{NAME}/{folder / 'tiny.safetensors'}")


def random_weights(name: str, seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    model = open_clip.create_model(name, load_weights=False)
    # As initialised, biases are 0 and texts differ little: noise makes every weight matter.
    return {
        key: (value + 0.1 * torch.randn_like(value)).contiguous()
        for key, value in model.state_dict().items()
    }


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    shape = (height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def items() -> list[MediaItem]:
    """Images, texts and videos, mixed."""
    frames = np.stack([picture(40, 50, seed) for seed in range(3)])
    return [
        MediaItem(Modality.IMAGE, picture(40, 70)),
        MediaItem(Modality.TEXT, TEXTS[0]),
        MediaItem(Modality.VIDEO, frames),
        MediaItem(Modality.TEXT, TEXTS[1]),
        MediaItem(Modality.IMAGE, picture(90, 33)),
        MediaItem(Modality.VIDEO, frames[:1]),
        MediaItem(Modality.TEXT, TEXTS[2]),
    ]


def by_open_clip(name: str, path: Path, texts: list[str], images: list[np.ndarray]) -> np.ndarray:
    """What open_clip's own pipeline gives: its transform, its tokenizer, its forward pass."""
    model, _, transform = open_clip.create_model_and_transforms(name, str(path))
    model.eval()
    with torch.inference_mode():
        rows = model.encode_text(open_clip.get_tokenizer(name)(texts), normalize=True)
        batch = torch.stack([transform(Image.fromarray(image)) for image in images])
        return torch.cat([rows, model.encode_image(batch, normalize=True)]).numpy()


def test_vectors_equal_those_of_open_clips_own_pipeline(
    folder: Path, encoder: OpenClipEncoder
) -> None:
    images = [picture(40, 70), picture(90, 33), picture(32, 32), picture(9, 31)]
    expected = by_open_clip(NAME, folder / "tiny.safetensors", TEXTS, images)

    ours = encoder.encode(
        [MediaItem(Modality.TEXT, text) for text in TEXTS]
        + [MediaItem(Modality.IMAGE, image) for image in images]
    )

    assert isinstance(encoder, Encoder)
    assert encoder._cuts_padding
    assert ours.dtype == np.float32
    assert np.abs(ours - expected).max() < 1e-5
    assert np.abs(ours[0] - ours[1]).max() > 0.01  # the comparison is not of constants


def test_padding_is_kept_where_later_tokens_are_seen(folder: Path) -> None:
    name = f"{NAME}-both-ways"
    config = CONFIG | {"text_cfg": CONFIG["text_cfg"] | {"no_causal_mask": True}}
    (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / f"{name}.json")
    path = folder / "both-ways.safetensors"
    save_file(random_weights(name), path)

    encoder = OpenClipEncoder.load(f"{name}/{path}")

    assert not encoder._cuts_padding
    ours = encoder.encode([MediaItem(Modality.TEXT, text) for text in TEXTS])
    expected = by_open_clip(name, path, TEXTS, [picture(32, 32)])[: len(TEXTS)]
    assert np.abs(ours - expected).max() < 1e-5


def test_a_vector_depends_neither_on_its_batch_nor_on_its_place(encoder: OpenClipEncoder) -> None:
    mixed = items() * 3  # more than one batch of each kind
    together = encoder.encode(mixed)

    alone = np.concatenate([encoder.encode([item]) for item in mixed])
    backwards = encoder.encode(mixed[::-1])[::-1]

    assert np.abs(together - alone).max() < 1e-5
    assert np.abs(together - backwards).max() < 1e-5
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_a_video_is_the_normalised_mean_of_its_frames(encoder: OpenClipEncoder) -> None:
    frames = np.stack([picture(40, 50, seed) for seed in range(20)])
    rows = encoder.encode([MediaItem(Modality.IMAGE, frame) for frame in frames])
    mean = rows.mean(axis=0)

    video = encoder.encode([MediaItem(Modality.VIDEO, frames)])[0]

    assert np.abs(video - mean / np.linalg.norm(mean)).max() < 1e-5


def test_no_items_give_no_rows(encoder: OpenClipEncoder) -> None:
    assert encoder.encode([]).shape == (0, CONFIG["embed_dim"])


def test_audio_is_refused(encoder: OpenClipEncoder) -> None:
    sound = MediaItem(Modality.AUDIO, np.zeros(16_000, dtype=np.float32))

    with pytest.raises(EncoderError, match="can't encode audio") as caught:
        encoder.encode([*items(), sound])

    assert "omni" in caught.value.hint
    assert Modality.AUDIO not in encoder.spec.modalities


def test_the_spec_says_how_to_load_the_encoder_again_and_what_it_is(
    folder: Path, encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    from_pt = load_encoder(f"open_clip:{NAME}/tiny.pt")
    monkeypatch.chdir(folder.parent)
    again = load_encoder(encoder.spec.name)

    assert again.spec == encoder.spec
    assert load_encoder(from_pt.spec.name).spec == from_pt.spec
    assert encoder.spec.fingerprint == from_pt.spec.fingerprint  # the same weights
    assert encoder.spec.dim == CONFIG["embed_dim"]
    assert encoder.spec.layout.image_pixels == 32
    assert 1 <= encoder.spec.layout.passage_words <= 18


def test_the_fingerprint_changes_with_weights_and_with_preprocessing(
    folder: Path, encoder: OpenClipEncoder, tmp_path: Path
) -> None:
    save_file(random_weights(NAME, seed=1), tmp_path / "other.safetensors")
    same = tmp_path / "same"
    same.mkdir()
    (same / "tiny.safetensors").write_bytes((folder / "tiny.safetensors").read_bytes())
    (same / "open_clip_config.json").write_text(
        json.dumps({"preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}})
    )

    fingerprints = {
        encoder.spec.fingerprint,
        OpenClipEncoder.load(f"{NAME}/{tmp_path / 'other.safetensors'}").spec.fingerprint,
        OpenClipEncoder.load(f"{NAME}/{same / 'tiny.safetensors'}").spec.fingerprint,
    }

    assert len(fingerprints) == 3


def test_a_configuration_beside_the_file_decides_model_and_preprocessing(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "w.safetensors").write_bytes((folder / "tiny.safetensors").read_bytes())
    settings = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": CONFIG, "preprocess_cfg": settings})
    )
    image = picture(40, 70)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    model.eval()
    with torch.inference_mode():
        expected = model.encode_image(transform(Image.fromarray(image))[None], normalize=True)

    encoder = load_encoder(f"open_clip:anything/{tmp_path / 'w.safetensors'}")

    ours = encoder.encode([MediaItem(Modality.IMAGE, image)])
    assert np.abs(ours - expected.numpy()).max() < 1e-5


def test_a_file_with_its_configuration_beside_it_needs_no_model_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare, kept = tmp_path / "bare", tmp_path / "kept"
    for place in (bare, kept):
        place.mkdir()
        (place / "w.safetensors").write_bytes((folder / "tiny.safetensors").read_bytes())
    (kept / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG}))
    monkeypatch.chdir(tmp_path)

    absolute = load_encoder(f"open_clip:{kept / 'w.safetensors'}")
    relative = load_encoder("open_clip:kept/w.safetensors")
    named = load_encoder(f"open_clip:anything/{kept / 'w.safetensors'}")

    assert absolute.spec.name == relative.spec.name == f"open_clip:{kept / 'w.safetensors'}"
    assert load_encoder(absolute.spec.name).spec == absolute.spec
    assert named.spec.fingerprint == absolute.spec.fingerprint
    with pytest.raises(CheckpointError, match="which model it is of") as caught:
        load_encoder(f"open_clip:{bare / 'w.safetensors'}")
    assert f"open_clip:MODEL/{bare}" in caught.value.hint
    for absent in (tmp_path / "absent.safetensors", "absent.safetensors"):
        with pytest.raises(CheckpointError, match="no checkpoint at"):
            load_encoder(f"open_clip:{absent}")


@pytest.mark.parametrize("broken", ["{", "[]", '{"preprocess_cfg": {"resize_mode": "crop"}}'])
def test_a_broken_configuration_beside_the_file_is_an_error(
    broken: str, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "w.safetensors").write_bytes((folder / "tiny.safetensors").read_bytes())
    (tmp_path / "open_clip_config.json").write_text(broken)

    with pytest.raises(CheckpointError):
        OpenClipEncoder.load(f"{NAME}/{tmp_path / 'w.safetensors'}")


@pytest.mark.parametrize("model", ["ViT-L-14", "ViT-H-14-quickgelu"])
def test_a_bare_file_is_refused_where_its_preprocessing_is_a_guess(
    model: str, folder: Path
) -> None:
    with pytest.raises(CheckpointError, match="which preprocessing") as caught:
        OpenClipEncoder.load(f"{model}/{folder / 'tiny.safetensors'}")

    assert "open_clip_config.json" in caught.value.hint


def test_a_bare_file_of_a_sigmoid_model_without_tags_is_refused(folder: Path) -> None:
    name = f"{NAME}-sigmoid"
    (folder / f"{name}.json").write_text(json.dumps(CONFIG | {"init_logit_bias": -10}))
    open_clip.add_model_config(folder / f"{name}.json")

    with pytest.raises(CheckpointError, match="which preprocessing"):
        OpenClipEncoder.load(f"{name}/{folder / 'tiny.safetensors'}")


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_pickle_that_runs_code_is_refused_without_running_it(tmp_path: Path) -> None:
    torch.save({"state_dict": Trap(tmp_path / "sprung")}, tmp_path / "trap.pt")

    with pytest.raises(CheckpointError, match="safe") as caught:
        OpenClipEncoder.load(f"ViT-S-32/{tmp_path / 'trap.pt'}")

    assert "safetensors" in caught.value.hint
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("rest", "message", "hint"),
    [
        ("ViT-S-32", "which weights", "MODEL/TAG"),
        ("ViT-S-32/", "which weights", "MODEL/TAG"),
        ("ViT-B-33/laion2b", "no model called", "ViT-B-32"),
        ("ViT-B-32/laion3b", "neither a pretrained tag", "laion2b_s34b_b79k"),
        (f"{NAME}/absent.safetensors", "no checkpoint at", ""),
        (f"{NAME}/{{folder}}/weights.pkl", "loaded safely", ".safetensors"),
        (f"{NAME}/{{folder}}/empty.safetensors", "can't be loaded", ""),
        (f"{NAME}/{{folder}}/empty.pt", "damaged", ""),
        ("ViT-S-32/{folder}/tiny.safetensors", "can't be loaded as ViT-S-32", "saved from"),
    ],
)
def test_what_cannot_be_loaded_is_one_clear_error(
    rest: str, message: str, hint: str, folder: Path
) -> None:
    for name in ("weights.pkl", "empty.safetensors", "empty.pt"):
        (folder / name).touch()

    with pytest.raises(EncoderError, match=message) as caught:
        OpenClipEncoder.load(rest.format(folder=folder))

    assert hint in caught.value.hint
    assert "\n" not in caught.value.message


def test_in_a_fresh_process_the_guard_comes_first_and_a_tag_offline_is_one_error(
    folder: Path, tmp_path: Path
) -> None:
    script = f"""
import logging, sys
import numpy as np
import omni_encoder
assert "torch" not in sys.modules
import omni_encoder.clip
assert "open_clip" not in sys.modules
from omni_encoder import EncoderError, MediaItem, Modality, load_encoder
encoder = load_encoder("open_clip:anything/{tmp_path}/tiny.safetensors", threads=1)
image = np.full((40, 40, 3), 90, np.uint8)
assert encoder.encode([MediaItem(Modality.IMAGE, image)]).shape == (1, 24)
from omni_encoder.torchvision_guard import ensure_torchvision
assert ensure_torchvision() is ensure_torchvision()
try:
    load_encoder("open_clip:ViT-B-32/laion2b_s34b_b79k")
except EncoderError as error:
    print(error.message, error.hint, sep="|")
assert not logging.getLogger().handlers
"""
    (tmp_path / "tiny.safetensors").write_bytes((folder / "tiny.safetensors").read_bytes())
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}})
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment | {"PATH": "/usr/bin:/bin"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    message, _, hint = done.stdout.strip().partition("|")
    assert "HF_HUB_OFFLINE" in message
    assert "laion2b_s34b_b79k" in message
    assert "open_clip:ViT-B-32/FILE.safetensors" in hint
    assert "Traceback" not in done.stderr


def test_a_tag_downloaded_earlier_needs_no_network(
    folder: Path, encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"hf_hub": "someone/something/", "mean": [0.5] * 3, "resize_mode": "squash"}
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda *_: config)
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache",
        lambda _, name: str(folder / "tiny.pt") if name == "open_clip_pytorch_model.bin" else None,
    )

    cached = OpenClipEncoder.load(f"{NAME}/some_tag")

    assert cached.spec.name == f"open_clip:{NAME}/some_tag"
    assert cached._clip.preprocess.mean == (0.5, 0.5, 0.5)
    text = [MediaItem(Modality.TEXT, "a dog")]
    assert np.abs(cached.encode(text) - encoder.encode(text)).max() < 1e-5


def test_the_guard_leaves_other_failures_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr("omni_encoder.torchvision_guard.importlib.import_module", fail)
    with pytest.raises(RuntimeError, match="something else"):
        ensure_torchvision.__wrapped__()
    assert isinstance(ensure_torchvision(), GuardState)
