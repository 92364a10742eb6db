import json
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from omnidex_benchmarks.datasets.own import MANIFEST
from omnidex_benchmarks.protocol import Request
from PIL import Image

from omni_encoder import EncoderSpec, MediaItem, MediaLayout, Modality, OmniError
from tests.toy import ToyEncoder


def run(manifest: Path, *, encoder: object, **more: object) -> dict[str, object]:
    return dict(MANIFEST.measure(Request(encoder=lambda: encoder, data=manifest, **more)).figures)


COLOURS = ("red", "green", "blue")
HERTZ = (400, 1200, 3600)


class Oracle:
    """Knows the colours of images, the words for them and the pitches that are paired with them."""

    means = None

    def __init__(self, modalities: tuple[Modality, ...] = tuple(Modality)) -> None:
        self.spec = EncoderSpec("oracle", "0" * 32, 3, modalities, MediaLayout(image_pixels=16))

    def encode(self, items: Sequence[MediaItem]) -> np.ndarray:
        rows = [np.eye(3, dtype=np.float32)[self._colour(item)] for item in items]
        return np.stack(rows) if rows else np.zeros((0, 3), np.float32)

    def _colour(self, item: MediaItem) -> int:
        content = item.content
        if isinstance(content, str):
            return next(i for i, name in enumerate(COLOURS) if name in content)
        if item.modality is Modality.AUDIO:
            pitch = np.abs(np.fft.rfft(content)).argmax() * 16_000 / len(content)
            return int(np.abs(np.array(HERTZ) - pitch).argmin())
        return int(content.reshape(-1, 3).sum(axis=0).argmax())


def write_image(path: Path, colour: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 60, size=(20, 24, 3), dtype=np.uint8)
    pixels[..., colour] += 150
    Image.fromarray(pixels).save(path)


