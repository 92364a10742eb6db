"""Likelihoods and ranking scores on small laws whose true answer is known."""

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from omni_encoder.flow_path import MetricPath
from omni_encoder.flow_score import (
    Measure,
    ScoreRule,
    blended,
    bound_integrand,
    candidate_information,
    cross_entropy,
    log_likelihood,
    query_likelihood,
)

_SIZE = 16


def _path(seed: int = 3) -> MetricPath:
    generator = torch.Generator().manual_seed(seed)
    return MetricPath(torch.randn(_SIZE, 6, generator=generator, dtype=torch.float64))


def _law(seed: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    law = torch.rand(_SIZE, generator=generator, dtype=torch.float64).pow(2) + 1e-3
    return law / law.sum()


class _Bayes:
    """The exact posterior of a law over single tokens; with `given`, of one law a row."""

    def __init__(self, path: MetricPath, laws: Tensor) -> None:
        self.path, self.laws = path, laws

    def __call__(self, noised: Tensor, _clean: Tensor, t: Tensor, rows: Tensor) -> list[Tensor]:
        every = torch.arange(self.path.size).expand(len(t), -1)
        times = t.double()[:, None].expand(every.shape)
        noise = self.path.log_probs(every, times)  # [rows, x1, x_t]
        laws = self.laws if self.laws.ndim == 1 else self.laws[rows][:, None]
        at = noised[..., 0][:, :, None].expand(-1, -1, self.path.size)
        likely = noise.transpose(1, 2).gather(1, at)  # [rows, slots, x1]
        return [likely + laws.log()]


def test_the_bound_of_the_discrete_metric_is_the_mixture_formula() -> None:
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        path = MetricPath(None, size=5)
        guess = torch.randn(5, 5, generator=torch.Generator().manual_seed(0)).log_softmax(dim=1)
        noised, clean = torch.tensor([0, 1, 2, 3, 3]), torch.tensor([2, 0, 2, 1, 3])
        t = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])

        got = bound_integrand(path, noised, clean, guess, t) * path.beta_rate(t)

        decay = torch.exp(-path.beta(t))
        ratio = path.beta_rate(t) / (1 + 4 * decay)  # kappa' / (1 - kappa)
        same = (noised == clean).double()
        stay = guess.exp().gather(1, noised[:, None])[:, 0]
        right = guess.gather(1, clean[:, None])[:, 0]
        torch.testing.assert_close(got, -ratio * (stay - same + (1 - same) * right))
    finally:
        torch.set_default_dtype(default)


@settings(max_examples=20)
@given(seed=st.integers(0, 99), t=st.floats(0.01, 0.98))
def test_the_integrand_is_never_negative_and_zero_for_a_sure_right_guess(
    seed: int, t: float
) -> None:
    path = _path(seed)
    generator = torch.Generator().manual_seed(seed)
    noised, clean = torch.randint(_SIZE, (2, 4), generator=generator)
    guess = torch.randn(4, _SIZE, generator=generator, dtype=torch.float64).log_softmax(dim=1)
    times = torch.full((4,), t, dtype=torch.float64)
    sure = torch.full((4, _SIZE), -1e9, dtype=torch.float64)
    sure[torch.arange(4), clean] = 0

    assert (bound_integrand(path, noised, clean, guess, times) >= -1e-12).all()
    torch.testing.assert_close(
        bound_integrand(path, noised, clean, sure, times), torch.zeros(4, dtype=torch.float64)
    )
    whole = bound_integrand(path, noised, clean, guess, times)
    torch.testing.assert_close(bound_integrand(path, noised, clean, guess, times, top=_SIZE), whole)


def test_the_bound_lies_below_the_log_likelihood_and_orders_tokens_alike() -> None:
    path, law = _path(), _law()
    repeats = 20
    clean = torch.arange(_SIZE).repeat_interleave(repeats)[:, None, None]

    estimate = log_likelihood(
        [path],
        _Bayes(path, law),
        clean,
        keys=torch.arange(len(clean)),
        rule=ScoreRule(draws=32, measure="bound", batch=64),
    ).view(_SIZE, repeats)

    mean = estimate.mean(dim=1)
    error = estimate.std(dim=1) / math.sqrt(repeats)
    assert (mean < law.log() + 3 * error).all()
    assert torch.corrcoef(torch.stack([mean, law.log()]))[0, 1] > 0.98
    assert (mean > law.log() - 3).all()


