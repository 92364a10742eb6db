import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_encoder import MediaItem, Modality, Span

GOOD = {
    Modality.TEXT: "a red bus",
    Modality.IMAGE: np.zeros((2, 3, 3), dtype=np.uint8),
    Modality.AUDIO: np.zeros(5, dtype=np.float32),
    Modality.VIDEO: np.zeros((1, 2, 3, 3), dtype=np.uint8),
}


@settings(deadline=None)
@given(
    start=st.floats(allow_nan=True, allow_infinity=True),
    end=st.floats(allow_nan=True, allow_infinity=True),
)
def test_a_span_starts_at_zero_or_later_and_ends_after_its_start(start: float, end: float) -> None:
    if 0 <= start < end:
        assert Span(start, end).end > Span(start, end).start
    else:
        with pytest.raises(ValueError, match="0 <= start < end"):
            Span(start, end)


@pytest.mark.parametrize("modality", Modality)
def test_an_item_takes_what_its_modality_is_made_of(modality: Modality) -> None:
    item = MediaItem(modality, GOOD[modality])

    assert item.part == 0
    assert item.span is None


@pytest.mark.parametrize("modality", Modality)
@pytest.mark.parametrize("other", Modality)
def test_an_item_refuses_the_content_of_another_modality(
    modality: Modality, other: Modality
) -> None:
    if modality is not other:
        with pytest.raises(ValueError, match="needs a"):
            MediaItem(modality, GOOD[other])


@pytest.mark.parametrize(
    ("modality", "content"),
    [
        (Modality.TEXT, ""),
        (Modality.TEXT, " \n\t"),
        (Modality.IMAGE, np.zeros((0, 3, 3), dtype=np.uint8)),
        (Modality.IMAGE, np.zeros((2, 3, 3), dtype=np.float32)),
        (Modality.AUDIO, np.zeros(0, dtype=np.float32)),
        (Modality.AUDIO, np.zeros(5, dtype=np.float64)),
        (Modality.VIDEO, np.zeros((0, 2, 3, 3), dtype=np.uint8)),
    ],
)
def test_an_item_refuses_content_that_is_empty_or_of_another_number_type(
    modality: Modality, content: str | np.ndarray
) -> None:
    with pytest.raises(ValueError, match="needs a"):
        MediaItem(modality, content)


def test_a_modality_reads_as_its_name() -> None:
    assert [str(modality) for modality in Modality] == ["text", "image", "audio", "video"]
    assert Modality("audio") is Modality.AUDIO
