"""The sampler on small laws whose true answer is known."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from omni_encoder.flow_noise import KeyedNoise
from omni_encoder.flow_path import MetricPath
from omni_encoder.flow_sampler import (
    StepRule,
    draw,
    guided,
    jump,
    pure_noise,
    sample,
    schedule,
    step_law,
)

_SIZE = 32


def _toy() -> tuple[MetricPath, Tensor]:
    """A path of 32 codes and a law over them."""
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(_SIZE, 8, generator=generator, dtype=torch.float64)
    law = torch.rand(_SIZE, generator=generator, dtype=torch.float64).pow(3)
    return MetricPath(rows), law / law.sum()


def _posterior(path: MetricPath, law: Tensor, t: float) -> Tensor:
    """p(x1 | x_t) by Bayes: [x_t, x1]."""
    every = torch.arange(path.size)
    noise = path.log_probs(every, torch.full((path.size,), t, dtype=torch.float64)).exp()
    joint = (law[:, None] * noise).T
    return joint / joint.sum(dim=1, keepdim=True)


def _law_after(path: MetricPath, law: Tensor, steps: int, rule: StepRule) -> Tensor:
    """The law of the sampler's result in closed form, with the exact posterior as its model."""
    times = schedule(steps).tolist()
    now = torch.full((path.size,), 1 / path.size, dtype=torch.float64)
    at, clean = torch.cartesian_prod(torch.arange(path.size), torch.arange(path.size)).T
    for step in range(steps):
        posterior = _posterior(path, law, times[step])
        if step == steps - 1:
            return now @ posterior
        moved = step_law(path, at, clean, (times[step], times[step + 1]), rule=rule)
        kernel = (posterior[..., None] * moved.view(path.size, path.size, -1)).sum(dim=1)
        now = now @ kernel
    raise AssertionError


def _variation(left: Tensor, right: Tensor) -> float:
    return (left - right).abs().sum().item() / 2


def test_with_the_exact_posterior_32_steps_come_near_the_law() -> None:
    path, law = _toy()

    assert _variation(_law_after(path, law, 32, "euler"), law) < 0.03
    assert _variation(_law_after(path, law, 32, "midpoint"), law) < 0.005


@pytest.mark.parametrize("steps", [4, 8, 16])
def test_the_midpoint_step_is_several_times_nearer_than_the_published_one(steps: int) -> None:
    path, law = _toy()

    stock = _variation(_law_after(path, law, steps, "euler"), law)
    better = _variation(_law_after(path, law, steps, "midpoint"), law)

    assert better < stock / 3


@pytest.mark.parametrize("rule", ["euler", "midpoint"])
def test_samples_follow_the_closed_form(rule: StepRule) -> None:
    path, law = _toy()
    count = 20_000

    def predict(tokens: Tensor, t: float, uniform: Tensor) -> Tensor:
        return draw(_posterior(path, law, t).log()[tokens], uniform)

    start = pure_noise([path], (count, 1), KeyedNoise(1))
    drawn = sample([path], predict, start, schedule(6), KeyedNoise(2), rule=rule)

    share = torch.bincount(drawn.flatten(), minlength=_SIZE).double() / count
    expected = _law_after(path, law, 6, rule)
    assert _variation(share, expected) < 2 * math.sqrt(_SIZE / count) / math.pi


