import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from omni_encoder import MediaError, MediaLayout, Modality
from omni_encoder.media import (
    REASONS,
    SUFFIXES,
    Reason,
    caption_of,
    guess_modality,
    is_sidecar,
    open_media,
    sidecar_of,
)
from tests.media_files import marked_picture, tone, write_audio, write_video

LAYOUT = MediaLayout(image_pixels=32)


def reason(path: Path) -> str:
    with pytest.raises(MediaError) as caught:
        list(open_media(path, LAYOUT)[1])
    return caught.value.reason


def write_image(path: Path) -> Path:
    Image.fromarray(marked_picture(64, 64)).save(path, format="JPEG")
    return path


def test_every_reason_is_explained_on_one_line() -> None:
    assert set(REASONS) == set(Reason)
    assert all(text and "\n" not in text and len(text) < 100 for text in REASONS.values())
    assert REASONS["truncated"] == REASONS[Reason.TRUNCATED]


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("a.JPG", Modality.IMAGE),
        ("a.tar.webp", Modality.IMAGE),
        ("a.gif", Modality.IMAGE),
        ("a.apng", Modality.VIDEO),
        ("a.MOV", Modality.VIDEO),
        ("a.opus", Modality.AUDIO),
        ("a.jsonl", Modality.TEXT),
        ("a.json", None),
        ("jpg", None),
        (".jpg", None),
    ],
)
def test_a_suffix_promises_a_modality(name: str, modality: Modality | None) -> None:
    assert guess_modality(Path(name)) is modality


def test_guessing_loads_no_decoder() -> None:
    code = (
        "import sys; from pathlib import Path; from omni_encoder.media import guess_modality;"
        "guess_modality(Path('a.jpg'));"
        "print([m for m in ('PIL', 'av', 'pillow_heif', 'resvg_py', 'torch') if m in sys.modules])"
    )

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_an_empty_file_is_called_empty_whatever_its_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.touch()

    assert reason(path) == "empty"


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([1, 60, 300, 5000]))
def test_random_bytes_always_end_in_a_known_reason(
    tmp_path: Path, suffix: str, seed: int, size: int
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"\xf5" + np.random.default_rng(seed).bytes(size))

    assert reason(path) in REASONS


