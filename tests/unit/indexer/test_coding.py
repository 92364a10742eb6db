from pathlib import Path

import numpy as np
import pytest

from indexer.cache_files import Tuning
from indexer.coding import KINDS, Coder, Recipe
from indexer.exact import centre_rows
from indexer.scanner import BLOCK_ROWS, Codes, Vectors, leading_axes, turned, vectors_header

ROWS, DIM = 6000, 64


def write_rows(vectors: np.ndarray, path: Path) -> None:
    path.write_bytes(vectors_header(*vectors.shape) + vectors.astype(np.float16).tobytes())


def steep(seed: int, rows: int = ROWS) -> np.ndarray:
    """Rows whose first axes hold nearly everything."""
    generator = np.random.default_rng(seed)
    rows_ = generator.standard_normal((rows, DIM)) * np.arange(1, DIM + 1) ** -0.8
    return (rows_ / np.linalg.norm(rows_, axis=1, keepdims=True)).astype(np.float16)


def coded(vectors: np.ndarray, strangers: np.ndarray | None = None) -> tuple[Codes, Tuning]:
    mean = np.zeros(DIM, np.float32)
    nobody = np.zeros((0, DIM), np.float32)
    coder = Coder(vectors, Recipe(mean, 0.99, nobody if strangers is None else strangers))
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = vectors[start : start + BLOCK_ROWS].astype(np.float32)
        coder.add(centre_rows(block, mean), start=start)
    return coder.tuned()


def test_axes_are_orthogonal_ordered_by_what_they_hold_and_turning_keeps_their_space() -> None:
    rows = steep(0).astype(np.float32)
    axes, shares = leading_axes(rows)
    few = turned(axes[:8], seed=1)

    np.testing.assert_allclose(axes @ axes.T, np.eye(DIM), atol=1e-5)
    assert shares.sum() == pytest.approx(1)
    assert (np.diff(shares) <= 0).all()
    np.testing.assert_allclose(few.T @ few, axes[:8].T @ axes[:8], atol=1e-5)
    held = ((rows @ few.T) ** 2).mean(axis=0)
    assert held.max() / held.min() < shares[0] / shares[7] / 2


def test_codes_find_as_much_wherever_the_energy_lies() -> None:
    vectors = steep(1)
    generator = np.random.default_rng(2)
    turn, _ = np.linalg.qr(generator.standard_normal((DIM, DIM)))
    elsewhere = (vectors.astype(np.float64) @ turn).astype(np.float16)

    needed = [coded(one)[1] for one in (vectors, elsewhere)]

    assert all(tuning.reached for tuning in needed)
    assert max(tuning.candidates_10 for tuning in needed) <= 500


def test_queries_that_lie_where_rows_hardly_differ_get_codes_of_more_axes() -> None:
    vectors = steep(3)
    strangers = np.zeros((50, DIM), np.float32)
    strangers[np.arange(50), DIM // 2 + np.arange(50) % (DIM // 2)] = 1

    _, shares = leading_axes(vectors.astype(np.float32))
    enough_for_own = int(np.searchsorted(np.cumsum(shares), KINDS[0].energy)) + 2

    codes, tuning = coded(vectors, strangers)

    assert tuning.recall_across is not None
    assert codes.axes > enough_for_own


def test_opened_codes_give_the_candidates_that_written_ones_gave(tmp_path: Path) -> None:
    vectors = steep(4)
    codes, tuning = coded(vectors)
    codes.write(tmp_path / "codes")
    write_rows(vectors, tmp_path / "vectors")
    opened = Codes.open(tmp_path / "codes", Vectors(tmp_path / "vectors", rows=ROWS, dim=DIM))
    queries = steep(5, rows=20).astype(np.float32)
    mask = np.random.default_rng(6).random(ROWS) < 0.5

    for query in queries:
        by_codes = set(codes.rank(query[None], 100, probes=tuning.probes)[0].tolist())
        found, products = opened.candidates(query, 100, None, probes=tuning.probes)
        assert set(found.tolist()) == by_codes
        expected = vectors[found].astype(np.float32) @ query
        np.testing.assert_allclose(products, expected, atol=1e-5)
        chosen, _ = opened.candidates(query, 100, mask, probes=tuning.probes)
        assert len(chosen) == 100
        assert mask[chosen].all()


def test_codes_of_other_vectors_are_refused(tmp_path: Path) -> None:
    codes, _ = coded(steep(7))
    codes.write(tmp_path / "codes")
    write_rows(steep(7)[:100], tmp_path / "vectors")
    with pytest.raises(ValueError, match="other vectors"):
        Codes.open(tmp_path / "codes", Vectors(tmp_path / "vectors", rows=100, dim=DIM))