@pytest.mark.parametrize("rule", ["euler", "midpoint"])
def test_one_jump_follows_its_law(rule: StepRule) -> None:
    path, _ = _toy()
    count = 50_000
    at, clean = torch.full((count,), 4), torch.full((count,), 9)
    uniform = torch.rand(2, count, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    moved = jump(path, at, clean, (0.3, 0.5), uniform, rule=rule)

    expected = step_law(path, at[:1], clean[:1], (0.3, 0.5), rule=rule)[0]
    assert expected.sum().item() == pytest.approx(1)
    share = torch.bincount(moved, minlength=_SIZE).double() / count
    assert _variation(share, expected) < 2 * math.sqrt(_SIZE / count) / math.pi


def test_the_published_first_step_does_nothing() -> None:
    path, _ = _toy()
    at, clean = torch.arange(_SIZE), torch.zeros(_SIZE, dtype=torch.long)

    moved = jump(path, at, clean, (0.0, 0.5), torch.zeros(2, _SIZE), rule="euler")

    assert torch.equal(moved, at)


@settings(max_examples=25)
@given(seed=st.integers(0, 50), steps=st.integers(1, 5), held=st.integers(0, 6))
def test_condition_slots_never_change(seed: int, steps: int, held: int) -> None:
    path = MetricPath(None, size=7)
    start = pure_noise([path, path], (3, 6), KeyedNoise(seed))
    free = torch.arange(6)[None].expand(3, 6) >= held
    seen: list[Tensor] = []

    def predict(tokens: Tensor, t: float, uniform: Tensor) -> Tensor:
        seen.append(tokens)
        return (uniform * 7).long()

    out = sample([path, path], predict, start, schedule(steps), KeyedNoise(seed), free=free)

    for tokens in [*seen, out]:
        assert torch.equal(tokens[:, :held], start[:, :held])
    assert len(seen) == steps


@settings(max_examples=10)
@given(split=st.integers(1, 4), seed=st.integers(0, 30))
def test_a_row_comes_out_the_same_in_any_batch(split: int, seed: int) -> None:
    path, law = _toy()
    noise, keys = KeyedNoise(seed), torch.tensor([5, 2, 9, 2, 7])

    def predict(tokens: Tensor, t: float, uniform: Tensor) -> Tensor:
        return draw(_posterior(path, law, t).log()[tokens], uniform)

    def run(part: Tensor) -> Tensor:
        start = pure_noise([path], (len(part), 3), noise, keys=part)
        return sample([path], predict, start, schedule(4), noise, keys=part)

    together = run(keys)

    assert torch.equal(together, torch.cat([run(keys[:split]), run(keys[split:])]))
    assert torch.equal(together[1], together[3])


def test_a_net_in_half_precision_leaves_tokens_in_range() -> None:
    rows = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
    path = MetricPath(rows)
    net = torch.nn.Linear(8, 256).to(torch.bfloat16)
    table = rows.to(torch.bfloat16)

    def predict(tokens: Tensor, t: float, uniform: Tensor) -> Tensor:
        return draw(net(table[tokens]) * 40, uniform)

    start = pure_noise([path], (8, 16), KeyedNoise(0))
    times = torch.tensor([0, 1e-4, 0.5, 0.999, 1], dtype=torch.float64)
    out = sample([path], predict, start, times, KeyedNoise(1))

    assert ((out >= 0) & (out < 256)).all()


@given(steps=st.integers(1, 64), shift=st.floats(0.2, 8))
def test_schedules_rise_from_zero_to_one(steps: int, shift: float) -> None:
    times = schedule(steps, shift=shift)

    assert times[0].item() == pytest.approx(0, abs=1e-12)
    assert times[-1].item() == 1
    assert (times.diff() > 0).all()
    if shift >= 1:
        assert (times <= schedule(steps) + 1e-12).all()


def test_guidance_of_one_keeps_the_condition_and_of_zero_drops_it() -> None:
    generator = torch.Generator().manual_seed(0)
    given_, free = torch.randn(2, 3, 5, generator=generator)

    torch.testing.assert_close(guided(given_, free, 1.0).softmax(-1), given_.softmax(-1))
    torch.testing.assert_close(guided(given_, free, 0.0).softmax(-1), free.softmax(-1))
    expected = (3 * given_ - 2 * free).softmax(-1)
    torch.testing.assert_close(guided(given_ + 7, free, 3.0).softmax(-1), expected)


def test_drawing_follows_softmax_temperature_and_top() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0]).expand(10_000, 4)
    uniform = (torch.arange(10_000) + 0.5) / 10_000

    def shares(**options: float) -> Tensor:
        return torch.bincount(draw(logits, uniform, **options), minlength=4) / 10_000  # pyright: ignore[reportArgumentType]

    torch.testing.assert_close(shares(), logits[0].softmax(0), atol=2e-4, rtol=0)
    torch.testing.assert_close(
        shares(temperature=0.5), (2 * logits[0]).softmax(0), atol=2e-4, rtol=0
    )
    assert shares(temperature=0).tolist() == [0, 0, 1, 0]
    top = logits[0].clone()
    top[[0, 3]] = float("-inf")
    torch.testing.assert_close(shares(top=2), top.softmax(0), atol=2e-4, rtol=0)


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="steps must be at least 1"):
        schedule(0)
    with pytest.raises(ValueError, match="shift"):
        schedule(3, shift=0)
    with pytest.raises(ValueError, match="temperature"):
        draw(torch.zeros(1, 2), torch.zeros(1), temperature=-1)
