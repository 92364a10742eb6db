"""`omnidex bench generate` on a tiny random model."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omnidex_benchmarks.generation import GenerationBenchmark, match
from omnidex_cli.app import main

from omni_encoder.flow_generate import GenerateRule
from omni_encoder.types import Modality
from tests.tiny_generator import write_tiny_generator

Run = Callable[..., str]


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    files = write_tiny_generator(tmp_path)
    (tmp_path / "prompts.txt").write_text("one\n\ntwo\nthree\n")

    def run(*arguments: str) -> str:
        prompts = ("--prompts", str(tmp_path / "prompts.txt"))
        capsys.readouterr()
        code = main(["bench", "generate", *prompts, "--turns", "1", *arguments, *files.options()])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out

    return run


def test_speed_and_quality_are_measured(bench: Run) -> None:
    result = json.loads(bench("--steps", "2", "--by-steps", "1,2", "--json"))

    assert result["kept_prompt_draws_the_same"] is True
    assert result["samplers"]["flow"]["calls"] == 2
    assert result["samplers"]["in order, all kept"]["calls"] == 65
    assert result["samplers"]["in order, all kept"]["times_faster_than_in_order"] == 1
    assert result["ratio"] == result["samplers"]["flow"]["times_faster_than_in_order"]
    ways = [(row["steps"], row["rule"]) for row in result["quality"]]
    in_order = (65, "in order, all kept")
    assert ways == [(1, "midpoint"), (1, "euler"), (2, "midpoint"), (2, "euler"), in_order]
    # One step takes the model's draw whole, whatever the rule.
    assert result["quality"][0]["cosine"] == result["quality"][1]["cosine"]


def test_quality_can_be_left_out(bench: Run) -> None:
    out = bench("--steps", "1", "--by-steps", "0", "--to", "audio")

    assert "in order, all kept" in out
    assert "success@1" not in out


def test_matching_counts_ties_as_misses() -> None:
    wanted = np.eye(3, dtype=np.float32)

    assert match(wanted, wanted)["success@1"] == 1
    assert match(np.roll(wanted, 1, axis=0), wanted)["success@1"] == 0
    same = np.full((3, 3), 3**-0.5, dtype=np.float32)
    assert match(same, wanted)["success@1"] == 0


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="prompts"):
        GenerationBenchmark(Modality.IMAGE, GenerateRule(), prompts=("one",))
