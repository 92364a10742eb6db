from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_encoder import MediaError, MediaItem, MediaLayout, Modality
from omni_encoder.media import MediaInfo, open_media
from omni_encoder.media_frames import FrameReader
from omni_encoder.media_times import even_parts, slot_centres
from tests.media_files import (
    UPRIGHT,
    corner_colours,
    cut,
    grey_of_frame,
    marked_picture,
    tone,
    write_animation,
    write_audio,
    write_video,
)

LAYOUT = MediaLayout(image_pixels=48, video_frames=4, video_part_s=10.0)
FORMATS = [
    ("a.mp4", "libx264", "video/mp4"),
    ("a.mov", "libx264", "video/quicktime"),
    ("a.mkv", "libx264", "video/x-matroska"),
    ("a.webm", "libvpx", "video/webm"),
    ("a.avi", "mpeg4", "video/x-msvideo"),
    ("b.mp4", "hevc", "video/mp4"),
]
ANIMATIONS = [
    ("a.gif", "image/gif"),
    ("a.webp", "image/webp"),
    ("a.png", "image/apng"),
    ("a.avif", "image/avif"),
]


def read(path: Path, layout: MediaLayout = LAYOUT) -> tuple[MediaInfo, list[MediaItem]]:
    info, items = open_media(path, layout)
    parts = list(items)
    assert all(item.modality is info.modality is Modality.VIDEO for item in parts)
    assert [item.part for item in parts] == list(range(len(parts)))
    return info, parts


def spans(parts: list[MediaItem]) -> list[tuple[float, float]]:
    return [(item.span.start, item.span.end) for item in parts if item.span]


def frames(item: MediaItem) -> np.ndarray:
    assert isinstance(item.content, np.ndarray)
    return item.content


def numbers(item: MediaItem, *, most: int) -> list[int]:
    """Which frames of `write_video`'s clip these are, by their grey (frames 0 to `most`)."""
    greys = np.array([grey_of_frame(number) for number in range(most)])
    return [int(np.abs(greys - frame.mean()).argmin()) for frame in frames(item)]


def reason(path: Path) -> str:
    with pytest.raises(MediaError) as caught:
        list(open_media(path, LAYOUT)[1])
    return caught.value.reason


@pytest.mark.parametrize(("name", "codec", "mime"), FORMATS)
def test_every_format_gives_frames_spread_over_a_short_clip(
    tmp_path: Path, name: str, codec: str, mime: str
) -> None:
    path = write_video(tmp_path / name, 32, codec=codec, title="A bus ride")

    info, (part,) = read(path)

    assert (info.mime, info.width, info.height) == (mime, 96, 64)
    assert info.duration == pytest.approx(3.2, abs=0.11)
    assert info.title == "A bus ride"
    assert not info.partial
    assert spans([part]) == [(0.0, info.duration)]
    assert frames(part).shape == (4, 48, 72, 3)
    assert frames(part).dtype == np.uint8
    found = numbers(part, most=32)
    for slot, number in enumerate(found):
        assert slot * 8 - 1 <= number <= slot * 8 + 8, found


@pytest.mark.parametrize("keyframe_every", [1, 5, 10, 40, 1000])
def test_frames_are_distinct_in_order_and_in_their_slots_however_keyframes_lie(
    tmp_path: Path, keyframe_every: int
) -> None:
    path = write_video(tmp_path / "a.mp4", 240, keyframe_every=keyframe_every)
    layout = MediaLayout(image_pixels=48, video_frames=5, video_part_s=8.0)

    parts = read(path, layout)[1]

    assert spans(parts) == [(0, 8), (8, 16), (16, 24)]
    for part, (start, _) in zip(parts, spans(parts), strict=True):
        assert len(frames(part)) == 5
        mean = [(frame.mean()) for frame in frames(part)]
        for slot, grey in enumerate(mean):
            first = round((start + slot * 1.6) * 10)
            near = [grey_of_frame(n) for n in range(first - 1, first + 18)]
            assert min(abs(grey - other) for other in near) < 3


def test_without_an_index_all_frames_are_decoded_to_the_same_end(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 60, keyframe_every=1000)

    with av.open(str(path)) as container:
        reader = FrameReader(container, container.streams.video[0])
        assert reader.first() is not None
        shots = [reader.shot_in(start, start + 1.0) for start in np.arange(0, 6, 1.0)]

    assert [round(shot.seconds, 1) for shot in shots if shot] == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264")])
def test_keyframes_are_taken_where_every_slot_has_one(
    tmp_path: Path, name: str, codec: str
) -> None:
    path = write_video(tmp_path / name, 80, codec=codec, keyframe_every=10, is_noisy=True)

    with av.open(str(path)) as container:
        reader = FrameReader(container, container.streams.video[0])
        reader.first()
        reader.find_keyframes()
        shots = [reader.shot_in(start, start + 1.6) for start in np.arange(0, 8, 1.6)]

    assert all(shot and shot.frame.key_frame for shot in shots)
    assert [round(shot.seconds, 3) for shot in shots if shot] == [1, 2, 4, 6, 7]


