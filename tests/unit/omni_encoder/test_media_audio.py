import tracemalloc
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_encoder import SAMPLE_RATE_HZ, MediaError, MediaItem, MediaLayout, Modality
from omni_encoder.media import MediaInfo, open_media
from omni_encoder.media_audio import Windows
from tests.media_files import cut, tone, write_audio, write_video

LAYOUT = MediaLayout(audio_part_s=10.0, audio_hop_s=5.0)
FORMATS = [
    ("a.wav", "pcm_s16le", 44_100, "audio/wav"),
    ("b.wav", "pcm_f32le", 22_050, "audio/wav"),
    ("a.flac", "flac", 44_100, "audio/flac"),
    ("a.mp3", "libmp3lame", 44_100, "audio/mpeg"),
    ("a.ogg", "libopus", 48_000, "audio/ogg"),
    ("b.ogg", "flac", 44_100, "audio/ogg"),
    ("a.opus", "libopus", 48_000, "audio/ogg"),
    ("a.m4a", "aac", 44_100, "audio/mp4"),
    ("a.aac", "aac", 44_100, "audio/aac"),
    ("a.mp4", "aac", 44_100, "audio/mp4"),
    ("a.webm", "libopus", 48_000, "audio/webm"),
    ("a.mkv", "libmp3lame", 44_100, "audio/x-matroska"),
    ("a.avi", "pcm_s16le", 44_100, "video/x-msvideo"),
]


def read(path: Path, layout: MediaLayout = LAYOUT) -> tuple[MediaInfo, list[MediaItem]]:
    info, items = open_media(path, layout)
    parts = list(items)
    assert all(item.modality is info.modality is Modality.AUDIO for item in parts)
    assert [item.part for item in parts] == list(range(len(parts)))
    return info, parts


def spans(parts: list[MediaItem]) -> list[tuple[float, float]]:
    return [(item.span.start, item.span.end) for item in parts if item.span]


def samples(item: MediaItem) -> np.ndarray:
    assert isinstance(item.content, np.ndarray)
    return item.content


def loudest_hertz(audio: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return float(np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE_HZ)[spectrum.argmax()])


def write_wav(path: Path, audio: np.ndarray, *, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes((audio * 32_767).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize(("name", "codec", "rate", "mime"), FORMATS)
def test_every_format_keeps_a_tone_its_length_and_its_loudness(
    tmp_path: Path, name: str, codec: str, rate: int, mime: str
) -> None:
    path = write_audio(tmp_path / name, tone(3.0, hertz=523.0, rate=rate), codec=codec, rate=rate)

    info, (part,) = read(path)

    audio = samples(part)
    assert info.mime == mime
    assert not info.partial
    assert (info.width, info.height) == (None, None)
    assert info.duration == pytest.approx(3.0, abs=0.06)
    assert audio.dtype == np.float32
    assert len(audio) / SAMPLE_RATE_HZ == pytest.approx(3.0, abs=0.06)
    assert spans([part]) == [(0.0, len(audio) / SAMPLE_RATE_HZ)]
    assert loudest_hertz(audio) == pytest.approx(523.0, abs=1.0)
    assert np.abs(audio[8000:40_000]).max() == pytest.approx(0.5, abs=0.05)


def test_a_wave_file_at_16_khz_comes_out_as_it_went_in(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, 20_000)
    path = write_wav(tmp_path / "a.wav", noise)

    (part,) = read(path)[1]

    np.testing.assert_allclose(samples(part), noise, atol=2 / 32_767)


def test_channels_are_mixed_and_stay_within_bounds(tmp_path: Path) -> None:
    left, right = np.ones(16_000), np.full(16_000, 0.5)
    path = write_wav(tmp_path / "a.wav", np.stack([left, right], axis=1).ravel(), channels=2)

    audio = samples(read(path)[1][0])

    assert audio[1000:-1000].mean() == pytest.approx(0.75, abs=0.01)
    assert np.abs(audio).max() <= 1.0


def test_numbers_that_are_none_become_silence(tmp_path: Path) -> None:
    odd = tone(1.0, rate=SAMPLE_RATE_HZ)
    odd[5000:6000], odd[7000:7100] = np.nan, np.inf
    path = write_audio(tmp_path / "a.wav", odd, codec="pcm_f32le", rate=SAMPLE_RATE_HZ)

    audio = samples(read(path)[1][0])

    assert np.isfinite(audio).all()
    assert np.abs(audio).max() <= 1.0


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (0.2, [(0, 0.2)]),
        (9.9, [(0, 9.9)]),
        (10.0, [(0, 10)]),
        (10.9, [(0, 10)]),
        (11.0, [(0, 10), (5, 11)]),
        (15.0, [(0, 10), (5, 15)]),
        (23.5, [(0, 10), (5, 15), (10, 20), (15, 23.5)]),
    ],
)
def test_windows_overlap_and_the_last_brings_a_second_of_its_own(
    tmp_path: Path, duration: float, expected: list[tuple[float, float]]
) -> None:
    ramp = np.linspace(-1, 1, round(duration * SAMPLE_RATE_HZ))
    path = write_wav(tmp_path / "a.wav", ramp)

    info, parts = read(path)

    assert info.duration == pytest.approx(duration, abs=1e-3)
    assert spans(parts) == [pytest.approx(span, abs=1e-3) for span in expected]
    for part, (start, end) in zip(parts, spans(parts), strict=True):
        first, last = round(start * SAMPLE_RATE_HZ), round(end * SAMPLE_RATE_HZ)
        np.testing.assert_allclose(samples(part), ramp[first:last], atol=1e-3)


