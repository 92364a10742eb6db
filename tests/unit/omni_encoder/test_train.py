"""Training whole, on a miniature manifest, with a tiny network and a stand-in sound teacher."""

import json
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omni_encoder import MediaItem, Modality, load_encoder
from omni_encoder import train as training
from omni_encoder import train_batches as batches
from omni_encoder.checkpoint import load_checkpoint
from omni_encoder.model import tiny_checkpoint
from omni_encoder.network import OmniNetwork

COLOURS = {
    "red": (200, 30, 30),
    "green": (30, 200, 30),
    "blue": (30, 30, 200),
    "grey": (90, 90, 90),
}


class LoudnessTeacher:
    """Tells seven classes apart by loudness."""

    def __init__(self, *, threads: int = 1) -> None:
        pass

    def logits(self, samples: np.ndarray) -> np.ndarray:
        loud = float(np.abs(samples).mean())
        return -np.abs(np.linspace(0, 0.6, 7) - loud).astype(np.float32) * 10


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny = load_checkpoint(tiny_checkpoint(tmp_path / "tiny.safetensors"))

    def start(*, vision_size: int, seed: int) -> tuple[OmniNetwork, str]:
        again = load_checkpoint(tmp_path / "tiny.safetensors")
        return again.network, tiny.tokenizer

    monkeypatch.setattr(training, "start_network", start)
    monkeypatch.setattr(batches, "SoundTeacher", LoudnessTeacher)
    rows: list[dict[str, object]] = []
    for i, (name, colour) in enumerate(COLOURS.items()):
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"{name}.png")
        tone = np.sin(np.arange(8000) * (i + 1) * 0.05) * 8000 * (i + 1)
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(tone.clip(-32000, 32000).astype("<i2").tobytes())
        for modality, suffix in (("image", "png"), ("audio", "wav")):
            rows.append(
                {
                    "id": f"{name}-{modality}",
                    "modality": modality,
                    "file": f"{name}.{suffix}",
                    "captions": [f"a {name} {modality}"],
                    "pair_id": name,
                    "source": "test",
                    "license": "CC0-1.0",
                }
            )
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "manifest.jsonl").write_text(lines)
    (tmp_path / "split.json").write_text(json.dumps({"validation": ["grey-image", "grey-audio"]}))
    path = tmp_path / "run.toml"
    path.write_text(
        'run = "run"\nmanifests = ["manifest.jsonl"]\nsplit = "split.json"\nsound_steps = 3\n'
        "head_steps = 4\nhead_batch = 4\nsteps = 2\nbatch = 2\nsave_every = 1\n"
        "texts_per_step = 2\n[tasks]\nimage-text = 1\naudio-text = 1\nimage-audio = 1\n"
    )
    return path


def test_a_run_ends_in_a_checkpoint_that_says_what_it_was_trained_on(config: Path) -> None:
    phases: list[str] = []

    def note(phase: str, done: int, total: int, values: dict[str, float]) -> None:
        phases.append(phase)

    path = training.train(config, progress=note)

    made = load_checkpoint(path)
    header = json.loads(json.dumps(made.training))
    assert sum(row["items"] for row in header["data"]) == 6  # not the two that are held out
    assert header["config"]["seed"] == 0
    assert made.means is not None
    assert phases[-1] == "training"
    vectors = load_encoder(f"omni:{path}").encode([MediaItem(Modality.TEXT, "a red image")])
    assert np.isfinite(vectors).all()


def test_a_run_goes_on_with_the_batches_it_would_have_seen(
    config: Path,
) -> None:
    whole = load_checkpoint(training.train(config)).network.state_dict()
    run = config.parent / "run"
    (run / "progress.pt").unlink()

    def interrupt(phase: str, done: int, total: int, values: dict[str, float]) -> None:
        if phase == "training" and done == 2:  # after the save of step 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(config, progress=interrupt)
    resumed = load_checkpoint(training.train(config)).network.state_dict()

    for name, tensor in whole.items():
        np.testing.assert_array_equal(resumed[name].numpy(), tensor.numpy(), err_msg=name)


def test_a_licence_filter_leaves_items_out(config: Path) -> None:
    settings = training.read_config(config)
    kept = batches.read_items(settings)

    assert len(kept) == 8
    assert batches.read_items(replace(settings, exclude_licences=("CC0",))) == []