def _ranking(rule: ScoreRule) -> tuple[Tensor, Tensor]:
    """S1 and S2 of candidates that differ in the law they give the query."""
    path = _path()
    laws = torch.stack([_law(seed) for seed in range(6)])
    query = torch.tensor([[2], [5], [2]])
    first = query_likelihood([path], _Bayes(path, laws), query, candidates=6, key=11, rule=rule)
    tokens = torch.arange(6)[:, None, None]
    second = candidate_information(
        [path], _Bayes(path, _law(1)), _Bayes(path, _law(2)), tokens, key=11, rule=rule
    )
    return first, second


@pytest.mark.parametrize("measure", ["cross-entropy", "bound"])
def test_scores_do_not_depend_on_how_candidates_are_batched(measure: Measure) -> None:
    together = _ranking(ScoreRule(draws=2, measure=measure, batch=32))

    for batch in (1, 4, 5):
        apart = _ranking(ScoreRule(draws=2, measure=measure, batch=batch))
        torch.testing.assert_close(apart, together, atol=1e-12, rtol=1e-12)
    other = _ranking(ScoreRule(draws=2, measure=measure, seed=1))
    assert not torch.allclose(other[0], together[0])


def test_the_query_is_likeliest_beside_the_candidate_that_expects_it() -> None:
    path = _path()
    laws = torch.full((4, _SIZE), 1.0, dtype=torch.float64)
    laws[2, 7] = 50
    laws = laws / laws.sum(dim=1, keepdim=True)

    scores = query_likelihood([path], _Bayes(path, laws), torch.tensor([[7]]), candidates=4, key=0)

    assert scores.argmax().item() == 2
    assert scores[0].item() == pytest.approx(scores[1].item())


def test_information_is_nothing_where_the_query_says_nothing() -> None:
    path, tokens = _path(), torch.arange(5)[:, None, None]
    free = _Bayes(path, _law(1))

    scores = candidate_information([path], free, free, tokens, key=0)

    assert (scores == 0).all()


def test_only_target_slots_are_noised_and_count() -> None:
    path = _path()
    clean = torch.tensor([[[1], [2], [3]]])
    target = torch.tensor([[False, True, False]])

    def denoise(noised: Tensor, clean_: Tensor, t: Tensor, rows: Tensor) -> Sequence[Tensor]:
        assert noised[0, 0, 0] == 1
        assert noised[0, 2, 0] == 3
        logits = torch.zeros(1, 3, _SIZE, dtype=torch.float64)
        return [logits]

    score = log_likelihood([path], denoise, clean, keys=torch.tensor([0]), target=target)

    assert score.item() == pytest.approx(-math.log(_SIZE))


def test_the_training_loss_sums_books_and_averages_target_slots() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(2, 3, size, generator=generator) for size in (4, 7)]
    clean = torch.randint(4, (2, 3, 2), generator=generator)
    target = torch.tensor([[True, False, True], [False, False, True]])

    loss = cross_entropy(logits, clean, target)

    expected = 0.0
    for row, slot in [(0, 0), (0, 2), (1, 2)]:
        for m, book in enumerate(logits):
            expected -= book[row, slot].log_softmax(0)[clean[row, slot, m]].item() / 3
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert cross_entropy(logits, clean, torch.zeros(2, 3, dtype=torch.bool)).item() == 0


@given(weight=st.floats(0, 1))
def test_a_blend_does_not_depend_on_the_scale_of_its_parts(weight: float) -> None:
    first, second = torch.randn(2, 9, generator=torch.Generator().manual_seed(2))

    scores = blended(first, second, weight=weight)

    torch.testing.assert_close(
        blended(5 * first + 3, second / 7, weight=weight), scores, atol=1e-5, rtol=1e-5
    )
    assert (blended(first, torch.ones(9), weight=1.0) == 0).all()
    assert torch.equal(blended(first, second, weight=0.0).argsort(), first.argsort())


def test_rules_and_weights_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="draws"):
        ScoreRule(draws=0)
    with pytest.raises(ValueError, match="weight"):
        blended(torch.zeros(2), torch.zeros(2), weight=2)
    different = [MetricPath(None, size=4, a=0.5), MetricPath(None, size=4)]
    with pytest.raises(ValueError, match="share the shape"):
        log_likelihood(
            different,
            lambda *_: [torch.zeros(1, 1, 4), torch.zeros(1, 1, 4)],
            torch.zeros(1, 1, 2, dtype=torch.long),
            keys=torch.tensor([0]),
            rule=ScoreRule(measure="bound"),
        )
