from pathlib import Path

import numpy as np
import pytest
from omnidex_benchmarks.ann import AnnBenchmark, plot, run
from omnidex_benchmarks.ann_data import TUNING, extend, make_mixture

from indexer import Collection
from indexer.transfer import Form, bring_in
from tests.toy import DIM, ToyEncoder


def test_vectors_are_made_from_a_seed_and_have_a_gap_between_modalities() -> None:
    one, again = (make_mixture(1000, 32, 10, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.images, again.images)
    np.testing.assert_allclose(np.linalg.norm(one.images.astype(np.float32), axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(one.across, axis=1), 1, atol=1e-5)
    assert np.linalg.norm(one.mean) > 0.3


def test_a_collection_is_extended_by_images_near_its_own(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    drawn = generator.standard_normal((2, 250, DIM))
    drawn /= np.linalg.norm(drawn, axis=2, keepdims=True)
    rows = dict(zip(("image", "text"), drawn, strict=True))
    source = tmp_path / "source"
    source.mkdir()
    for kind, vectors in rows.items():
        np.save(source / f"{kind}.npy", vectors.astype(np.float32))
        (source / f"{kind}.jsonl").write_text(f'{{"modality": "{kind}"}}\n' * 250)
    with Collection.create(tmp_path / "collection", ToyEncoder().spec) as collection:
        assert bring_in(source, collection, Form.NUMPY).items == 500

    data = extend(tmp_path / "collection", 1000, 20)

    assert data.images.shape == (1000, DIM)
    own = rows["image"].astype(np.float32)
    nearest = (data.images.astype(np.float32) @ own.T).max(axis=1)
    unrelated = (own @ own.T - 2 * np.eye(250)).max(axis=1)
    assert np.median(nearest) > np.median(unrelated)
    assert len(data.across) == len(data.within) == 20
    asked = {row.tobytes() for row in data.across}
    assert len(data.strangers) == TUNING
    assert not asked & {row.tobytes() for row in data.strangers}


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
