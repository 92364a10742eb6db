"""The ablation: every rung trains on a miniature manifest, and finished runs are kept."""

import json
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from omnidex_benchmarks.ablation import FIGURES, run
from omnidex_benchmarks.measured import table_of
from PIL import Image

from omni_encoder.ablation import Study
from omni_encoder.ablation_config import LADDER, read_ablation_config
from omni_encoder.model import tiny_checkpoint
from omni_encoder.train_config import TrainingError
from omni_encoder.train_stages import train

CONFIG = """
run = "run"
manifests = ["manifest.jsonl"]
split = "split.json"
[ablation]
encoder = "tiny.safetensors"
token_steps = 1
steps = 2
batch = 2
layers = 1
rank = 2
words = 3
block = 2
drawn = 2
draw_steps = 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ablation")
    tiny_checkpoint(made / "tiny.safetensors")
    colours = ((200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30))
    with (made / "manifest.jsonl").open("w") as file:
        for number, colour in enumerate(colours):
            Image.new("RGB", (40, 30), colour).save(made / f"{number}.png")
            row = {
                "id": f"image-{number}",
                "modality": "image",
                "file": f"{number}.png",
                "captions": [f"{number}"],
                "source": "test",
                "license": "CC0-1.0",
            }
            file.write(json.dumps(row) + "\n")
    (made / "split.json").write_text(json.dumps({"validation": ["image-2", "image-3"]}))
    (made / "ablation.toml").write_text(CONFIG)
    return made


@pytest.fixture(scope="module")
def result(folder: Path) -> dict[str, object]:
    return run(folder / "ablation.toml", seeds=1)


def test_every_rung_is_measured_with_every_seed(folder: Path, result: dict[str, object]) -> None:
    variants = cast("dict[str, dict[str, dict[str, float]]]", result["variants"])
    lines = (folder / "run" / "ablation" / "runs.jsonl").read_text().splitlines()

    assert list(variants) == [variant.name for variant in LADDER]
    assert len(lines) == len(LADDER)
    assert all(0 <= row[figure]["mean"] <= 1 for row in variants.values() for figure in FIGURES)
    assert (result["queries"], result["candidates"]) == (2, 2)
    assert "drawn success@1 less" not in variants[LADDER[0].name]
    assert "drawn success@1 less" in variants[LADDER[1].name]


def test_finished_runs_are_not_done_again(folder: Path, result: dict[str, object]) -> None:
    told: list[str] = []

    again = run(folder / "ablation.toml", seeds=1, progress=lambda what, *_: told.append(what))

    assert again["variants"] == result["variants"]
    assert not any("seed" in what for what in told)


def test_other_settings_are_other_runs(folder: Path, result: dict[str, object]) -> None:
    del result
    changed = folder / "other.toml"
    changed.write_text(CONFIG.replace("rank = 2", "rank = 1"))

    run(changed, seeds=1)

    lines = (folder / "run" / "ablation" / "runs.jsonl").read_text().splitlines()
    assert len({json.loads(line)["key"] for line in lines}) == 2


def test_a_result_makes_a_table_with_what_each_rung_adds(result: dict[str, object]) -> None:
    document = {**result, "benchmark": "ablation", "measured": "2026-11-28T12:00:00Z"}

    made = table_of(document)

    assert made is not None
    headings, rows = made
    assert [row[0] for row in rows] == [variant.name for variant in LADDER]
    assert all(len(row) == len(headings) for row in rows)
    assert headings[1:3] == ["text->image mAP", "less the one above"]
    assert rows[0][2] == ""
    assert rows[1][2].startswith(("+", "-"))


def test_half_the_bits_multiply_about_the_same(folder: Path) -> None:
    changed = folder / "half.toml"
    changed.write_text(CONFIG + 'precision = "bfloat16"\n')
    whole, half = Study(folder / "ablation.toml"), Study(changed)

    for variant in (LADDER[0], LADDER[2]):
        one, other = (study.run(variant, 0) for study in (whole, half))
        np.testing.assert_allclose(one.images, other.images, atol=0.1)
        assert not np.array_equal(one.images, other.images)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("colour = 1", "ablation.colour"),
        ("steps = 0", "steps"),
        ("batch = 1", "batch"),
        ("precision = 'half'", "precision"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, wrong: str, said: str) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text(f'run = "run"\nmanifests = ["m.jsonl"]\n[ablation]\n{wrong}\n')

    with pytest.raises(TrainingError, match=said):
        read_ablation_config(config)


def test_without_held_out_pictures_there_is_nothing_to_measure(folder: Path) -> None:
    config = folder / "whole.toml"
    config.write_text(CONFIG.replace('split = "split.json"\n', ""))

    with pytest.raises(TrainingError, match="held out"):
        run(config, seeds=1)


def test_train_says_which_command_takes_the_section(folder: Path) -> None:
    with pytest.raises(TrainingError, match="ablation") as caught:
        train(folder / "ablation.toml")

    assert "bench ablation" in (caught.value.hint or "")
