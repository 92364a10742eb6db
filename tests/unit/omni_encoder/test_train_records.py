"""What training leaves behind without the package that writes for TensorBoard."""

from pathlib import Path

import pytest

from omni_encoder import train_records
from omni_encoder.train_records import append_log, append_validation


def test_without_tensorboardx_there_are_csv_and_json_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_name: str) -> None:
        return None

    monkeypatch.setattr(train_records, "find_spec", missing)

    append_log([{"step": 1.0, "loss": 0.5}], tmp_path / "flow.csv")
    append_validation(tmp_path, {"stage": "flow", "step": 1, "text->image": 7.0})

    assert sorted(path.name for path in tmp_path.iterdir()) == ["flow.csv", "validation.jsonl"]
