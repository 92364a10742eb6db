from pathlib import Path

import numpy as np
import pytest
from omnidex_benchmarks.ann import AnnBenchmark, plot, run
from omnidex_benchmarks.ann_data import extend, make_mixture


def test_vectors_are_made_from_a_seed_and_have_a_gap_between_modalities() -> None:
    one, again = (make_mixture(1000, 32, 10, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.images, again.images)
    np.testing.assert_allclose(np.linalg.norm(one.images.astype(np.float32), axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(one.across, axis=1), 1, atol=1e-5)
    assert np.linalg.norm(one.mean) > 0.3


def test_exact_search_misses_nothing_and_ratios_are_of_what_was_timed(tmp_path: Path) -> None:
    result = run(AnnBenchmark(rows=(1000, 2000), dim=32, queries=5))

    assert len(result["sizes"]) == 2
    for size in result["sizes"]:
        for name in ("exact", "default", "faiss_flat"):
            engine = size["engines"][name]
            assert engine["recall_within"] == engine["recall_across"] == 1
        numpy, default = (
            size["engines"][name]["cpu_ms"]["median"] for name in ("numpy", "default")
        )
        ratio = size["engines"]["default"]["times_faster_than_numpy"]
        assert ratio == pytest.approx(numpy / default)
        assert [one["recall"] for one in size["filters"]] == [1, 1, 1]
    assert result["growth"][0]["from_rows"] == 1000
    pytest.importorskip("matplotlib")
    plot(result, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 0


@pytest.mark.parametrize("wrong", [{"rows": ()}, {"rows": (10,)}, {"queries": 0}])
def test_too_little_to_measure_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        AnnBenchmark(**wrong)
