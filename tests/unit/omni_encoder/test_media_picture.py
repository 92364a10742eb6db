"""Small pictures of single parts of files."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from omni_encoder import MediaError, Modality, Span
from omni_encoder.media_picture import WIDTH, indexed, outline, picture_of, pixels_of
from omni_encoder.types import SAMPLE_RATE_HZ
from tests.media_files import grey_of_frame, tone, write_animation, write_audio, write_video


def colour(picture: bytes) -> tuple[int, ...]:
    return tuple(int(value) for value in pixels_of(picture, width=9, height=9, fill=True)[4, 4])


def test_an_image_is_scaled_into_the_box(tmp_path: Path) -> None:
    Image.new("RGB", (1200, 300), (250, 10, 10)).save(tmp_path / "wide.png")

    picture = picture_of(tmp_path / "wide.png", Modality.IMAGE)

    with Image.open(io.BytesIO(picture)) as image:
        assert (image.format, image.size) == ("WEBP", (WIDTH, 64))
    np.testing.assert_allclose(colour(picture), (250, 10, 10), atol=6)


@pytest.mark.parametrize(
    "samples", [np.zeros(0), np.zeros(5), np.ones(1), np.linspace(-1, 1, 100_000)]
)
def test_any_sound_has_an_outline(samples: np.ndarray) -> None:
    assert outline(samples.astype(np.float32)).shape == (64, WIDTH, 3)


def test_an_outline_shows_when_it_is_loud_and_whether_it_is_low() -> None:
    time = np.arange(2 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    low, high = np.sin(2 * np.pi * 150 * time), 0.2 * np.sin(2 * np.pi * 5000 * time)
    drawn = outline(np.concatenate([low, high]).astype(np.float32)).astype(int)

    heights = (drawn != drawn[0, -1]).any(axis=2).sum(axis=0)
    assert heights[40] > 4 * heights[200]
    assert drawn[32, 40, 2] > drawn[32, 40, 0]  # blue
    assert drawn[32, 200, 0] > drawn[32, 200, 2]  # yellow


@given(
    width=st.integers(1, 60),
    height=st.integers(1, 60),
    box=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_pixels_fit_the_box(width: int, height: int, box: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "WEBP")

    high, wide, _ = pixels_of(buffer.getvalue(), width=box[0], height=box[1]).shape

    assert 1 <= wide <= box[0]
    assert 1 <= high <= box[1]
    assert wide == box[0] or high == box[1]


def test_few_colours_are_kept_exactly() -> None:
    pixels = np.zeros((6, 6, 3), np.uint8)
    pixels[:3] = (200, 40, 40)

    reduced = indexed(pixels, colours=8)

    np.testing.assert_allclose(reduced.colours[reduced.indices].astype(int), pixels, atol=1)


def test_what_has_no_picture_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ValueError, match="text has no picture"):
        picture_of(tmp_path / "broken.png", Modality.TEXT)
    for modality in (Modality.IMAGE, Modality.VIDEO, Modality.AUDIO):
        with pytest.raises(MediaError):
            picture_of(tmp_path / "broken.png", modality)
    with pytest.raises(ValueError, match="are no picture"):
        pixels_of(b"nonsense", width=5, height=5)


@pytest.mark.parametrize(("span", "frame"), [(Span(0, 2), 10), (Span(6, 8), 70)])
def test_a_video_shows_the_middle_of_the_part(tmp_path: Path, span: Span, frame: int) -> None:
    path = write_video(tmp_path / "a.mp4", 100)  # with a keyframe each second

    shown = colour(picture_of(path, Modality.VIDEO, span=span))[0]

    assert shown == pytest.approx(grey_of_frame(frame), abs=6)


def test_an_animation_shows_a_frame_of_the_part(tmp_path: Path) -> None:
    path = write_animation(tmp_path / "a.gif", [10, 60, 130, 220], duration_ms=1000)

    first = colour(picture_of(path, Modality.VIDEO, span=Span(0, 2)))[0]
    second = colour(picture_of(path, Modality.VIDEO, span=Span(2, 4)))[0]

    assert first < 100 < second


def test_a_stretch_far_into_a_recording_is_that_stretch(tmp_path: Path) -> None:
    sound = np.concatenate([tone(90), np.zeros(90 * 44_100, np.float32)])
    for name, codec in (("a.wav", "pcm_s16le"), ("a.mp3", "mp3"), ("a.flac", "flac")):
        path = write_audio(tmp_path / name, sound, codec=codec)
        across = picture_of(path, Modality.AUDIO, span=Span(85, 95))
        drawn = pixels_of(across, width=WIDTH, height=64).astype(int)
        loud = np.abs(drawn - drawn[0, -1]).sum(axis=2).max(axis=0) > 60
        rows = (np.abs(drawn - drawn[0, -1]).sum(axis=2) > 60).sum(axis=0)
        assert loud.all()  # silence is a thin line
        assert np.median(rows[:120]) > 10 * np.median(rows[-120:])
        assert abs(int((rows > 20).sum()) - WIDTH // 2) <= 8