def test_a_sparse_clip_gives_fewer_frames_never_the_same_twice(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 3, fps=1)

    (part,) = read(path, MediaLayout(image_pixels=48, video_frames=8))[1]

    assert numbers(part, most=3) == [0, 1, 2]


def test_a_still_picture_stands_for_every_part_it_is_shown_in(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for tenth, grey in ((0, 20), (5, 120), (400, 220)):
            pixels = np.full((48, 64, 3), grey, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = tenth
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    parts = read(path, MediaLayout(video_frames=2, video_part_s=10.0))[1]

    greys = [[round(frame.mean() / 20) * 20 for frame in frames(part)] for part in parts]
    assert greys[:4] == [[20, 120], [120], [120], [120]]


@settings(deadline=None)
@given(duration=st.floats(0.01, 5000), longest=st.floats(0.5, 60))
def test_parts_cover_a_recording_evenly_without_gaps(duration: float, longest: float) -> None:
    parts = even_parts(duration, longest)

    assert parts[0][0] == 0
    assert parts[-1][1] == pytest.approx(duration)
    assert all(before[1] == after[0] for before, after in pairwise(parts))
    lengths = [end - start for start, end in parts]
    assert max(lengths) <= longest * (1 + 1e-5)
    assert max(lengths) - min(lengths) < 1e-6 * duration
    assert len(parts) == 1 or duration / (len(parts) - 1) > longest


def test_slots_have_their_centres_in_their_middles() -> None:
    assert slot_centres(2.0, 10.0, 4).tolist() == [3.0, 5.0, 7.0, 9.0]


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, -90])
def test_rotation_is_obeyed(tmp_path: Path, degrees: int) -> None:
    # The file tells how far to turn counterclockwise, so it holds the picture turned clockwise.
    stored = np.ascontiguousarray(np.rot90(marked_picture(320, 240), -degrees // 90))
    path = write_video(tmp_path / "a.mp4", 8, picture=stored, turned=degrees)

    info, (part,) = read(path)

    assert (info.width, info.height) == (320, 240)
    assert frames(part).shape[1:] == (48, 64, 3)
    assert corner_colours(frames(part)[0]) == UPRIGHT


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 72, 96, "yuv420p"
        stream.codec_context.sample_aspect_ratio = 2
        for number in range(8):
            frame = av.VideoFrame.from_ndarray(np.zeros((96, 72, 3), np.uint8), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    info, (part,) = read(path)

    assert (info.width, info.height) == (144, 96)
    assert frames(part).shape[1:] == (48, 72, 3)


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    rgba = np.zeros((48, 64, 4), dtype=np.uint8)
    rgba[:, :32, 3] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("qtrle", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "argb"
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="argb")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    (part,) = read(path)[1]

    assert frames(part)[0, 24, 8].tolist() == [0, 0, 0]
    assert frames(part)[0, 24, 56].tolist() == [255, 255, 255]


@pytest.mark.parametrize(("name", "mime"), ANIMATIONS)
def test_an_animation_is_a_video(tmp_path: Path, name: str, mime: str) -> None:
    path = write_animation(tmp_path / name, [0, 60, 120, 180, 240, 30], duration_ms=500)

    info, (part,) = read(path)

    assert (info.mime, info.width, info.height) == (mime, 64, 48)
    assert info.duration == pytest.approx(3.0)
    assert spans([part]) == [(0.0, pytest.approx(3.0))]
    # The slots' middles, at 0.375, 1.125, 1.875 and 2.625 s, show frames 0, 2, 3 and 5.
    assert [frame.mean() for frame in frames(part)] == pytest.approx([0, 120, 180, 30], abs=4)


@pytest.mark.parametrize(("name", "mime"), ANIMATIONS)
def test_a_long_animation_has_parts(tmp_path: Path, name: str, mime: str) -> None:
    path = write_animation(tmp_path / name, list(range(0, 250, 10)), duration_ms=1000)

    parts = read(path)[1]

    assert spans(parts) == [
        pytest.approx(span) for span in ((0, 25 / 3), (25 / 3, 50 / 3), (50 / 3, 25))
    ]
    assert [len(frames(part)) for part in parts] == [4, 4, 4]


@pytest.mark.parametrize("name", ["a.gif", "a.png"])
def test_an_animation_that_was_cut_gives_what_is_left(tmp_path: Path, name: str) -> None:
    from PIL import Image

    from tests.media_files import noise_picture

    stills = [Image.fromarray(noise_picture(64, 48, seed=seed)) for seed in range(8)]
    path = tmp_path / name
    stills[0].save(path, save_all=True, append_images=stills[1:], duration=200)

    info, (part,) = read(cut(path, 0.6))

    assert info.partial
    assert 0.4 <= (info.duration or 0) <= 1.0
    assert len(frames(part)) >= 2
    assert reason(cut(path, 0.05)) == "truncated"


def test_frames_of_no_length_last_a_tenth_of_a_second(tmp_path: Path) -> None:
    path = write_animation(tmp_path / "a.gif", [0, 100, 200], duration_ms=0)

    assert read(path)[0].duration == pytest.approx(0.3)


def test_a_transparent_animation_is_shown_on_white(tmp_path: Path) -> None:
    from PIL import Image

    stills = []
    for left in (0, 20, 40):
        still = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
        still.paste((200, 0, 0, 255), (left, 0, left + 20, 48))
        stills.append(still)
    stills[0].save(
        tmp_path / "a.gif", save_all=True, append_images=stills[1:], duration=400, disposal=2
    )

    (part,) = read(tmp_path / "a.gif")[1]

    assert frames(part)[0, 24, 10].tolist() == [200, 0, 0]
    assert frames(part)[0, 24, 50].tolist() == [255, 255, 255]
    assert frames(part)[-1, 24, 10].tolist() == [255, 255, 255]
    assert frames(part)[-1, 24, 50].tolist() == [200, 0, 0]


@pytest.mark.parametrize("options", [{"movflags": "faststart"}, {"movflags": "frag_keyframe"}])
def test_a_clip_that_was_cut_gives_what_is_left_and_says_so(
    tmp_path: Path, options: dict[str, str]
) -> None:
    path = write_video(tmp_path / "a.mp4", 100, is_noisy=True, **options)

    info, (part,) = read(cut(path, 0.5))

    assert info.partial
    assert 2.0 < (info.duration or 0) < 7.0
    assert spans([part]) == [(0.0, info.duration)]
    assert len(frames(part)) == 4


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.avi", "mpeg4")])
def test_other_formats_that_were_cut_do_so_too(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, 100, codec=codec, is_noisy=True)

    info, parts = read(cut(path, 0.5))

    assert info.partial
    assert 2.0 < (info.duration or 0) < 8.0
    assert len(frames(parts[0])) >= 3


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_a_clip_whose_index_was_cut_off_is_truncated(tmp_path: Path, name: str) -> None:
    assert reason(cut(write_video(tmp_path / name, 60), 0.9)) == "truncated"


def test_a_duration_that_nobody_wrote_down_is_found_by_scanning(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with path.open("wb") as file:  # a file object that can't seek: a live recording
        live = _Unseekable(file)
        with av.open(live, "w", format="matroska") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for number in range(150):
                grey = np.full((48, 64, 3), grey_of_frame(number), dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert container.duration is None

    info, parts = read(path)

    assert info.duration == pytest.approx(15.0, abs=0.11)
    assert not info.partial
    assert [len(frames(part)) for part in parts] == [4, 4]


class _Unseekable:
    def __init__(self, file: object) -> None:
        self.write = file.write  # pyright: ignore


def test_a_clip_of_one_frame_has_a_part(tmp_path: Path) -> None:
    info, (part,) = read(write_video(tmp_path / "a.mp4", 1))

    assert (info.duration or 0) > 0
    assert frames(part).shape == (1, 48, 72, 3)


def test_sound_that_goes_on_after_the_last_frame_adds_no_part(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mkv", 30)
    sound = write_audio(tmp_path / "sound.mka", tone(25.0), codec="libmp3lame")
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out, av.open(str(clip)) as film, av.open(str(sound)) as song:
        pairs = [(film, film.streams.video[0]), (song, song.streams.audio[0])]
        streams = [out.add_stream_from_template(stream) for _, stream in pairs]
        for (source, stream), target in zip(pairs, streams, strict=True):
            for packet in source.demux(stream):
                if packet.dts is not None:
                    packet.stream = target
                    out.mux(packet)

    parts = read(path)[1]

    assert len(parts) == 1


def test_a_file_without_picture_or_sound_says_what_is_missing(tmp_path: Path) -> None:
    for name, expected in (("a.mkv", "no_video"), ("a.mka", "no_audio")):
        path = write_video(tmp_path / "video.mkv", 10).rename(tmp_path / name)
        data = path.read_bytes()
        # The track is made one of subtitles: element 0x83 holds 1 for video, 17 for subtitles.
        at = data.index(b"\x83\x81\x01")
        path.write_bytes(data[: at + 2] + b"\x11" + data[at + 3 :])
        assert reason(path) == expected


def test_frames_too_large_to_decode_are_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 5, size=(320, 240))

    with pytest.raises(MediaError) as caught:
        open_media(path, LAYOUT, max_pixels=320 * 240 - 1)

    assert caught.value.reason == "too_large"
