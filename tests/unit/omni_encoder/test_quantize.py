import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_encoder.quantize import MultiCodebook, perplexity


def _books(seed: int = 0, books: int = 3, codes: int = 10, width: int = 4) -> MultiCodebook:
    torch.manual_seed(seed)
    return MultiCodebook(books, codes, width)


@given(seed=st.integers(0, 99), books=st.integers(1, 4), positions=st.integers(1, 6))
@settings(max_examples=25)
def test_each_chunk_goes_to_the_nearest_vector_of_its_own_codebook(
    seed: int, books: int, positions: int
) -> None:
    made = _books(seed, books)
    latents = torch.randn(2, positions, books * 4)

    quantized = made(latents)

    rows = made.vectors().detach().numpy()
    for item in range(2):
        for position in range(positions):
            for book in range(books):
                chunk = latents[item, position, book * 4 : book * 4 + 4].numpy()
                cosines = rows[book] @ (chunk / np.linalg.norm(chunk))
                code = quantized.codes[item, position, book].item()
                assert cosines[code] >= cosines.max() - 1e-6


def test_codes_bring_their_vectors_back_exactly() -> None:
    made = _books().eval()
    quantized = made(torch.randn(4, 5, 12, generator=torch.Generator().manual_seed(0)))

    torch.testing.assert_close(made.lookup(quantized.codes), quantized.vectors)
    again = made(made.lookup(quantized.codes))
    assert torch.equal(again.codes, quantized.codes)
    assert again.loss.item() < 1e-10


def test_gradients_pass_straight_through_to_the_direction_of_latents() -> None:
    made = _books()
    latents = torch.randn(1, 1, 12, requires_grad=True)
    wanted = torch.randn(1, 1, 12, generator=torch.Generator().manual_seed(1))

    (made(latents).vectors * wanted).sum().backward()

    # The gradient of a unit vector has no part along it.
    chunks, gradient = latents.detach().view(3, 4), latents.grad
    assert gradient is not None
    assert (gradient.view(3, 4) * chunks).sum(dim=1).abs().max() < 1e-5
    assert gradient.abs().sum() > 0


def test_the_loss_is_what_the_paper_writes() -> None:
    made = _books(books=2)
    latents = torch.randn(3, 2, 8, generator=torch.Generator().manual_seed(2))
    quantized = made(latents)
    chunks = latents.view(3, 2, 2, 4)
    chunks = chunks / chunks.norm(dim=-1, keepdim=True)
    gap = (quantized.vectors.view(3, 2, 2, 4) - chunks).square().sum(dim=-1).mean()

    torch.testing.assert_close(quantized.loss, 1.25 * gap)


def test_dead_codes_come_back_to_life_where_the_data_is() -> None:
    made = _books(books=1, codes=50)
    with torch.no_grad():
        made.rows[0, 10:] = -made.rows[0, :1]  # forty codes at one place, which no latent is near
    generator = torch.Generator().manual_seed(0)
    made.train()
    for step in range(400):
        latents = torch.randn(8, 8, 4, generator=generator) + made.rows[0, 0].detach() * 2
        quantized = made(latents)
        if step % 50 == 49:
            made.revive(latents, generator)

    latents = torch.randn(200, 8, 4, generator=generator) + made.rows[0, 0].detach() * 2
    quantized = made.eval()(latents)
    assert perplexity(quantized.codes, size=50)[0] > 25


@given(size=st.integers(2, 30), used=st.integers(1, 30))
def test_perplexity_counts_codes_that_are_used_evenly(size: int, used: int) -> None:
    used = min(used, size)
    codes = torch.arange(used).repeat(7)[None, :, None]

    assert perplexity(codes, size=size)[0].item() == pytest.approx(used, rel=1e-5)
