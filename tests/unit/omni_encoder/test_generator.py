"""Any kind from any kind, on a tiny random model: lengths, order, limits, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from omni_encoder.audio import BLOCK_SAMPLES
from omni_encoder.errors import CheckpointError, EncoderError, QueryError
from omni_encoder.flow_generate import GenerateRule
from omni_encoder.flow_model import FlowModel, Part, place
from omni_encoder.flow_path import MetricPath
from omni_encoder.generator import OmniGenerator, Request
from omni_encoder.media import open_media
from omni_encoder.media_writing import write_item
from omni_encoder.prompt import FRAMES, MOST_POSITIONS, Coded, parts_of, positions_of
from omni_encoder.types import MediaItem, MediaLayout, Modality
from tests.tiny_generator import TinyFiles, write_tiny_generator

RULE = GenerateRule(steps=2, guidance=2.0, block=4, most_blocks=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TinyFiles:
    return write_tiny_generator(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def generator(files: TinyFiles) -> OmniGenerator:
    return files.load()


def item(modality: Modality, *, seed: int = 0, seconds: float = 1.0) -> MediaItem:
    draw = np.random.default_rng(seed)
    if modality is Modality.TEXT:
        return MediaItem(modality, f"word {seed}")
    if modality is Modality.AUDIO:
        samples = draw.standard_normal(int(16_000 * seconds)) / 10
        return MediaItem(modality, samples.astype(np.float32))
    shape = (40, 30, 3) if modality is Modality.IMAGE else (6, 40, 30, 3)
    return MediaItem(modality, draw.integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize("towards", list(Modality))
@pytest.mark.parametrize("source", list(Modality))
def test_every_kind_is_drawn_from_every_kind(
    generator: OmniGenerator, source: Modality, towards: Modality
) -> None:
    prompt = [generator.read(item(source))]

    (answer,) = generator.draw(prompt, Request(towards, rule=RULE))

    assert answer.modality is towards
    if towards is not Modality.TEXT:
        assert len(answer.codes) == 64 * (FRAMES if towards is Modality.VIDEO else 1)


@pytest.mark.parametrize(
    ("towards", "shape"),
    [
        (Modality.IMAGE, (64, 64, 3)),
        (Modality.AUDIO, (BLOCK_SAMPLES,)),
        (Modality.VIDEO, (FRAMES, 64, 64, 3)),
        (Modality.TEXT, ()),
    ],
)
def test_answers_become_media(
    generator: OmniGenerator, towards: Modality, shape: tuple[int, ...]
) -> None:
    text = item(Modality.TEXT)

    made = generator.generate([text, item(Modality.IMAGE)], towards, count=2, rule=RULE)

    assert [answer.modality for answer in made] == [towards] * 2
    assert [np.asarray(answer.content).shape for answer in made] == [shape] * 2


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".mp4", ".webm"])
def test_a_written_video_is_read_back_as_four_frames(tmp_path: Path, suffix: str) -> None:
    frames = np.stack([np.full((64, 64, 3), 60 * n, dtype=np.uint8) for n in range(FRAMES)])
    path = tmp_path / f"video{suffix}"

    write_item(MediaItem(Modality.VIDEO, frames), path)

    (read,) = open_media(path, MediaLayout())[1]
    assert read.modality is Modality.VIDEO
    means = np.asarray(read.content).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, [0, 60, 120, 180], atol=6)


def test_an_answer_depends_on_the_seed_and_its_key_alone(generator: OmniGenerator) -> None:
    prompt = [generator.read(item(Modality.TEXT))]

    both = generator.draw(prompt, Request(Modality.VIDEO, rule=RULE, keys=(3, 7)))
    (alone,) = generator.draw(prompt, Request(Modality.VIDEO, rule=RULE, keys=(7,)))

    assert both[1].digest() == alone.digest() != both[0].digest()


def test_a_frame_starts_from_the_frame_before_as_far_as_it_is_held(
    generator: OmniGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the model is asked first about the second frame, against the first frame."""
    prompt = [generator.read(item(Modality.TEXT))]
    asked: list[Part] = []
    hidden = FlowModel.hidden

    def listen(model: FlowModel, parts: list[Part], **given: torch.Tensor) -> torch.Tensor:
        asked.append(parts[-1])
        return hidden(model, parts, **given)

    monkeypatch.setattr(FlowModel, "hidden", listen)

    def kept(hold: float) -> float:
        asked.clear()
        (video,) = generator.draw(
            prompt, Request(Modality.VIDEO, rule=GenerateRule(steps=2, hold=hold))
        )
        start = next(part.tokens for part in asked if part.frame == 1)
        return float((video.pieces()[0] == start[0].numpy()).mean())

    assert kept(0.0) < 0.25  # 16 codes: by chance a sixteenth
    assert 0.25 < kept(0.6) < 0.9
    assert kept(0.99) > 0.9


