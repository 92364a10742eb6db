from pathlib import Path

import pytest

from omni_encoder.train_config import TrainConfig, TrainingError, read_config


def _write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_are_relative_to_the_file_and_the_rest_has_defaults(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        'run = "out"\nmanifests = ["a.jsonl", "/b.jsonl"]\nsplit = "split.json"\nbatch = 8\n'
        'exclude_licences = ["NC"]\n[tasks]\nimage-text = 2\n',
    )

    config = read_config(path)

    assert config == TrainConfig(
        run=tmp_path / "out",
        manifests=(tmp_path / "a.jsonl", Path("/b.jsonl")),
        split=tmp_path / "split.json",
        batch=8,
        exclude_licences=("NC",),
        tasks=(("image-text", 2),),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('run = "r"\nmanifests = ["m"]\nbatches = 3\n', "unknown setting 'batches'"),
        ("run = \n", "can't read the training config"),
        ('run = "r"\n', "no manifests"),
        ('manifests = ["m"]\n', "'run'"),
        ('run = "r"\nmanifests = ["m"]\nbatch = 0\n', "batch must be at least 1"),
        ('run = "r"\nmanifests = ["m"]\nkeep_tokens = 0.0\n', "keep_tokens must be in"),
        ('run = "r"\nmanifests = ["m"]\naverage = 1.0\n', "average must be in"),
        ('run = "r"\nmanifests = ["m"]\n[tasks]\nimage-smell = 1\n', "known tasks are"),
        ('run = "r"\nmanifests = 3\n', "not iterable"),
    ],
)
def test_a_wrong_file_is_a_training_error_that_says_why(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(TrainingError) as caught:
        read_config(_write(tmp_path, text))

    assert says in caught.value.message
    assert caught.value.hint


def test_a_missing_file_is_a_training_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="can't read the training config"):
        read_config(tmp_path / "none.toml")
