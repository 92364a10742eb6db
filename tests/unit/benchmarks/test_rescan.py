import json

import pytest
from omnidex_benchmarks.rescan import RescanBenchmark, run


def test_a_tree_is_looked_at_again_and_found_as_it_is() -> None:
    result = json.loads(json.dumps(run(RescanBenchmark(files=12, repeats=2))))

    assert result["files"] == 12
    assert result["speed_up"] > 0
    for name in ("again_ratio", "change_ratio"):
        assert 0 < result[name]["min"] <= result[name]["median"] <= result[name]["max"]
    assert result["machine"]["versions"]["lancedb"]


def test_counts_must_make_sense() -> None:
    with pytest.raises(ValueError, match="files must be at least 1"):
        RescanBenchmark(files=0)
