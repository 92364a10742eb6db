import pytest
import torch

from omni_encoder.flow_neighbours import NeighbourNoise
from omni_encoder.flow_path import MetricPath


@pytest.mark.parametrize("near", [1, 3, 16, 40])
@pytest.mark.parametrize("t", [0.0, 0.2, 0.5, 0.9])
def test_draws_follow_the_law_however_few_neighbours_are_known(near: int, t: float) -> None:
    generator = torch.Generator().manual_seed(7)
    rows = torch.randn(40, 6, generator=generator)
    rows[5] = 0  # isolated
    support = torch.ones(40, dtype=torch.bool)
    support[[0, 9]] = False
    path = MetricPath(rows, support=support)
    noise = NeighbourNoise(path, count=near)
    count = 20_000

    for clean in (3, 5):
        drawn = noise.sample(torch.full((count,), clean), torch.full((count,), t), generator)

        law = path.log_probs(torch.tensor([clean]), torch.tensor([t])).exp()[0]
        share = torch.bincount(drawn, minlength=40) / count
        assert share[~support].sum() == 0
        # About the distance that chance alone leaves with so many draws.
        assert (share - law).abs().sum() / 2 < 0.03


def test_shapes_are_kept_and_times_beyond_the_last_are_cut() -> None:
    path = MetricPath(torch.randn(50, 4, generator=torch.Generator().manual_seed(0)))
    clean = torch.arange(50).view(5, 10)

    drawn = NeighbourNoise(path, count=8).sample(
        clean, torch.ones(5, 10), torch.Generator().manual_seed(0)
    )

    assert torch.equal(drawn, clean)
