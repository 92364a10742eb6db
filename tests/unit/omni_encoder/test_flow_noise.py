import torch
from hypothesis import given
from hypothesis import strategies as st

from omni_encoder.flow_noise import KeyedNoise


@given(seed=st.integers(0, 2**40), keys=st.lists(st.integers(-(2**62), 2**62), min_size=1))
def test_a_row_depends_on_its_key_alone(seed: int, keys: list[int]) -> None:
    noise, every = KeyedNoise(seed), torch.tensor(keys)

    together = noise.uniform(every, (3, 1), (5, 2))

    for row, key in zip(together, keys, strict=True):
        alone = noise.uniform(torch.tensor([key]), (3, 1), (5, 2))[0]
        assert torch.equal(row, alone)
        assert torch.equal(noise.uniform(torch.tensor([key]), (3, 1), (2, 2))[0], alone[:2])
    assert ((together >= 0) & (together < 1)).all()


def test_numbers_are_spread_evenly_and_streams_are_apart() -> None:
    noise = KeyedNoise(1)
    numbers = noise.uniform(torch.arange(100), (0,), (50, 4))
    others = [
        noise.uniform(torch.arange(100), (1,), (50, 4)),
        noise.uniform(torch.arange(100, 200), (0,), (50, 4)),
        KeyedNoise(2).uniform(torch.arange(100), (0,), (50, 4)),
    ]

    assert len(numbers.unique()) == numbers.numel()
    expected = numbers.numel() / 20
    counts = torch.histc(numbers.float(), 20, 0, 1)
    chi_square = ((counts - expected).square() / expected).sum()
    assert chi_square < 43.8  # the 99.9% point for 19 degrees of freedom
    for other in others:
        pair = torch.stack([numbers.flatten(), other.flatten()])
        assert torch.corrcoef(pair)[0, 1].abs() < 0.03
    neighbours = torch.stack([numbers[:, 1:].flatten(), numbers[:, :-1].flatten()])
    assert torch.corrcoef(neighbours)[0, 1].abs() < 0.03