@settings(deadline=None)
@given(
    total=st.integers(1, 400),
    length=st.integers(1, 60),
    hop=st.integers(1, 80),
    least_new=st.integers(1, 30),
    block=st.integers(1, 90),
)
def test_windows_are_those_of_the_whole_however_it_arrives(
    total: int, length: int, hop: int, least_new: int, block: int
) -> None:
    whole = np.arange(total, dtype=np.float32)
    windows = Windows(length=length, hop=hop, least_new=least_new)

    found = [
        window
        for start in range(0, total, block)
        for window in windows.add(whole[start : start + block])
    ]
    found += windows.finish()

    expected = [start for start in range(0, total, hop) if start + length <= total]
    last = len(expected) * hop
    heard = expected[-1] + length if expected else 0
    if last < total and (not expected or total - max(heard, last) >= least_new):
        expected.append(last)
    assert [start for start, _ in found] == expected
    for start, window in found:
        np.testing.assert_array_equal(window, whole[start : start + length])


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.mp3", "libmp3lame", 44_100),
        ("a.flac", "flac", 44_100),
        ("a.m4a", "aac", 44_100),
        ("a.ogg", "libopus", 48_000),
        ("a.mkv", "aac", 44_100),
        ("a.wav", "pcm_s16le", 44_100),
    ],
)
def test_titles_come_from_tags(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    path = write_audio(
        tmp_path / name, tone(1.0, rate=rate), codec=codec, rate=rate, title="Das Lied, süß"
    )

    assert read(path)[0].title == "Das Lied, süß"


@pytest.mark.parametrize(
    ("name", "codec", "rate", "options"),
    [
        ("a.wav", "pcm_s16le", 44_100, {}),
        ("a.flac", "flac", 44_100, {}),
        ("a.mp3", "libmp3lame", 44_100, {}),
        ("a.ogg", "libopus", 48_000, {}),
        ("a.mka", "aac", 44_100, {}),
        ("a.m4a", "aac", 44_100, {"movflags": "faststart"}),
    ],
)
def test_a_file_that_was_cut_gives_what_is_left_and_says_so(
    tmp_path: Path, name: str, codec: str, rate: int, options: dict[str, str]
) -> None:
    path = write_audio(tmp_path / name, tone(8.0, rate=rate), codec=codec, rate=rate, **options)

    info, (part,) = read(cut(path, 0.5))

    assert info.partial
    assert info.duration == pytest.approx(4.0, abs=0.6)
    assert len(samples(part)) / SAMPLE_RATE_HZ == pytest.approx(info.duration, abs=0.25)
    assert loudest_hertz(samples(part)) == pytest.approx(440.0, abs=1.0)


@pytest.mark.parametrize(
    ("name", "codec", "share", "reason"),
    [
        ("a.m4a", "aac", 0.9, "truncated"),  # its index stood at its end
        ("a.ogg", "libopus", 0.02, "truncated"),
        ("a.flac", "flac", 0.02, "truncated"),
    ],
)
def test_a_file_with_nothing_left_to_decode_is_truncated(
    tmp_path: Path, name: str, codec: str, share: float, reason: str
) -> None:
    path = write_audio(tmp_path / name, tone(4.0, rate=48_000), codec=codec, rate=48_000)

    with pytest.raises(MediaError) as caught:
        list(open_media(cut(path, share), LAYOUT)[1])

    assert caught.value.reason == reason


def test_a_wave_file_without_samples_is_empty(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros(0))

    with pytest.raises(MediaError) as caught:
        list(open_media(path, LAYOUT)[1])

    assert caught.value.reason == "empty"


def test_a_broken_stretch_is_passed_over(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.mp3", tone(6.0), codec="libmp3lame")
    data = bytearray(path.read_bytes())
    data[40_000:44_000] = np.random.default_rng(0).bytes(4000)
    path.write_bytes(data)

    info, (part,) = read(path)

    assert info.duration == pytest.approx(6.0, abs=0.1)
    assert len(samples(part)) / SAMPLE_RATE_HZ > 5.0


def test_cover_art_does_not_make_a_song_a_video(tmp_path: Path) -> None:
    import av
    from PIL import Image

    picture = tmp_path / "cover.jpg"
    Image.new("RGB", (64, 64), "red").save(picture)
    song = write_audio(tmp_path / "plain.mp3", tone(2.0), codec="libmp3lame")
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w") as out, av.open(str(song)) as sound, av.open(str(picture)) as art:
        audio = out.add_stream_from_template(sound.streams.audio[0])
        cover = out.add_stream_from_template(art.streams.video[0])
        cover.disposition = av.stream.Disposition.attached_pic
        for source, stream in ((art.streams.video[0], cover), (sound.streams.audio[0], audio)):
            for packet in source.container.demux(source):
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)

    assert len(read(path)[1]) == 1


def test_a_long_recording_is_never_held_as_a_whole(tmp_path: Path) -> None:
    rate = 8_000
    path = write_audio(
        tmp_path / "a.flac", tone(400.0, hertz=300.0, rate=rate), codec="flac", rate=rate
    )
    whole_bytes = 400 * SAMPLE_RATE_HZ * 4

    tracemalloc.start()
    parts = sum(len(samples(item)) > 0 for item in open_media(path, LAYOUT)[1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    # A window, the rest that overlaps, their joined copy and a block or two: numpy's memory is
    # traced, so three windows of 0.64 MB and little else may be there at once.
    assert parts == 79
    assert peak < 0.12 * whole_bytes


def test_nothing_is_written_to_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sound = write_audio(tmp_path / "a.mp3", tone(3.0), codec="libmp3lame")
    clip = write_video(tmp_path / "a.mp4", 30, movflags="faststart")
    capfd.readouterr()

    for path in (sound, clip):
        data = path.read_bytes()
        for share in (0.1, 0.5, 0.9):
            path.write_bytes(data[: int(len(data) * share)] + b"\xff" * 500)
            try:
                list(open_media(path, LAYOUT)[1])
            except MediaError:
                continue

    assert capfd.readouterr().err == ""