def test_a_longer_sound_begins_as_the_short_one(generator: OmniGenerator) -> None:
    prompt = [generator.read(item(Modality.IMAGE))]

    (short,) = generator.draw(prompt, Request(Modality.AUDIO, rule=RULE))
    (longer,) = generator.draw(prompt, Request(Modality.AUDIO, seconds=6, rule=RULE))

    assert len(longer.codes) == 3 * len(short.codes)
    np.testing.assert_array_equal(longer.pieces()[0], short.codes)
    assert np.asarray(generator.show(longer).content).shape == (3 * BLOCK_SAMPLES,)


def test_of_a_long_prompt_the_beginning_of_a_sound_and_four_frames_count(
    generator: OmniGenerator,
) -> None:
    sound = generator.read(item(Modality.AUDIO, seconds=20))
    video = generator.read(item(Modality.VIDEO))

    assert len(sound.pieces()) == 4
    assert len(video.pieces()) == FRAMES
    parts = parts_of(video, 2)
    assert [(part.modality, part.frame, part.pooled) for part in parts] == [
        (Modality.IMAGE, frame, True) for frame in range(FRAMES)
    ]
    hidden = generator.flow.model.embed(parts[1])[0]
    assert hidden.shape[:2] == (2, 16 + 2)
    assert positions_of(video) == FRAMES * 18 + 1  # its search vector


def test_order_is_seen_where_nothing_else_tells_it(generator: OmniGenerator) -> None:
    model = generator.flow.model
    first = generator.read(item(Modality.IMAGE, seed=1))
    second = generator.read(item(Modality.IMAGE, seed=2))
    target = parts_of(first, 1)[0]
    target = type(target)(target.modality, target.tokens, target.real, target=True)

    def hidden(turns: tuple[int, int]) -> torch.Tensor:
        said = [
            Coded(coded.modality, coded.codes, turn)
            for coded, turn in zip((first, second), turns, strict=True)
        ]
        with torch.no_grad():
            return model.hidden([*(p for c in said for p in parts_of(c, 1)), target])

    assert not torch.allclose(hidden((0, 1)), hidden((1, 0)), atol=1e-6)
    torch.testing.assert_close(place(0, 0, 33), torch.zeros(33))
    every = torch.stack([place(frame, turn, 32) for frame in range(4) for turn in range(6)])
    assert torch.cdist(every, every).fill_diagonal_(1).min() > 1e-3


def test_prompts_that_are_empty_or_too_long_are_refused(generator: OmniGenerator) -> None:
    with pytest.raises(QueryError, match="nothing"):
        generator.generate([], Modality.IMAGE)
    with pytest.raises(QueryError, match="1 to 61 tokens"):
        generator.generate([MediaItem(Modality.TEXT, "1 " * 80)], Modality.IMAGE)
    with pytest.raises(QueryError, match=f"more than {MOST_POSITIONS} positions"):
        generator.generate([item(Modality.IMAGE)] * 15, Modality.IMAGE)
    with pytest.raises(ValueError, match="seconds"):
        Request(Modality.AUDIO, seconds=0)
    with pytest.raises(ValueError, match="hold"):
        GenerateRule(hold=1)


