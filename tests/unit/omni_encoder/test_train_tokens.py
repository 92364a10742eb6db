"""Tokenizers whole: trained on a miniature manifest, saved, read, and used on files."""

import json
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from omni_encoder.codes import MediaCodec
from omni_encoder.errors import CheckpointError, EncoderError
from omni_encoder.media_writing import WritingError
from omni_encoder.model import OmniEncoder, tiny_checkpoint
from omni_encoder.reconstruct import reconstruct
from omni_encoder.token_checkpoint import (
    FORMAT,
    load_tokenizers,
    read_tensors,
    save_tokenizers,
)
from omni_encoder.train_config import TrainingError
from omni_encoder.train_stages import train
from omni_encoder.train_tokens import read_tokens_config
from omni_encoder.types import MediaItem, Modality

SETTINGS = """
run = "run"
manifests = ["manifest.jsonl"]
split = "split.json"
[tokens]
encoder = "tiny.safetensors"
steps = {steps}
batch = 2
width = 12
codes = 8
warmup = 1
save_every = 1
validate_every = 2
"""


def _write_media(folder: Path) -> None:
    rows: list[dict[str, object]] = []
    for number, colour in enumerate(((200, 30, 30), (30, 200, 30), (30, 30, 200))):
        Image.new("RGB", (40, 30), colour).save(folder / f"{number}.png")
        tone = np.sin(np.arange(9000) * (number + 1) * 0.05) * 8000
        with wave.open(str(folder / f"{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(tone.astype("<i2").tobytes())
        rows += [
            {
                "id": f"{modality}-{number}",
                "modality": modality,
                "file": f"{number}.{suffix}",
                "captions": ["a colour"],
                "source": "test",
                "license": "CC0-1.0",
            }
            for modality, suffix in (("image", "png"), ("audio", "wav"))
        ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "manifest.jsonl").write_text(lines)
    (folder / "split.json").write_text(json.dumps({"validation": ["image-2", "audio-2"]}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tokens")
    tiny_checkpoint(made / "tiny.safetensors")
    _write_media(made)
    (made / "run.toml").write_text(SETTINGS.format(steps=2))
    train(made / "run.toml")
    return made


def test_a_run_leaves_tokenizers_samples_and_figures(folder: Path) -> None:
    encoder = OmniEncoder.load(folder / "tiny.safetensors", name="tiny")
    made = load_tokenizers(folder / "run" / "tokens.safetensors", encoder.network)

    assert set(made.by_modality) == {Modality.IMAGE, Modality.AUDIO}
    assert made.training["image"]["items"] == 1  # what was held out, and nothing else
    with Image.open(folder / "run" / "tokens-image.png") as sheet:
        assert sheet.size == (128, 256)
    assert (folder / "run" / "tokens-audio" / "00-codes.wav").stat().st_size > 40_000
    lines = (folder / "run" / "validation.jsonl").read_text().splitlines()
    assert {json.loads(line)["stage"] for line in lines} == {"tokens-image", "tokens-audio"}


def _copied(folder: Path, to: Path, name: str, config: str) -> Path:
    """A config beside the data of another folder."""
    for path in (*folder.glob("*.json*"), *folder.glob("*.png"), *folder.glob("*.wav")):
        (to / path.name).write_bytes(path.read_bytes())
    (to / "tiny.safetensors").write_bytes((folder / "tiny.safetensors").read_bytes())
    (to / name).write_text(config)
    return to / name


def test_an_interrupted_run_equals_a_whole_one(folder: Path, tmp_path: Path) -> None:
    _copied(folder, tmp_path, "run.toml", SETTINGS.format(steps=2))

    for what in ("image codes", "audio codes"):

        def interrupt(
            phase: str, done: int, total: int, values: dict[str, float], what: str = what
        ) -> None:
            if (phase, done) == (what, 2):  # after the save of step 1
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run.toml", progress=interrupt)
    resumed, meta = read_tensors(train(tmp_path / "run.toml"), FORMAT)
    whole, whole_meta = read_tensors(folder / "run" / "tokens.safetensors", FORMAT)

    assert meta == whole_meta
    assert resumed.keys() == whole.keys()
    for name, tensor in whole.items():
        assert torch.equal(resumed[name], tensor), name


DECODER = """
run = "again"
manifests = ["manifest.jsonl"]
split = "split.json"
[tokens]
encoder = "tiny.safetensors"
start = "run/tokens.safetensors"
only_decoder = true
perceptual_weight = 0.5
modalities = ["image"]
steps = 2
batch = 2
width = 12
codes = 8
warmup = 1
save_every = 1
"""


def test_only_the_decoder_learns_on_and_codes_stay(folder: Path) -> None:
    (folder / "again.toml").write_text(DECODER)
    before, _ = read_tensors(folder / "run" / "tokens.safetensors", FORMAT)

    def interrupt(phase: str, done: int, total: int, values: dict[str, float]) -> None:
        if (phase, done) == ("image codes", 2):
            raise KeyboardInterrupt

    made = train(folder / "again.toml")
    after, meta = read_tensors(made, FORMAT)
    (folder / "again" / "tokens-image.pt").unlink()
    with pytest.raises(KeyboardInterrupt):
        train(folder / "again.toml", progress=interrupt)
    resumed, _ = read_tensors(train(folder / "again.toml"), FORMAT)

    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    parts = ("decoder.", "decoder_positions", "decoder_norm.", "head.")
    assert changed
    assert all(name.startswith(tuple(f"image.{part}" for part in parts)) for name in changed)
    assert all(torch.equal(resumed[name], tensor) for name, tensor in after.items())
    training = json.loads(meta["training"])
    assert training["start"]["audio"]["items"] == 1  # how the rest was trained is still told
    log = (folder / "again" / "tokens-image.csv").read_text().splitlines()[0]
    assert log == "step,loss,rebuilt,features,vector"


def test_a_run_with_progress_refuses_to_go_on_otherwise(folder: Path, tmp_path: Path) -> None:
    train(_copied(folder, tmp_path, "run.toml", SETTINGS.format(steps=2)))
    (tmp_path / "tokens.safetensors").write_bytes(
        (tmp_path / "run" / "tokens.safetensors").read_bytes()
    )
    other = DECODER.replace("again", "run").replace("run/tokens", "tokens")

    for changed in (other, other.replace("only_decoder = true", "")):
        (tmp_path / "other.toml").write_text(changed)
        with pytest.raises(TrainingError, match="another perceptual_weight, start or only_decoder"):
            train(tmp_path / "other.toml")


def test_a_start_of_another_shape_is_refused(folder: Path) -> None:
    (folder / "wide.toml").write_text(DECODER.replace("width = 12", "width = 24"))

    with pytest.raises(TrainingError, match="no image tokenizer of the shape"):
        train(folder / "wide.toml")


def test_storing_rounds_the_decoder_alone(folder: Path, tmp_path: Path) -> None:
    encoder = OmniEncoder.load(folder / "tiny.safetensors", name="tiny")
    made = load_tokenizers(folder / "run" / "tokens.safetensors", encoder.network)
    save_tokenizers(made, tmp_path / "again.safetensors")
    again = load_tokenizers(tmp_path / "again.safetensors", encoder.network)

    for modality, tokenizer in made.by_modality.items():
        state = again.by_modality[modality].state_dict()
        for name, tensor in tokenizer.state_dict().items():
            if name.startswith("decoder.") and tensor.ndim == 2:
                step = tensor.abs().amax(dim=1, keepdim=True) / 127
                assert ((state[name] - tensor).abs() <= 0.51 * step + 1e-8).all(), name
            else:
                assert torch.equal(state[name], tensor), name


def _codec(folder: Path) -> MediaCodec:
    encoder = OmniEncoder.load(folder / "tiny.safetensors", name="tiny")
    return MediaCodec.load(folder / "run" / "tokens.safetensors", encoder)


def test_codes_have_64_positions_for_each_picture_frame_and_block(folder: Path) -> None:
    codec = _codec(folder)
    generator = np.random.default_rng(0)
    video = generator.integers(0, 256, (3, 40, 30, 3), dtype=np.uint8)
    clip = generator.uniform(-1, 1, 50_000).astype(np.float32)

    image = codec.encode(MediaItem(Modality.IMAGE, video[0]))
    frames = codec.encode(MediaItem(Modality.VIDEO, video))
    sound = codec.encode(MediaItem(Modality.AUDIO, clip))

    assert image.shape == (64, 4)
    assert frames.shape == (192, 4)
    assert sound.shape == (128, 2)
    np.testing.assert_array_equal(frames[:64], image)
    assert codec.decode(Modality.VIDEO, frames).content.shape == (3, 64, 64, 3)
    assert len(codec.decode(Modality.AUDIO, sound).content) == 2 * 40_960


def test_codes_that_are_none_are_refused(folder: Path) -> None:
    codec = _codec(folder)

    with pytest.raises(ValueError, match="multiple of 64"):
        codec.decode(Modality.IMAGE, np.zeros((63, 4), dtype=np.int64))
    with pytest.raises(ValueError, match=r"0\.\.7"):
        codec.decode(Modality.IMAGE, np.full((64, 4), 8))
    with pytest.raises(EncoderError, match="text"):
        codec.encode(MediaItem(Modality.TEXT, "words"))


@pytest.mark.parametrize(("name", "out"), [("0.png", "o.png"), ("0.wav", "o.wav")])
@pytest.mark.parametrize("beside", [False, True])
def test_a_file_is_rebuilt_from_its_codes(
    folder: Path, tmp_path: Path, name: str, out: str, beside: bool
) -> None:
    made = reconstruct(
        folder / name,
        tmp_path / out,
        encoder=folder / "tiny.safetensors",
        tokens=folder / "run" / "tokens.safetensors",
        beside=beside,
    )

    if name == "0.png":
        assert (made.codes, made.bits) == (256, 768)
        with Image.open(tmp_path / out) as image:
            assert image.size == (128 if beside else 64, 64)
    else:
        assert made.codes == 128
        with wave.open(str(tmp_path / out)) as file:
            assert file.getnframes() == 40_960 * (2 if beside else 1)


def test_an_output_that_cannot_hold_it_is_refused_before_any_work(
    folder: Path, tmp_path: Path
) -> None:
    parts = {"encoder": folder / "tiny.safetensors", "tokens": folder / "run/tokens.safetensors"}

    with pytest.raises(WritingError, match=r"o\.wav can't hold image"):
        reconstruct(folder / "0.png", tmp_path / "o.wav", **parts)
    with pytest.raises(WritingError, match="no folder"):
        reconstruct(folder / "0.png", tmp_path / "none" / "o.png", **parts)


def test_tokenizers_of_another_encoder_are_refused(folder: Path, tmp_path: Path) -> None:
    other = OmniEncoder.load(tiny_checkpoint(tmp_path / "other.safetensors", seed=1), name="x")

    with pytest.raises(CheckpointError, match="another encoder"):
        load_tokenizers(folder / "run" / "tokens.safetensors", other.network)


def test_damaged_files_give_one_clear_error(folder: Path, tmp_path: Path) -> None:
    network = OmniEncoder.load(folder / "tiny.safetensors", name="x").network
    whole = (folder / "run" / "tokens.safetensors").read_bytes()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(whole[:-100])

    for path, what in (
        (tmp_path / "none.safetensors", "no checkpoint"),
        (cut, "not a readable"),
        (folder / "tiny.safetensors", "not an omnidex file of format"),
    ):
        with pytest.raises(CheckpointError, match=what):
            load_tokenizers(path, network)


def test_wrong_settings_are_named(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    start = 'run = "r"\nmanifests = ["m.jsonl"]\n[tokens]\n'

    for line, what in (
        ("stepz = 1", "tokens.stepz"),
        ("steps = 0", "steps must be at least 1"),
        ('modalities = ["text"]', "modalities"),
        ("only_decoder = true", "only_decoder needs start"),
        ("perceptual_weight = -1.0", "perceptual_weight must be finite and at least 0"),
        ("perceptual_weight = inf", "perceptual_weight must be finite and at least 0"),
        ("perceptual_weight = true", "perceptual_weight must be a number"),
        ('only_decoder = "no"', "only_decoder must be true or false"),
    ):
        path.write_text(start + line)
        with pytest.raises(TrainingError, match=what):
            read_tokens_config(path)
