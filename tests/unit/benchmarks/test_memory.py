import pytest
from omnidex_benchmarks.memory import run
from omnidex_benchmarks.stand_in import StandIn

from omni_encoder import MediaItem, Modality


def test_the_peak_of_a_process_is_measured_for_each_number() -> None:
    result = run([2, 4])

    peaks = result["peak_mb"]
    assert isinstance(peaks, dict)
    assert list(peaks) == ["2", "4"]
    assert all(peak > 20 for peak in peaks.values())
    assert result["ratio"] == peaks["4"] / peaks["2"]


def test_there_must_be_a_number() -> None:
    with pytest.raises(ValueError, match="at least one number"):
        run([])


def test_a_stand_in_takes_its_time_and_tells_media_apart() -> None:
    items = [MediaItem(Modality.TEXT, text) for text in ("one", "two")]
    vectors = StandIn(1000).encode(items)
    assert (vectors[0] == StandIn().encode(items)[0]).all()
    assert (vectors[0] != vectors[1]).any()
    assert abs((vectors**2).sum(axis=1) - 1).max() < 1e-5