def test_a_model_without_a_kind_says_so(files: TinyFiles, tmp_path: Path) -> None:
    generator = files.load()
    del generator.flow.paths[Modality.AUDIO]  # type: ignore[attr-defined]

    with pytest.raises(EncoderError, match="can't draw audio"):
        generator.generate([item(Modality.TEXT)], Modality.AUDIO)
    with pytest.raises(EncoderError, match="can't read audio"):
        generator.generate([item(Modality.AUDIO)], Modality.TEXT)


def _spoilt(path: Path, out: Path, fault: str) -> Path:
    if fault == "cut":
        out.write_bytes(path.read_bytes()[:-50])
        return out
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata())
    if fault == "nan":
        next(t for t in tensors.values() if t.is_floating_point()).view(-1)[0] = float("nan")
    elif fault == "format":
        metadata["format"] = "omnidex-flow-0"
    elif fault == "header":
        del metadata["towers"]
    elif fault.startswith("sharpness"):
        values: dict[str, list[float]] = json.loads(metadata["sharpness"])
        values["text"] = json.loads(f"[{fault.split()[1]}]")
        metadata["sharpness"] = json.dumps(values)
    elif fault == "size":
        tensors = {name: torch.cat([t, t]) if t.ndim else t for name, t in tensors.items()}
    save_file(tensors, out, metadata)
    return out


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("cut", "not a readable safetensors file"),
        ("nan", "not finite"),
        ("format", "not an omnidex file of format"),
        ("header", "lacks towers"),
        ("size", "of another size|other codes|doesn't fit"),
    ],
)
@pytest.mark.parametrize("which", ["tokens", "flow"])
def test_each_fault_of_a_file_is_one_clear_error(
    files: TinyFiles, tmp_path: Path, which: str, fault: str, message: str
) -> None:
    spoilt = _spoilt(getattr(files, which), tmp_path / "spoilt.safetensors", fault)
    given = {"encoder": files.encoder, "tokens": files.tokens, "flow": files.flow, which: spoilt}

    with pytest.raises(CheckpointError, match=message) as caught:
        OmniGenerator.load(**given)

    assert str(spoilt) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("value", ["-1", "NaN", "Infinity", "null"])
def test_a_flow_with_a_spoilt_sharpness_is_refused(
    files: TinyFiles, tmp_path: Path, value: str
) -> None:
    spoilt = _spoilt(files.flow, tmp_path / "spoilt.safetensors", f"sharpness {value}")

    with pytest.raises(CheckpointError, match="lacks the sharpness of its noise"):
        OmniGenerator.load(encoder=files.encoder, tokens=files.tokens, flow=spoilt)


def test_the_sharpness_of_noise_is_kept_and_found_anew_where_a_file_lacks_it(
    files: TinyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with safe_open(files.flow, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata())
    del metadata["sharpness"]
    save_file(tensors, tmp_path / "earlier.safetensors", metadata)
    earlier = OmniGenerator.load(
        encoder=files.encoder, tokens=files.tokens, flow=tmp_path / "earlier.safetensors"
    )

    monkeypatch.delattr(MetricPath, "calibrated")
    kept = files.load()

    for modality, row in kept.flow.paths.items():  # codebooks are rounded when they are stored
        found = [path.c for path in earlier.flow.paths[modality]]
        assert [path.c for path in row] == pytest.approx(found, rel=0.01)


def test_another_sharpness_is_another_model(files: TinyFiles, tmp_path: Path) -> None:
    other = _spoilt(files.flow, tmp_path / "other.safetensors", "sharpness 9.0")
    loaded = OmniGenerator.load(encoder=files.encoder, tokens=files.tokens, flow=other)

    assert loaded.fingerprint() != files.load().fingerprint()


def test_files_of_two_models_do_not_mix(files: TinyFiles, tmp_path: Path) -> None:
    other = write_tiny_generator(tmp_path, seed=1)

    with pytest.raises(CheckpointError, match="another encoder"):
        OmniGenerator.load(encoder=files.encoder, tokens=other.tokens, flow=other.flow)
    with pytest.raises(CheckpointError, match="another encoder"):
        OmniGenerator.load(encoder=files.encoder, tokens=files.tokens, flow=other.flow)
    assert files.load().fingerprint() == files.load().fingerprint() != other.load().fingerprint()