def write_sound(path: Path, colour: int, seed: int) -> None:
    times = np.arange(16_000) / 16_000
    noise = np.random.default_rng(seed).standard_normal(len(times)) * 0.05
    samples = np.sin(2 * np.pi * HERTZ[colour] * times) * 0.5 + noise
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((samples.clip(-1, 1) * 32_000).astype("<i2").tobytes())


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos of each colour, the last a drawing, and two sounds of each."""
    folder = tmp_path_factory.mktemp("pack")
    rows = []
    for colour, name in enumerate(COLOURS):
        for i in range(3):
            file = f"{name}{i}.png"
            write_image(folder / file, colour, seed=10 * colour + i)
            rows.append(
                {
                    "id": file,
                    "modality": "image",
                    "file": file,
                    "captions": [f"something {name}"],
                    "source": "drawings" if i == 2 else "photos",
                    "caption_kind": "human-title" if i == 2 else "human-sentence",
                    "label": name,
                    "pair_id": name if i == 0 else None,
                }
            )
        for i in range(2):
            file = f"{name}{i}.wav"
            write_sound(folder / file, colour, seed=10 * colour + i)
            rows.append(
                {
                    "id": file,
                    "modality": "audio",
                    "file": file,
                    "captions": [f"the sound of {name}"],
                    "source": "synthesiser",
                    "label": name,
                    "pair_id": name,
                }
            )
    rows.append({"id": "plain", "modality": "image", "file": "plain.png", "low_content": True})
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_an_encoder_that_knows_everything_scores_one_everywhere(manifest: Path) -> None:
    result = run(manifest, encoder=Oracle())

    counts = {
        name: (figures["queries"], figures["candidates"])
        for name, figures in result["directions"].items()
    }
    assert counts == {
        "text->image": (3, 9),
        "image->text": (9, 3),
        "text->audio": (3, 6),
        "audio->text": (6, 3),
        "image->image": (9, 8),
        "audio->audio": (6, 5),
        "image->audio": (3, 6),
        "audio->image": (6, 9),
    }
    # Only one photo of a colour has the pair id, and two more tie with it: worst case, third.
    paired = result["directions"].pop("audio->image")
    assert (paired["success@1"], paired["success@5"], paired["median_rank"]) == (0.0, 1.0, 3.0)
    for name, figures in result["directions"].items():
        assert figures["success@1"] == figures["map"] == figures["mrr"] == 1.0, name
    assert result["directions"]["text->image"]["chance_success@1"] == pytest.approx(1 / 3)
    assert result["directions"]["image->image"]["chance_success@1"] == pytest.approx(2 / 8)


def test_the_result_is_json_and_says_how_many_there_are_and_the_protocol(manifest: Path) -> None:
    result = json.loads(json.dumps(run(manifest, encoder=ToyEncoder())))

    assert result["n"] == {"images": 9, "audios": 6}
    assert result["failed"] == []
    assert result["protocol"]["ties"] == "worst"
    assert result["protocol"]["centred"] is False


def test_captions_are_broken_down_by_the_source_and_kind_of_items_that_carry_them(
    manifest: Path,
) -> None:
    figures = run(manifest, encoder=Oracle())["directions"]["text->image"]

    for name, keys in (
        ("by_source", ["drawings", "photos"]),
        ("by_caption_kind", ["human-sentence", "human-title"]),
    ):
        assert list(figures[name]) == keys
        assert all(part["queries"] == 3 for part in figures[name].values())
        assert all(part["candidates"] == 9 for part in figures[name].values())


def test_a_split_is_evaluated_alone(manifest: Path, tmp_path: Path) -> None:
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"validation": ["red0.png", "red1.png", "blue0.png"]}))

    result = run(manifest, encoder=Oracle(), split=split)

    assert result["n"] == {"images": 3}
    assert list(result["directions"]) == ["text->image", "image->text", "image->image"]
    assert result["directions"]["image->image"]["queries"] == 2


def test_directions_that_the_encoder_cannot_answer_are_named_not_failed(manifest: Path) -> None:
    result = run(manifest, encoder=Oracle((Modality.TEXT, Modality.IMAGE)))

    assert list(result["directions"]) == ["text->image", "image->text", "image->image"]
    assert result["left_out"]["image->audio"] == "the encoder doesn't know audio"
    assert list(run(manifest, encoder=Oracle((Modality.IMAGE,)))["directions"]) == ["image->image"]


def test_a_file_that_cannot_be_decoded_is_reported_and_left_out(
    manifest: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n not really")
    row = {"id": "bad", "modality": "image", "file": "bad.png", "captions": ["something red"]}
    good = [
        {**json.loads(line), "file": str(manifest.parent / json.loads(line)["file"])}
        for line in manifest.read_text().splitlines()
    ]
    mixed = tmp_path / "manifest.jsonl"
    mixed.write_text("".join(json.dumps(entry) + "\n" for entry in [row, *good]))

    result = run(mixed, encoder=Oracle())

    assert [Path(failure["file"]).name for failure in result["failed"]] == ["bad.png"]
    assert all(failure["reason"] for failure in result["failed"])
    for name, figures in run(manifest, encoder=Oracle())["directions"].items():
        known = {key: value for key, value in figures.items() if not isinstance(value, dict | list)}
        assert {key: result["directions"][name][key] for key in known} == known


@pytest.mark.parametrize(
    ("modality", "name", "held"),
    [("image", "note.txt", "text"), ("image", "red.wav", "audio"), ("audio", "red.png", "image")],
)
def test_an_item_whose_file_holds_another_kind_is_one_error_that_names_it(
    tmp_path: Path, modality: str, name: str, held: str
) -> None:
    (tmp_path / "note.txt").write_text("something red")
    write_sound(tmp_path / "red.wav", 0, seed=0)
    for file in ("red.png", "good.png"):
        write_image(tmp_path / file, 0, seed=0)
    rows = [
        {"id": "fine", "modality": "image", "file": "good.png", "captions": ["red"]},
        {"id": "odd", "modality": modality, "file": name, "captions": ["red"]},
    ]
    path = tmp_path / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    with pytest.raises(OmniError, match=f"1 of 2 items .* odd: .*{name} holds {held}, not"):
        run(path, encoder=Oracle())


@pytest.mark.parametrize("modality", ["image", "video"])
def test_an_animation_may_be_called_an_image_or_a_video(tmp_path: Path, modality: str) -> None:
    frames = [Image.new("RGB", (24, 24), (colour, 0, 0)) for colour in (100, 250)]
    frames[0].save(tmp_path / "red.gif", save_all=True, append_images=frames[1:], duration=200)
    row = {"id": "red", "modality": modality, "file": "red.gif", "captions": ["red"]}
    path = tmp_path / "manifest.jsonl"
    path.write_text(json.dumps(row) + "\n")

    result = run(path, encoder=Oracle())

    assert result["directions"][f"text->{modality}"]["success@1"] == 1.0


def test_a_second_run_takes_every_vector_from_the_cache(manifest: Path, tmp_path: Path) -> None:
    first, second, other = ToyEncoder(), ToyEncoder(), ToyEncoder(seed=1)

    plain = run(manifest, encoder=ToyEncoder())
    once = run(manifest, encoder=first, cache=tmp_path)
    again = run(manifest, encoder=second, cache=tmp_path)
    run(manifest, encoder=other, cache=tmp_path)

    assert plain == once == again
    assert (first.encoded, second.encoded, other.encoded) == (15 + 6, 0, 15 + 6)


def test_a_damaged_cache_is_an_error_that_says_what_to_do(manifest: Path, tmp_path: Path) -> None:
    run(manifest, encoder=ToyEncoder(), cache=tmp_path)
    next(tmp_path.iterdir()).write_bytes(b"no archive")

    with pytest.raises(OmniError, match="damaged") as caught:
        run(manifest, encoder=ToyEncoder(), cache=tmp_path)

    assert "delete it" in caught.value.hint


def test_centring_is_reported_and_does_not_change_who_is_asked(manifest: Path) -> None:
    seen: list[tuple[str, int, int]] = []

    result = run(
        manifest, encoder=ToyEncoder(), centre=True, progress=lambda *step: seen.append(step)
    )
    raw = run(manifest, encoder=ToyEncoder())

    assert result["protocol"]["centred"] is True
    for name, figures in raw["directions"].items():
        assert result["directions"][name]["queries"] == figures["queries"]
    assert ("Encoding image", 9, 9) in seen
    assert ("Encoding audio", 6, 6) in seen
