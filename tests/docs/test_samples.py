"""The sample collection is small, varied, and its origin is written down."""

from collections import Counter
from pathlib import Path

from omni_encoder.media import guess_modality, is_sidecar

SAMPLES = Path(__file__).parents[2] / "samples"
FILES = sorted(path for path in (SAMPLES / "media").rglob("*") if path.is_file())
LEAST = {"image": 16, "audio": 10, "video": 6, "text": 12}


def kind(path: Path) -> str:
    """The modality of a sample; the one animation among the clips is a video."""
    if path.suffix == ".gif" and path.parent.name == "clips":
        return "video"
    return str(guess_modality(path))


def test_samples_cover_four_modalities_in_at_most_five_mebibytes() -> None:
    counts = Counter(kind(path) for path in FILES if not is_sidecar(path))

    assert all(counts[name] >= least for name, least in LEAST.items()), counts
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file()) <= 5 << 20


def test_the_origin_of_every_photo_drawing_sound_and_clip_is_named() -> None:
    told = (SAMPLES / "LICENSES.md").read_text(encoding="utf-8")
    unnamed = [
        path.name
        for path in FILES
        if path.parent.name != "notes" and path.name not in told and path.stem not in told
    ]

    assert not unnamed
