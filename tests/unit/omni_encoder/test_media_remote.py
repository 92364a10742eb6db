import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omni_encoder import MediaError, MediaItem, MediaLayout
from omni_encoder.media import open_media
from omni_encoder.media_remote import RemoteDecoder
from tests.media_files import noise_picture, tone, write_audio, write_video

LAYOUT = MediaLayout(image_pixels=64, video_frames=2, audio_part_s=2.0, audio_hop_s=1.0)


@pytest.fixture(scope="module")
def decoder() -> Iterator[RemoteDecoder]:
    with closing(RemoteDecoder(file_seconds=30, file_bytes=2**31)) as decoder:
        yield decoder


def same(one: MediaItem, other: MediaItem) -> bool:
    equal = np.array_equal(one.content, other.content)
    return equal and (one.modality, one.part, one.span) == (other.modality, other.part, other.span)


def test_a_remote_decoder_gives_what_a_local_one_does(
    decoder: RemoteDecoder, tmp_path: Path
) -> None:
    odd = os.fsdecode(b"caf\xe9 \xff.png")
    Image.fromarray(noise_picture(90, 70)).save(tmp_path / odd)
    (tmp_path / f"{odd[:-4]}.txt").write_text("a caption")
    (tmp_path / "long.md").write_text("# Title\n\nWörter über alles. " * 200)
    write_audio(tmp_path / "tone.flac", tone(5.0), codec="flac", title="A tone")
    write_video(tmp_path / "clip.mp4", 120)
    for path in sorted(tmp_path.iterdir()):
        info, items = decoder.open(path, LAYOUT)
        expected_info, expected = open_media(path, LAYOUT)
        assert info == expected_info
        pairs = zip(items, expected, strict=True)
        assert all(same(one, other) for one, other in pairs)


def test_errors_of_files_come_over_and_the_child_goes_on(
    decoder: RemoteDecoder, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(MediaError) as local:
        open_media(bad, LAYOUT)
    child = decoder._child
    with pytest.raises(MediaError) as remote:
        decoder.open(bad, LAYOUT)
    assert (remote.value.message, remote.value.reason, remote.value.hint) == (
        *(local.value.message, local.value.reason, local.value.hint),
    )
    assert decoder._child is child


def test_a_file_given_up_half_way_does_not_disturb_the_next(
    decoder: RemoteDecoder, tmp_path: Path
) -> None:
    path = write_audio(tmp_path / "tone.flac", tone(9.0), codec="flac")
    _, items = decoder.open(path, LAYOUT)
    first = next(items)
    _, again = decoder.open(path, LAYOUT)
    assert same(next(again), first)


def test_the_file_that_follows_is_decoded_while_nobody_waits_for_it(
    decoder: RemoteDecoder, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.png", tmp_path / "second.txt"
    Image.fromarray(noise_picture(20, 20)).save(first)
    second.write_text("a note")
    decoder.follow(second, LAYOUT)
    _, items = decoder.open(first, LAYOUT)
    assert decoder._child is not None
    assert decoder._child.stdout is not None
    answers, _, _ = select.select([decoder._child.stdout], [], [], 30)
    assert answers  # unasked
    assert len(list(items)) == 1
    info, items = decoder.open(second, LAYOUT)
    assert (info.modality, [item.content for item in items]) == ("text", ["a note"])


def test_a_file_that_was_to_follow_and_does_not_is_forgotten(
    decoder: RemoteDecoder, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.txt" for number in range(4)]
    for path in paths:
        path.write_text(path.name)
    decoder.follow(paths[1], LAYOUT)
    for path in (paths[0], paths[2], paths[3]):
        _, items = decoder.open(path, LAYOUT)
        assert [item.content for item in items] == [path.name]


def test_the_file_before_bears_no_blame_for_the_one_that_follows(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.txt", tmp_path / "bad.png"
    good.write_text("a note")
    bad.write_bytes(b"\x89PNG\r\n\x1a\n")
    with closing(RemoteDecoder(file_seconds=30, file_bytes=2**31)) as decoder:
        decoder.follow(bad, LAYOUT)
        assert len(list(decoder.open(good, LAYOUT)[1])) == 1
        assert decoder._child is not None
        decoder._child.send_signal(signal.SIGSEGV)
        decoder._child.wait()
        with pytest.raises(MediaError, match=r"bad\.png"):
            decoder.open(bad, LAYOUT)
        assert len(list(decoder.open(good, LAYOUT)[1])) == 1


def test_a_child_that_dies_costs_one_file_and_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("words " * 500)
    with closing(RemoteDecoder(file_seconds=30, file_bytes=2**31)) as decoder:
        _, items = decoder.open(path, LAYOUT)
        next(items)
        assert decoder._child is not None
        decoder._child.send_signal(signal.SIGSEGV)
        decoder._child.wait()
        with pytest.raises(MediaError, match="SIGSEGV") as caught:
            list(items)
        assert caught.value.reason == "crashed"
        assert len(list(decoder.open(path, LAYOUT)[1])) > 1


def test_a_decoder_that_hangs_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("words")
    with closing(RemoteDecoder(file_seconds=0.3, file_bytes=2**31)) as decoder:
        decoder._child = decoder._start()
        decoder._child.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(MediaError) as caught:
            decoder.open(path, LAYOUT)
        assert caught.value.reason == "timed_out"
        assert time.monotonic() - started < 5


def test_a_file_that_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (7000, 7000)).save(path)  # 147 MB as pixels
    with closing(RemoteDecoder(file_seconds=60, file_bytes=100 * 2**20)) as decoder:
        with pytest.raises(MediaError) as caught:
            decoder.open(path, LAYOUT)
        assert caught.value.reason in {"too_large", "crashed"}


def test_the_child_imports_neither_torch_nor_a_store() -> None:
    code = (
        "import sys, omni_encoder.media_worker, omni_encoder.media_images, "
        "omni_encoder.media_streams, omni_encoder.media_text\n"
        "heavy = {'torch', 'lancedb', 'lance', 'pyarrow', 'faiss'} & sys.modules.keys()\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_child_ends_with_the_one_who_started_it() -> None:
    decoder = RemoteDecoder(file_seconds=30, file_bytes=2**31)
    child = decoder._start()
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(timeout=20) == 0
    assert child.stdout is not None
    child.stdout.close()


def test_a_decoder_that_prints_is_not_taken_for_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The child imports this. It prints as a C library does, past Python's buffers.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, threading\n"
        "def printing():\n"
        "    import time\n"
        "    while True:\n"
        "        time.sleep(0.001)\n"
        f"        os.path.exists({str(tmp_path / 'go')!r}) and os.write(1, b'warning!')\n"
        "threading.Thread(target=printing, daemon=True).start()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for path in paths:
        Image.fromarray(noise_picture(90, 70)).save(path)
    with closing(RemoteDecoder(file_seconds=30, file_bytes=2**31)) as decoder:
        for path in paths:
            _, items = decoder.open(path, LAYOUT)
            (tmp_path / "go").touch()
            [item] = items
            [expected] = open_media(path, LAYOUT)[1]
            assert same(item, expected)
