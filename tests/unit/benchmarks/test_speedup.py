import json

import pytest
from omnidex_benchmarks.speedup import SpeedupBenchmark, agreement, run

from omni_encoder import MediaItem, Modality
from tests.toy import ToyEncoder


def test_both_encoders_are_timed_and_their_vectors_compared() -> None:
    result = json.loads(json.dumps(run(SpeedupBenchmark(batch=2, turns=1))))

    assert set(result["kinds"]) >= {"image", "text", "text_unpadded", "audio"}
    for kind in ("image", "text", "audio"):
        assert result["kinds"][kind]["ratio"]["min"] > 0
        assert result["kinds"][kind]["cosine"] > 0.997


def test_agreement_counts_whole_sets_and_shares() -> None:
    words = [MediaItem(Modality.TEXT, f"word{number} and word{number % 3}") for number in range(30)]
    same = json.loads(json.dumps(agreement(ToyEncoder(), ToyEncoder(), {Modality.TEXT: words})))
    assert (same["same_top_10"], same["overlap_top_10"], same["queries"]) == (1.0, 1.0, 30)
    strangers = agreement(ToyEncoder(), ToyEncoder(seed=1), {Modality.TEXT: words})
    other = json.loads(json.dumps(strangers))
    assert 0 < other["overlap_top_10"] < 1
    assert same["cosine"]["text"] == pytest.approx(1, abs=1e-5)


def test_counts_must_make_sense() -> None:
    with pytest.raises(ValueError, match="turns must be at least 1"):
        SpeedupBenchmark(turns=0)
