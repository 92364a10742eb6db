import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from omni_encoder.torch_scan import TorchScan, usable_device


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 60), share=st.floats(0, 1))
def test_the_largest_products_come_first_whatever_is_masked(
    seed: int, count: int, share: float
) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.standard_normal((50, 8)).astype(np.float32)
    query = generator.standard_normal(8).astype(np.float32)
    mask = generator.random(50) < share
    scan = TorchScan(rows, "cpu")

    found, scores = scan.largest(query, count, mask)

    allowed = np.flatnonzero(mask)
    expected = np.sort((rows @ query)[allowed])[::-1][:count]
    assert np.isin(found, allowed).all()
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose((rows @ query)[found], scores, rtol=1e-5, atol=1e-5)


def test_a_missing_gpu_is_logged_once_and_the_cpu_takes_over(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with caplog.at_level(logging.WARNING):
        assert usable_device("auto") == "cpu"
        assert usable_device("cpu") == "cpu"
        assert not caplog.records
        assert usable_device("cuda") == "cpu"
    assert len(caplog.records) == 1
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert usable_device("auto") == "cuda"
