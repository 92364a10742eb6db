import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from omni_encoder.losses import info_nce, match_similarities, mean_cosine_distance


def _unit(rows: int, *, seed: int, dim: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(rows, dim, generator=generator), dim=-1)


def test_one_positive_a_row_is_symmetric_cross_entropy() -> None:
    left, right, scale = _unit(6, seed=1), _unit(6, seed=2), torch.tensor(7.0)

    loss = info_nce(left, right, torch.eye(6, dtype=torch.bool), scale)

    logits, target = scale * left @ right.T, torch.arange(6)
    expected = (
        functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
    ) / 2
    torch.testing.assert_close(loss, expected)


def test_several_positives_share_a_row_and_rows_without_one_are_only_negatives() -> None:
    left, right, scale = _unit(3, seed=3), _unit(4, seed=4), torch.tensor(5.0)
    positive = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], dtype=torch.bool)

    loss = info_nce(left, right, positive, scale)

    cosines = (scale * left @ right.T).tolist()

    def surprise(row: list[float], at: int) -> float:
        return math.log(sum(math.exp(value) for value in row)) - row[at]

    rows = (surprise(cosines[0], 0) + surprise(cosines[0], 1)) / 2 + surprise(cosines[1], 2)
    columns = [[row[j] for row in cosines] for j in range(4)]
    across = surprise(columns[0], 0) + surprise(columns[1], 0) + surprise(columns[2], 1)
    assert loss.item() == pytest.approx((rows / 2 + across / 3) / 2, rel=1e-5)


def test_the_order_of_pairs_does_not_matter() -> None:
    left, right, scale = _unit(7, seed=5), _unit(5, seed=6), torch.tensor(10.0)
    generator = torch.Generator().manual_seed(7)
    positive = torch.rand(7, 5, generator=generator) < 0.3
    rows, columns = torch.randperm(7, generator=generator), torch.randperm(5, generator=generator)

    shuffled = info_nce(left[rows], right[columns], positive[rows][:, columns], scale)

    torch.testing.assert_close(shuffled, info_nce(left, right, positive, scale))


def test_equal_similarities_cost_nothing_and_others_cost_their_divergence() -> None:
    student, teacher, anchors = _unit(4, seed=8), _unit(4, seed=9), _unit(10, seed=10)

    same = match_similarities(teacher, teacher, anchors, scale=20.0)
    loss = match_similarities(student, teacher, anchors, scale=20.0)

    assert same.item() == pytest.approx(0, abs=1e-6)
    target = (20 * teacher @ anchors.T).softmax(dim=1)
    guess = (20 * student @ anchors.T).softmax(dim=1)
    expected = (target * (target / guess).log()).sum(dim=1).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    assert loss > 0


def test_cosine_distance_runs_from_zero_to_two() -> None:
    vectors = _unit(5, seed=11)

    assert mean_cosine_distance(vectors, vectors).item() == pytest.approx(0, abs=1e-6)
    assert mean_cosine_distance(vectors, -vectors).item() == pytest.approx(2, abs=1e-6)
