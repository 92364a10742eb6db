"""The noise of the flow against what its definition says, in double precision."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from omni_encoder.flow_path import MetricPath, inverse

_SIZE = 12


def _path(*, seed: int = 0, size: int = _SIZE, dim: int = 5, exponent: float = 2.0) -> MetricPath:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(size, dim, generator=generator, dtype=torch.float64)
    return MetricPath(rows, exponent=exponent)


def _at(path: MetricPath, t: float) -> Tensor:
    every = torch.arange(path.size)
    return path.log_probs(every, torch.full((path.size,), t, dtype=torch.float64)).exp()


@given(seed=st.integers(0, 99), exponent=st.sampled_from([2.0, 4.0]), t=st.floats(0, 0.999))
def test_rows_of_the_path_sum_to_one(seed: int, exponent: float, t: float) -> None:
    torch.testing.assert_close(
        _at(_path(seed=seed, exponent=exponent), t).sum(dim=1),
        torch.ones(_SIZE, dtype=torch.float64),
    )


@pytest.mark.parametrize("exponent", [2.0, 4.0])
def test_the_path_starts_uniform_and_ends_on_the_token(exponent: float) -> None:
    path = _path(exponent=exponent)

    torch.testing.assert_close(_at(path, 0.0), torch.full((12, 12), 1 / 12, dtype=torch.float64))
    torch.testing.assert_close(
        _at(path, 0.9999), torch.eye(12, dtype=torch.float64), atol=1e-6, rtol=0
    )


@given(seed=st.integers(0, 99), exponent=st.sampled_from([2.0, 4.0]))
def test_distances_are_powers_of_the_length_between_unit_rows(seed: int, exponent: float) -> None:
    path = _path(seed=seed, exponent=exponent)
    assert path.embeddings is not None

    expected = torch.cdist(path.embeddings, path.embeddings) ** exponent

    every = torch.arange(path.size)
    # The cosine of near rows cancels, so the oracle is the less exact side near zero.
    torch.testing.assert_close(path.distances(every), expected, atol=1e-7, rtol=1e-7)
    left, right = torch.cartesian_prod(every, every).unbind(dim=1)
    torch.testing.assert_close(path.between(left, right).view(12, 12), path.distances(every))


@given(seed=st.integers(0, 99), exponent=st.sampled_from([2.0, 4.0]), t=st.floats(0.05, 0.95))
def test_the_velocity_carries_the_path(seed: int, exponent: float, t: float) -> None:
    """Inflow less outflow is the change of the probabilities, by finite differences."""
    path = _path(seed=seed, exponent=exponent)
    clean = seed % path.size
    step = 1e-6
    change = (_at(path, t + step)[clean] - _at(path, t - step)[clean]) / (2 * step)

    at = torch.arange(path.size)
    goal = torch.full_like(at, clean)
    times = torch.full((path.size,), t, dtype=torch.float64)
    rates = path.velocity(at, goal, times) * path.beta_rate(times)[:, None]  # [from, to]
    flux = _at(path, t)[clean][:, None] * rates
    inflow, outflow = flux.sum(dim=0), flux.sum(dim=1)

    scale = change.abs().max().clamp(min=1)
    torch.testing.assert_close(inflow - outflow, change, atol=1e-6 * scale.item(), rtol=1e-6)


@given(seed=st.integers(0, 99), t=st.floats(0, 0.999))
def test_rates_are_never_negative_and_the_clean_token_is_never_left(seed: int, t: float) -> None:
    path = _path(seed=seed)
    at, clean = torch.cartesian_prod(torch.arange(12), torch.arange(12)).unbind(dim=1)

    rates = path.velocity(at, clean, torch.full((144,), t, dtype=torch.float64))

    assert (rates >= 0).all()
    assert (rates[at == clean] == 0).all()
    assert (rates.gather(1, at[:, None]) == 0).all()


@given(t=st.floats(0.01, 0.99), size=st.integers(2, 20))
def test_the_discrete_metric_is_the_uniform_mixture(t: float, size: int) -> None:
    path = MetricPath(None, size=size)
    time = torch.tensor([t], dtype=torch.float64)
    with_default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        probabilities = path.log_probs(torch.tensor([0]), time).exp()[0]
        rates = path.velocity(torch.tensor([1]), torch.tensor([0]), time)[0]
    finally:
        torch.set_default_dtype(with_default)
    decay = math.exp(-path.beta(time).item())
    left = size * decay / (1 + (size - 1) * decay)  # 1 - kappa
    expected = torch.full((size,), left / size, dtype=torch.float64)
    expected[0] += 1 - left
    torch.testing.assert_close(probabilities, expected)
    # Only jumps to the clean token are left, at the rate kappa' / (1 - kappa).
    step = 1e-6

    def log_left(at: float) -> float:
        beta = path.beta(torch.tensor(at, dtype=torch.float64)).item()
        return -beta - math.log1p((size - 1) * math.exp(-beta))

    rate = (log_left(t - step) - log_left(t + step)) / (2 * step)
    got = rates * path.beta_rate(time)
    assert got[0].item() == pytest.approx(rate, rel=1e-5)
    assert (got[1:] == 0).all()


@pytest.mark.parametrize("exponent", [2.0, 4.0])
def test_calibration_leaves_the_wanted_share_of_tokens_clean_half_way(exponent: float) -> None:
    path = _path(size=200, dim=8, exponent=exponent).calibrated(share=0.3)

    assert _at(path, 0.5).diagonal().mean().item() == pytest.approx(0.3, abs=1e-3)


def test_isolated_tokens_are_equally_far_from_all() -> None:
    rows = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rows[3:] = 0
    path = MetricPath(rows, exponent=4)

    far = path.distances(torch.arange(5))

    assert (far[3, [0, 1, 2, 4]] == 16).all()
    assert (far[:3, 3:] == 16).all()
    assert far.diagonal().abs().max() == 0
    left, right = torch.cartesian_prod(torch.arange(5), torch.arange(5)).unbind(dim=1)
    torch.testing.assert_close(path.between(left, right).view(5, 5), far)


def test_noise_stays_in_the_support() -> None:
    rows = torch.randn(9, 3, generator=torch.Generator().manual_seed(1))
    support = torch.arange(9) % 2 == 0
    path = MetricPath(rows, support=support)
    clean = torch.tensor([0, 2, 4, 6, 8]).repeat(200)
    uniform = torch.rand(1000, generator=torch.Generator().manual_seed(2))

    noised = path.sample(clean, torch.full((1000,), 0.05), uniform)

    assert set(noised.tolist()) == {0, 2, 4, 6, 8}
    rates = path.velocity(torch.tensor([1]), torch.tensor([4]), torch.tensor([0.3]))
    assert rates.isfinite().all()
    assert (rates[0, ~support] == 0).all()


def test_sampling_follows_the_law() -> None:
    path = _path()
    count = 40_000
    uniform = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    clean = torch.full((count,), 3)

    noised = path.sample(clean, torch.full((count,), 0.4, dtype=torch.float64), uniform)

    share = torch.bincount(noised, minlength=_SIZE).double() / count
    torch.testing.assert_close(share, _at(path, 0.4)[3], atol=1 / count, rtol=0)


@given(seed=st.integers(0, 999))
def test_inversion_finds_where_the_running_sum_passes(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(6, 7, generator=generator) * (torch.rand(6, 7, generator=generator) > 0.4)
    weights[:, 3] += 0.1
    uniform = torch.rand(6, generator=generator)
    uniform[0], uniform[1] = 0.0, 1 - 2**-24

    found = inverse(weights, uniform)

    assert (weights.gather(1, found[:, None]) > 0).all()
    sums = weights.double().cumsum(dim=1)
    goal = uniform.double() * sums[:, -1]
    for row, at in enumerate(found.tolist()):
        before = sums[row, at - 1].item() if at else 0.0
        assert before <= goal[row].item() + 1e-9
        assert goal[row].item() <= sums[row, at].item() + 1e-9


@pytest.mark.parametrize("t", [0.0, 1e-4, 0.999])
def test_single_precision_holds_at_the_ends_of_time(t: float) -> None:
    rows = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
    for exponent in (2.0, 4.0):
        path = MetricPath(rows, exponent=exponent)
        at, clean = torch.arange(256), torch.arange(256).flip(0)
        times = torch.full((256,), t)
        assert path.log_probs(clean, times).exp().isfinite().all()
        assert path.velocity(at, clean, times).isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 1}, "size of at least 2"),
        ({"size": 5, "c": 0.0}, "positive"),
        ({"size": 5, "a": 1.5}, r"\(0, 1\]"),
        ({"size": 5, "exponent": -1.0}, "positive"),
    ],
)
def test_what_makes_no_path_is_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MetricPath(None, **arguments)  # pyright: ignore[reportArgumentType]
