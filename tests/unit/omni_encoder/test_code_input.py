"""What a slot brings into the backbone: its codes, those around it, and its place."""

import pytest
import torch

from omni_encoder.flow_model import CodeInput, grid_of, grid_places
from omni_encoder.types import Modality

_GRID = (8, 8)
_MIDDLE = 27  # row 3, column 3


def _input(grid: tuple[int, int], *, causal: bool = False) -> CodeInput:
    torch.manual_seed(0)
    made = CodeInput(torch.randn(2, 16, 4), grid, 24, causal=causal)
    torch.nn.init.normal_(made.around)  # it starts at zero
    return made.eval()


def _seen(entering: CodeInput, slots: int = 64) -> list[int]:
    """Slots whose codes have a say in what the middle one brings."""
    codes = torch.zeros(1, slots, 2, dtype=torch.long)
    plain = entering(codes)[0, _MIDDLE]
    found: list[int] = []
    for slot in range(slots):
        other = codes.clone()
        other[0, slot] = 5
        if not torch.allclose(entering(other)[0, _MIDDLE], plain, atol=1e-5):
            found.append(slot)
    return found


def test_a_slot_of_a_picture_enters_with_those_around_it() -> None:
    rows, columns = range(1, 6), range(1, 6)

    assert _seen(_input(_GRID)) == [8 * row + column for row in rows for column in columns]


def test_a_slot_of_a_sound_enters_with_those_just_before_and_after() -> None:
    assert _seen(_input((1, 64))) == [25, 26, 27, 28, 29]


def test_drawing_in_order_sees_no_slot_that_is_still_to_come() -> None:
    assert _seen(_input((1, 64), causal=True)) == [25, 26, 27]
    assert max(_seen(_input(_GRID, causal=True))) == _MIDDLE


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
        (Modality.IMAGE, 12, (1, 12)),
        (Modality.AUDIO, 64, (1, 64)),
    ],
)
def test_pictures_lie_on_a_square_and_sounds_in_a_row(
    modality: Modality, slots: int, grid: tuple[int, int]
) -> None:
    assert grid_of(modality, slots) == grid
