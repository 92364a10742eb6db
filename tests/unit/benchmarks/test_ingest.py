import json
from pathlib import Path

import pytest
from omnidex_benchmarks.ingest import IngestBenchmark, run

from omni_encoder import Modality, OmniError
from omni_encoder.synthetic import write_photos
from tests.toy import ToyEncoder


def test_every_image_is_encoded_twice_and_none_when_nothing_has_changed() -> None:
    encoder, seen = ToyEncoder(), list[tuple[int, int]]()
    options = IngestBenchmark(
        images=7, turns=2, repeats=2, progress=lambda done, total: seen.append((done, total))
    )

    result = json.loads(json.dumps(run(encoder, options)))

    # Alone and end to end, and the first slice of 4 once more to warm up.
    assert encoder.encoded == 2 * (7 + 4)
    assert result["items"] == 7
    assert result["made"] is True
    rates = result["items_per_s"]
    assert result["ratio"] == pytest.approx(rates["end_to_end"] / rates["encoder_only"])
    slower = min(rates["decode_only"], rates["encoder_only"])
    assert result["bound_ratio"] == pytest.approx(rates["end_to_end"] / slower)
    second = result["second_run"]
    assert second["speed_up"] == pytest.approx(second["first_s"] / second["seconds"]["median"])
    assert second["command_seconds"]["min"] > second["seconds"]["min"]
    assert result["machine"]["versions"]["lancedb"]
    assert seen == [(1, 2), (2, 2)]


def test_other_kinds_of_media_are_made_and_measured_too() -> None:
    encoder = ToyEncoder()
    others = {Modality.TEXT: 10, Modality.AUDIO: 1, Modality.VIDEO: 1}

    result = run(encoder, IngestBenchmark(images=1, others=others, turns=1, repeats=1))

    kinds = json.loads(json.dumps(result))["kinds"]
    assert {kind: found["files"] for kind, found in kinds.items()} == {"image": 1, **others}
    assert kinds["audio"]["items"] == 11
    assert kinds["video"]["items"] == 2
    assert kinds["text"]["items"] > 10
    assert encoder.encoded == 4 * sum(found["items"] for found in kinds.values())


def test_a_folder_of_images_is_read_and_left_as_it_was(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 3, size=(64, 48))
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    result = run(ToyEncoder(), IngestBenchmark(images=2, turns=1, repeats=1, folder=tmp_path))

    assert (result["items"], result["made"]) == (2, False)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_folder_with_too_few_or_equal_images_is_explained(tmp_path: Path) -> None:
    (one,) = write_photos(tmp_path, 1, size=(64, 48))
    with pytest.raises(OmniError, match="holds 1 images, 2 are wanted"):
        run(ToyEncoder(), IngestBenchmark(images=2, turns=1, repeats=1, folder=tmp_path))

    (tmp_path / "copy.jpg").write_bytes(one.read_bytes())

    with pytest.raises(OmniError, match="1 of 2 items were indexed") as caught:
        run(ToyEncoder(), IngestBenchmark(images=2, turns=1, repeats=1, folder=tmp_path))
    assert "different" in caught.value.hint


def test_counts_must_make_sense() -> None:
    with pytest.raises(ValueError, match="images must be at least 1"):
        IngestBenchmark(images=0)
    with pytest.raises(ValueError, match="turns must be at most images"):
        IngestBenchmark(images=2, turns=3)
    with pytest.raises(ValueError, match="turns must be at most text files"):
        IngestBenchmark(others={Modality.TEXT: 2}, turns=3)
