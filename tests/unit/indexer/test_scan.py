import os
from pathlib import Path

import pytest

from indexer.manifest import MANIFEST_NAME
from indexer.scan import absolute, is_gone, scan
from omni_encoder import MediaError


def touch(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def names(folder: Path, *roots: Path) -> list[str]:
    found = scan(roots or [folder])
    return [os.path.relpath(os.fsdecode(path), folder) for path in found.files]


def test_files_are_sorted_and_hidden_and_system_ones_passed_over(tmp_path: Path) -> None:
    for name in ["b.txt", "a/z.png", "a/.hidden.png", ".git/x.txt", "__MACOSX/a.png", "a/c/y.wav"]:
        touch(tmp_path / name)
    assert names(tmp_path) == ["a/c/y.wav", "a/z.png", "b.txt"]


def test_other_suffixes_are_counted(tmp_path: Path) -> None:
    for name in ["a.zip", "b.ZIP", "Makefile", "a.txt"]:
        touch(tmp_path / name)
    found = scan([tmp_path])
    assert found.ignored == {".zip": 2, "no suffix": 1}
    assert len(found.files) == 1


def test_links_to_folders_are_not_followed_but_links_to_files_are(tmp_path: Path) -> None:
    touch(tmp_path / "media" / "a.txt")
    (tmp_path / "media" / "loop").symlink_to(tmp_path / "media")
    (tmp_path / "media" / "b.txt").symlink_to(tmp_path / "media" / "a.txt")
    assert names(tmp_path / "media") == ["a.txt", "b.txt"]
    assert scan([tmp_path]).ignored == {"linked folder": 1}


def test_a_root_may_itself_be_a_link_or_hidden(tmp_path: Path) -> None:
    touch(tmp_path / ".media" / "a.txt")
    (tmp_path / "link").symlink_to(tmp_path / ".media")
    assert names(tmp_path, tmp_path / "link", tmp_path / ".media") == [".media/a.txt", "link/a.txt"]


def test_collections_are_not_scanned(tmp_path: Path) -> None:
    touch(tmp_path / "collection" / MANIFEST_NAME)
    touch(tmp_path / "collection" / "cache" / "thumbnail.png")
    touch(tmp_path / "a.txt")
    assert names(tmp_path) == ["a.txt"]


def test_a_sidecar_belongs_to_its_image_and_marks_it_changed(tmp_path: Path) -> None:
    image = touch(tmp_path / "photo.jpg")
    before = scan([tmp_path]).files[os.fsencode(image)]
    touch(tmp_path / "photo.txt", "a caption")
    assert names(tmp_path) == ["photo.jpg"]
    after = scan([tmp_path]).files[os.fsencode(image)]
    assert before.sidecar != after.sidecar
    assert (before.size, before.mtime_ns, before.inode) == (after.size, after.mtime_ns, after.inode)


def test_roots_may_overlap_and_name_files(tmp_path: Path) -> None:
    file = touch(tmp_path / "a" / "x.txt")
    assert names(tmp_path, tmp_path, tmp_path / "a", file, tmp_path / "a" / ".." / "a") == [
        "a/x.txt"
    ]
    assert not scan([tmp_path, tmp_path / "a", file]).empty_roots


def test_a_file_named_that_is_no_media_is_a_problem(tmp_path: Path) -> None:
    found = scan([touch(tmp_path / "a.zip")])
    assert [problem.reason for problem in found.problems] == ["unsupported"]


def test_a_sidecar_named_by_itself_is_a_problem(tmp_path: Path) -> None:
    touch(tmp_path / "photo.jpg")
    found = scan([touch(tmp_path / "photo.txt")])
    assert [problem.reason for problem in found.problems] == ["sidecar"]


def test_broken_links_and_pipes_are_problems(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "pipe.wav")
    found = scan([tmp_path])
    assert not found.files
    assert [problem.reason for problem in found.problems] == ["unreadable"] * 2


def test_a_missing_root_is_an_error_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no file or folder") as caught:
        scan([tmp_path, tmp_path / "nowhere"])
    assert caught.value.reason == "missing"


def test_empty_roots_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path / "full" / "a.txt")
    assert scan([tmp_path / "empty", tmp_path / "full"]).empty_roots == [tmp_path / "empty"]


def test_names_that_are_no_utf8_are_found(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    touch(Path(os.fsdecode(path)))
    assert list(scan([tmp_path]).files) == [path]


def test_gone_is_only_what_is_certainly_not_there(tmp_path: Path) -> None:
    file = touch(tmp_path / "a.txt")
    touch(tmp_path / "photo.jpg")
    sidecar = touch(tmp_path / "photo.txt")
    assert not is_gone(file)
    assert is_gone(sidecar)
    assert is_gone(tmp_path / "b.txt")
    assert is_gone(file / "below.txt")
    assert is_gone(tmp_path)
    # A name that is too long can't be looked at, which says nothing.
    assert not is_gone(tmp_path / ("x" * 300 + ".txt"))


def test_paths_are_absolute_and_links_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert absolute(Path("link/../link/a.txt")) == tmp_path / "link" / "a.txt"
