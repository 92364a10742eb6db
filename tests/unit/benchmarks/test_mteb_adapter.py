"""The adapter under mteb itself, on the mock tasks that it ships."""

import importlib.util
import sys
import warnings
import wave
from importlib.machinery import ModuleSpec
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from omnidex_benchmarks import mteb_adapter

from omni_encoder import Modality, OmniError
from retrieval.embed import embed_file
from tests import miniatures
from tests.toy import ToyEncoder

needs_mteb = pytest.mark.skipif(
    importlib.util.find_spec("mteb") is None, reason="mteb is not installed: pip install .[bench]"
)


def test_without_mteb_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mteb_adapter, "find_spec", lambda _: None)

    with pytest.raises(OmniError, match="mteb isn't installed") as caught:
        mteb_adapter.MtebEncoder(ToyEncoder())

    assert "omnidex[bench]" in caught.value.hint


class WavWriter:
    """Writes the sounds of mteb's mock tasks as torchcodec's encoder would, which wants CUDA."""

    def __init__(self, samples: object, *, sample_rate: int) -> None:
        self.samples, self.rate = np.atleast_2d(np.asarray(samples)), sample_rate

    def to_file_like(self, target: BytesIO, *, num_channels: int | None, **more: str) -> None:
        assert more == {"format": "wav"}
        with wave.open(target, "wb") as file:
            file.setnchannels(num_channels or len(self.samples))
            file.setsampwidth(2)
            file.setframerate(self.rate)
            file.writeframes((self.samples.T.clip(-1, 1) * 32_767).astype("<i2").tobytes())


@pytest.fixture
def sounds_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")  # looks for torchcodec when it is imported
    if importlib.util.find_spec("torchcodec") is None:
        package, encoders = ModuleType("torchcodec"), ModuleType("torchcodec.encoders")
        encoders.AudioEncoder = WavWriter
        package.__spec__ = ModuleSpec("torchcodec", None)
        monkeypatch.setitem(sys.modules, "torchcodec", package)
        monkeypatch.setitem(sys.modules, "torchcodec.encoders", encoders)


@needs_mteb
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("sounds_can_be_made")
def test_every_mock_task_of_the_four_modalities_passes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        statuses = mteb_adapter.mock_run(ToyEncoder())

    failed = {name: status for name, status in statuses.items() if status.startswith("failed")}
    assert failed == {}
    passed = [name for name, status in statuses.items() if status == "passed"]
    kinds = ["Image", "Audio", "Video", "Retrieval", "T2A", "Zero", "STS"]
    for kind in kinds:
        assert any(kind in name for name in passed), kind
    assert not [name for name, status in statuses.items() if "torchcodec" in status]
    assert len(passed) > 55


@needs_mteb
@pytest.mark.filterwarnings("ignore")
def test_sounds_and_videos_get_the_vectors_that_their_files_get(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    encoder, paths = ToyEncoder(), [tmp_path / "a.wav", tmp_path / "b.mp4"]
    miniatures.write_sound(paths[0], 3)
    miniatures.write_video(paths[1], 5)
    rows = datasets.Dataset.from_dict(
        {
            kind: [{"bytes": path.read_bytes(), "path": path.name}]
            for kind, path in zip(("audio", "video"), paths, strict=True)
        }
    )
    rows = rows.cast_column("audio", datasets.Audio(decode=False))
    rows = rows.cast_column("video", datasets.Video(decode=False))

    class Loader:
        dataset = rows

    both = mteb_adapter.MtebEncoder(encoder).encode(Loader())

    summed = sum(embed_file(path, encoder).vector for path in paths)
    np.testing.assert_allclose(both[0], summed / np.linalg.norm(summed), atol=1e-6)


@needs_mteb
@pytest.mark.filterwarnings("ignore")
def test_rows_get_the_vectors_that_the_encoder_gives_and_mixed_rows_their_sum() -> None:
    datasets = pytest.importorskip("datasets")
    image = pytest.importorskip("PIL.Image")
    encoder = ToyEncoder()
    pictures = [image.new("RGBA", (20, 30), (250 - 40 * i, 10 * i, 9, 255)) for i in range(3)]
    rows = datasets.Dataset.from_dict(
        {"text": ["a dog", "", "a cat"], "image": pictures},
        features=datasets.Features({"text": datasets.Value("string"), "image": datasets.Image()}),
    )

    class Loader:
        dataset = rows

    both = mteb_adapter.MtebEncoder(encoder).encode(Loader())
    Loader.dataset = rows.remove_columns("image")
    texts = mteb_adapter.MtebEncoder(encoder).encode(Loader())
    Loader.dataset = rows.remove_columns("text")
    images = mteb_adapter.MtebEncoder(encoder).encode(Loader())

    summed = texts + images
    np.testing.assert_allclose(
        both, summed / np.linalg.norm(summed, axis=1, keepdims=True), atol=1e-6
    )
    model = mteb_adapter.MtebEncoder(encoder)
    np.testing.assert_allclose(model.similarity(texts, images), texts @ images.T, atol=1e-6)
    np.testing.assert_allclose(
        model.similarity_pairwise(texts, images), np.sum(texts * images, axis=1), atol=1e-6
    )
    assert set(model.mteb_model_meta.modalities) == set(Modality)
