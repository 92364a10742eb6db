"""The peer: trained with open_clip's own loss, resumed exactly, loaded as any open_clip model."""

# What safetensors returns is typed only in part.
# pyright: reportUnknownVariableType=false

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from omni_encoder import MediaItem, Modality, load_encoder
from omni_encoder.train_config import TrainingError
from omni_encoder.train_open_clip import read_open_clip_config
from omni_encoder.train_stages import train

CONFIG = """
run = "{run}"
manifests = ["manifest.jsonl"]
split = "split.json"
[open_clip]
steps = 4
batch = 2
pixels = 16
width = 64
layers = 1
text_layers = 1
context = 8
dim = 16
save_every = 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("peer")
    rows: list[str] = []
    for number, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (20, 20), colour).save(made / f"{colour}.png")
        row = {"id": f"i{number}", "modality": "image", "file": f"{colour}.png"}
        row |= {"captions": [f"{colour} square"], "source": "test", "license": "CC0-1.0"}
        rows.append(json.dumps(row))
    (made / "manifest.jsonl").write_text("\n".join(rows))
    (made / "split.json").write_text(json.dumps({"validation": ["i2"]}))
    return made


def test_an_interrupted_run_equals_a_whole_one_and_is_an_open_clip_model(folder: Path) -> None:
    for run in ("whole", "again"):
        (folder / f"{run}.toml").write_text(CONFIG.format(run=run))

    def interrupt(phase: str, done: int, total: int, values: dict[str, float]) -> None:
        if (phase, done) == ("open_clip", 3):  # after the save of step 2
            raise KeyboardInterrupt

    whole = train(folder / "whole.toml")
    with pytest.raises(KeyboardInterrupt):
        train(folder / "again.toml", progress=interrupt)
    again = train(folder / "again.toml")

    first, second = load_file(whole), load_file(again)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    encoder = load_encoder(f"open_clip:peer/{whole}")
    vectors = encoder.encode(
        [
            MediaItem(Modality.TEXT, "red square"),
            MediaItem(Modality.IMAGE, np.full((20, 20, 3), 200, dtype=np.uint8)),
        ]
    )
    assert vectors.shape == (2, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_a_limit_of_processor_time_ends_the_run(folder: Path) -> None:
    text = CONFIG.format(run="short").replace("steps = 4", "steps = 4000\ncpu_minutes = 0.0001")
    (folder / "short.toml").write_text(text)
    done: list[int] = []

    def note(phase: str, step: int, total: int, values: dict[str, float]) -> None:
        done.append(step)

    train(folder / "short.toml", progress=note)

    assert max(done) < 4000


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    start = 'run = "r"\nmanifests = ["m.jsonl"]\n[open_clip]\n'

    for line, what in (
        ("stepz = 1", "open_clip.stepz"),
        ("width = 100", "width"),
        ("patch = 7", "pixels"),
        ("steps = 0", "steps"),
    ):
        path.write_text(start + line)
        with pytest.raises(TrainingError, match=what):
            read_open_clip_config(path)
