"""What a slot brings into the backbone: its codes, those around it, and its place."""

import numpy as np
import pytest
import torch

from omni_encoder.code_input import CodeInput, grid_of, grid_places
from omni_encoder.types import Modality

_GRID = (8, 8)
_MIDDLE = 27  # row 3, column 3


def _input(grid: tuple[int, int]) -> CodeInput:
    torch.manual_seed(0)
    made = CodeInput(torch.randn(2, 16, 4), grid, 24)
    torch.nn.init.normal_(made.around)  # it starts at zero
    return made.eval()


def _seen(entering: CodeInput, slots: int = 64, *, causal: bool = False) -> list[int]:
    """Slots whose codes have a say in what the middle one brings."""
    codes = torch.zeros(1, slots, 2, dtype=torch.long)
    plain = entering(codes, causal=causal)[0, _MIDDLE]
    found: list[int] = []
    for slot in range(slots):
        other = codes.clone()
        other[0, slot] = 5
        if not torch.allclose(entering(other, causal=causal)[0, _MIDDLE], plain, atol=1e-5):
            found.append(slot)
    return found


def test_a_slot_of_a_picture_enters_with_those_around_it() -> None:
    rows, columns = range(1, 6), range(1, 6)

    assert _seen(_input(_GRID)) == [8 * row + column for row in rows for column in columns]


def test_a_slot_of_a_sound_enters_with_those_just_before_and_after() -> None:
    assert _seen(_input((1, 64))) == [25, 26, 27, 28, 29]


def test_drawing_in_order_sees_no_slot_that_is_still_to_come() -> None:
    assert _seen(_input((1, 64)), causal=True) == [25, 26, 27]
    assert max(_seen(_input(_GRID), causal=True)) == _MIDDLE


def test_slots_that_are_missing_at_the_end_are_as_nothing() -> None:
    entering = _input(_GRID)
    codes = torch.zeros(1, 40, 2, dtype=torch.long)

    assert entering(codes).shape == (1, 40, 24)
    assert _seen(entering, 40) == [s for s in _seen(_input(_GRID)) if s < 40]


def test_a_fresh_input_knows_near_places_from_far_ones() -> None:
    places = torch.nn.functional.normalize(grid_places(_GRID, 64), dim=1)
    alike = places @ places[_MIDDLE]

    beside, below, corner = alike[_MIDDLE + 1], alike[_MIDDLE + 8], alike[0]
    assert beside > corner
    assert below > corner
    assert (alike[torch.arange(64) != _MIDDLE] < 0.999).all()


@pytest.mark.parametrize(
    ("modality", "slots", "grid"),
    [
        (Modality.IMAGE, 64, (8, 8)),
        (Modality.AUDIO, 64, (1, 64)),
    ],
)
def test_pictures_lie_on_a_square_and_sounds_in_a_row(
    modality: Modality, slots: int, grid: tuple[int, int]
) -> None:
    assert grid_of(modality, slots) == grid


def test_a_picture_that_is_no_square_is_refused() -> None:
    with pytest.raises(ValueError, match="square"):
        grid_of(Modality.IMAGE, 12)


def test_what_enters_is_the_sum_of_own_codes_those_around_and_the_place() -> None:
    """By hand, with numpy, for the slot in the corner, which lacks most of its surroundings."""
    entering = _input(_GRID)
    codes = torch.randint(16, (1, 64, 2), generator=torch.Generator().manual_seed(3))
    books = entering.get_buffer("codebooks").double().numpy()
    around = entering.around.detach().double().numpy()
    project = entering.project.weight.detach().double().numpy()

    def vector(row: int, column: int) -> np.ndarray:
        first, second = codes[0, 8 * row + column].tolist()
        return np.concatenate([books[0, first], books[1, second]])

    expected = project @ vector(0, 0) + entering.project.bias.detach().double().numpy()
    expected = expected + entering.positions[0].detach().double().numpy()
    for row in range(3):
        for column in range(3):
            expected = expected + around[:, :, 2 + row, 2 + column] @ vector(row, column)

    np.testing.assert_allclose(entering(codes)[0, 0].detach(), expected, atol=1e-4)
