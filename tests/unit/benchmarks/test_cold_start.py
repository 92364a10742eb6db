import json
import sys
from pathlib import Path

import pytest
from omnidex_benchmarks.cold_start import cached
from omnidex_benchmarks.timing import cpu_seconds

from omni_encoder import OmniError
from tests.toy import ToyEncoder


def test_a_search_over_made_items_is_measured_against_importing_its_libraries() -> None:
    result = json.loads(json.dumps(cached(ToyEncoder().spec, items=300, turns=1)))

    assert result["items"] == 300
    ratio = result["cached_like_cpu_s"]["median"] / result["imports_cpu_s"]["median"]
    assert result["cached_like_ratio"] == pytest.approx(ratio)
    assert 0.3 < result["cached_like_ratio"] < 5  # wide, for a busy machine
    assert result["cached_like_target"] == 1.5


def test_a_process_that_fails_has_no_cpu_time(tmp_path: Path) -> None:
    with pytest.raises(OmniError, match="failed with status"):
        cpu_seconds(["false"], byte_code=tmp_path)


def test_what_python_compiles_is_kept_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (tmp_path / "module.py").write_text("a = 1\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    assert cpu_seconds([sys.executable, "-c", "import module"], byte_code=tmp_path / "kept") > 0

    assert list((tmp_path / "kept").rglob("module.*.pyc"))