@pytest.mark.parametrize("suffix", [s for s, m in SUFFIXES.items() if m is not Modality.TEXT])
def test_a_text_that_is_named_like_another_medium_is_of_the_wrong_type(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text("This is no picture, and no sound.", encoding="utf-8")

    assert reason(path) == "wrong_type"


def test_a_file_without_a_known_suffix_is_judged_by_its_content(tmp_path: Path) -> None:
    image = write_image(tmp_path / "image").rename(tmp_path / "image")
    (tmp_path / "text").write_text("plain words", encoding="utf-8")
    (tmp_path / "page").write_text("<!-- x -->\n<!DOCTYPE html><p>words", encoding="utf-8")
    (tmp_path / "junk").write_bytes(b"\x00\x01\x02\xff" * 50)

    assert open_media(image, LAYOUT)[0].mime == "image/jpeg"
    assert open_media(tmp_path / "text", LAYOUT)[0].mime == "text/plain"
    assert open_media(tmp_path / "page", LAYOUT)[0].mime == "text/html"
    assert reason(tmp_path / "junk") == "unsupported"


def test_what_cannot_be_opened_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder.jpg"
    folder.mkdir()
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nothing.jpg")
    locked = write_image(tmp_path / "locked.jpg")

    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    assert reason(tmp_path / "nothing.jpg") == "missing"
    assert reason(tmp_path / "dangling.jpg") == "missing"
    assert reason(locked / "inside.jpg") == "missing"
    assert reason(folder) == "unreadable"
    assert reason(pipe) == "unreadable"
    # Root may read everything, so a file's mode can't stand for this.
    monkeypatch.setattr(Path, "open", refuse)
    assert reason(locked) == "unreadable"


_BINARY_SUFFIXES = [suffix for suffix in SUFFIXES if SUFFIXES[suffix] is not Modality.TEXT]


@pytest.mark.parametrize("suffix", sorted({*_BINARY_SUFFIXES} - {".svg"}))
@pytest.mark.parametrize("size", [40, 9000])
def test_bytes_without_a_signature_are_not_called_cut_short(
    tmp_path: Path, suffix: str, size: int
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"\xf5" + np.random.default_rng(size).bytes(size))

    with pytest.raises(MediaError, match="does not begin like") as caught:
        list(open_media(path, LAYOUT)[1])

    assert caught.value.reason == "damaged"
    assert "suffix" in caught.value.hint


@pytest.mark.parametrize("box", [b"styp", b"moof", b"sidx"])
def test_a_segment_of_a_stream_that_ends_early_is_cut_short(tmp_path: Path, box: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0\0\x20\0" + box + bytes(400))

    assert reason(tmp_path / "a.mp4") == "truncated"


def test_an_error_names_the_file_and_keeps_its_cause(tmp_path: Path) -> None:
    path = tmp_path / "odd.mp4"
    path.write_bytes(b"\0\0\0\x18ftypisom" + bytes(400))

    with pytest.raises(MediaError, match=r"^odd\.mp4 ") as caught:
        open_media(path, LAYOUT)

    assert caught.value.__cause__ is not None


def test_a_sidecar_belongs_to_the_file_it_is_named_after(tmp_path: Path) -> None:
    photo, other, sound = (tmp_path / name for name in ("photo.JPG", "other.png", "bell.mp3"))
    for path in (photo, other, sound):
        path.touch()
    (tmp_path / "photo.txt").write_text("A red\r\n  bus ", encoding="utf-8")
    (tmp_path / "other.png.txt").write_text("A boat", encoding="utf-8")
    (tmp_path / "other.txt").write_text("Not this one", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("Notes", encoding="utf-8")
    (tmp_path / "notes.md").touch()

    assert sidecar_of(photo) == tmp_path / "photo.txt"
    assert sidecar_of(other) == tmp_path / "other.png.txt"
    assert sidecar_of(sound) is None
    assert sidecar_of(tmp_path / "notes.md") is None
    assert [caption_of(path) for path in (photo, other, sound)] == ["A red bus", "A boat", None]
    names = [path.name for path in tmp_path.iterdir()]
    found = {path.name for path in tmp_path.iterdir() if is_sidecar(path)}
    assert found == {"photo.txt", "other.png.txt", "other.txt"}
    assert found == {name for name in names if is_sidecar(tmp_path / name, siblings=names)}


@settings(deadline=None)
@given(
    stem=st.text("ab. ", min_size=1, max_size=6),
    suffix=st.sampled_from(sorted(SUFFIXES)),
    form=st.sampled_from([str, str.upper]),
    text_form=st.sampled_from([str, str.upper, str.capitalize]),
    is_long=st.booleans(),
)
def test_whatever_has_a_sidecar_the_sidecar_knows_it(
    tmp_path_factory: pytest.TempPathFactory,
    *,
    stem: str,
    suffix: str,
    form: Callable[[str], str],
    text_form: Callable[[str], str],
    is_long: bool,
) -> None:
    folder = tmp_path_factory.mktemp("pair")
    host = folder / f"x{stem}{form(suffix)}"
    ending = f".{text_form('txt')}"
    sidecar = folder / (f"{host.name}{ending}" if is_long else f"x{stem}{ending}")
    host.touch()
    sidecar.touch()

    is_host = guess_modality(host) is not Modality.TEXT
    assert sidecar_of(host) == (sidecar if is_host else None)
    assert is_sidecar(sidecar) is is_host
    assert is_sidecar(sidecar, siblings={host.name, sidecar.name}) is is_host


def test_a_sidecar_that_is_no_text_gives_no_caption(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_bytes(bytes(range(256)) * 9)

    assert open_media(tmp_path / "a.jpg", LAYOUT)[0].caption is None


def test_names_that_mean_something_to_ffmpeg_are_only_names(tmp_path: Path) -> None:
    folder = tmp_path / "http:%d"
    folder.mkdir()
    path = write_video(tmp_path / "a.mp4", 5).rename(folder / "concat:a|%03d.mp4")

    assert open_media(path, LAYOUT)[0].modality is Modality.VIDEO


def test_a_playlist_does_not_open_what_it_lists(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.mp3", tone(1.0), codec="libmp3lame")
    playlist = tmp_path / "list.mp3"
    playlist.write_text(f"#EXTM3U\n#EXTINF:1,\n{tmp_path / 'a.mp3'}\n", encoding="utf-8")

    assert reason(playlist) == "wrong_type"


def test_relative_paths_and_odd_characters_are_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "näme mit 'quotes' & 100 % # ?.mp3"
    write_audio(tmp_path / "a.mp3", tone(1.0), codec="libmp3lame").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)

    assert len(list(open_media(Path(name), LAYOUT)[1])) == 1


def test_files_are_decoded_by_several_threads_at_once(tmp_path: Path) -> None:
    paths = [
        write_image(tmp_path / "a.jpg"),
        write_audio(tmp_path / "b.mp3", tone(2.0), codec="libmp3lame"),
        write_video(tmp_path / "c.mp4", 20),
    ]
    contents = lambda path: [item.content for item in open_media(path, LAYOUT)[1]]  # noqa: E731
    alone = [contents(path) for path in paths]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(contents, paths * 6))

    for number, found in enumerate(together):
        for ours, expected in zip(found, alone[number % 3], strict=True):
            np.testing.assert_array_equal(ours, expected)


def test_an_abandoned_iterator_leaves_no_file_open(tmp_path: Path) -> None:
    paths = [
        write_video(tmp_path / "a.mp4", 60),
        write_audio(tmp_path / "b.flac", tone(12.0), codec="flac"),
        tmp_path / "c.txt",
    ]
    paths[2].write_text("word " * 500, encoding="utf-8")
    open_files = lambda: len(list(Path("/proc/self/fd").iterdir()))  # noqa: E731
    before = open_files()

    for path in paths:
        open_media(path, LAYOUT)
        next(open_media(path, LAYOUT)[1])

    assert open_files() <= before


def test_the_pixel_limit_is_checked() -> None:
    with pytest.raises(ValueError, match="max_pixels"):
        open_media(Path("a.jpg"), LAYOUT, max_pixels=0)
