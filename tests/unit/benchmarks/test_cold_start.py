import json
import sys
from pathlib import Path

import pytest
from omnidex_benchmarks.cold_start import cached
from omnidex_benchmarks.measured import table_of
from omnidex_benchmarks.timing import cpu_seconds, spread

from omni_encoder import OmniError
from tests.toy import ToyEncoder


def test_a_search_over_made_items_is_measured_against_importing_its_libraries() -> None:
    result = json.loads(json.dumps(cached(ToyEncoder().spec, items=300, turns=1)))

    assert result["items"] == 300
    ratio = result["cached_like_cpu_s"]["median"] / result["imports_cpu_s"]["median"]
    assert result["cached_like_ratio"] == pytest.approx(ratio)
    assert 0.3 < result["cached_like_ratio"] < 5  # wide, for a busy machine
    assert result["cached_like_target"] == 1.5


def test_the_table_has_a_row_for_each_ratio_and_what_is_wanted() -> None:
    cached_ones = {"cached_like_ratios": spread([1.2, 1.3]), "cached_like_target": 1.5}
    document = {
        "benchmark": "cold-start",
        "ratio": 1.7,
        "ratios": spread([1.6, 1.8]),
        "unit": "search / import",
        "items": 100_000,
        "imports": "import numpy",
        **cached_ones,
    }

    table = table_of(document)

    assert table is not None
    wanted = "CPU time of `search --like` over 100,000 items / of `import numpy`"
    assert table[1] == [
        ["search / import", "1.70; 1.60 to 1.80", ""],
        [wanted, "1.25; 1.20 to 1.30", "at most 1.5"],
    ]


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
