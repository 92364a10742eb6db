import os
from pathlib import Path

import pytest

from indexer.scan import Scan, scan
from indexer.selection import IGNORE_NAME, Passed, Selection
from omni_encoder import OmniError


def touch(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def found_in(folder: Path, selection: Selection | None = None) -> list[str]:
    return names(scan([folder], selection), folder)


def names(found: Scan, folder: Path) -> list[str]:
    return [os.path.relpath(os.fsdecode(path), folder) for path in found.files]


def reasons(found: Scan, folder: Path) -> dict[str, Passed]:
    return {
        os.path.relpath(os.fsdecode(path), folder): reason for path, reason in found.passed.items()
    }


def test_globs_take_only_what_matches_and_excludes_pass_over_files_and_folders(
    tmp_path: Path,
) -> None:
    for name in ("a.txt", "b.png", "deep/c.png", "deep/d.txt", "private/e.png", "deep/private.png"):
        touch(tmp_path / name)
    assert found_in(tmp_path, Selection(globs=("*.png",))) == [
        *("b.png", "deep/c.png", "deep/private.png", "private/e.png"),
    ]
    assert found_in(tmp_path, Selection(globs=("/deep/*",), excludes=("*.txt",))) == [
        *("deep/c.png", "deep/private.png"),
    ]
    found = scan([tmp_path], Selection(excludes=("private/", "b.*")))
    assert names(found, tmp_path) == ["a.txt", "deep/c.png", "deep/d.txt", "deep/private.png"]
    assert reasons(found, tmp_path) == {"b.png": Passed.EXCLUDED, "private": Passed.EXCLUDED}


def test_a_pattern_that_is_none_is_explained(tmp_path: Path) -> None:
    with pytest.raises(OmniError) as caught:
        scan([tmp_path], Selection(excludes=("!",)))
    assert "gitignore" in caught.value.hint


def test_ignore_files_hold_for_their_folder_and_the_nearest_has_the_last_word(
    tmp_path: Path,
) -> None:
    for name in ("a.png", "note.txt", "in/a.png", "in/b.png", "in/deep/b.png", "off/x.png"):
        touch(tmp_path / name)
    touch(tmp_path / IGNORE_NAME, "# mine\n*.png\n!b.png\n/off/\n")
    touch(tmp_path / "in" / IGNORE_NAME, "!a.png\nb.png\n")
    found = scan([tmp_path])
    assert names(found, tmp_path) == ["in/a.png", "note.txt"]
    assert reasons(found, tmp_path) == {
        "a.png": Passed.IGNORED,
        "in/b.png": Passed.IGNORED,
        "in/deep/b.png": Passed.IGNORED,
        "off": Passed.IGNORED,
    }


def test_a_folder_whose_ignore_file_cannot_be_used_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path / "a.txt")
    touch(tmp_path / "secret" / "b.txt")
    touch(tmp_path / "secret" / IGNORE_NAME, "!\n")
    found = scan([tmp_path])
    assert names(found, tmp_path) == ["a.txt"]
    assert [problem.reason for problem in found.problems] == ["ignore_file"]


def test_hidden_ones_are_taken_when_asked_for_and_system_folders_never(tmp_path: Path) -> None:
    for name in (".a.txt", ".b/c.txt", "node_modules/d.txt", "e.txt"):
        touch(tmp_path / name)
    assert found_in(tmp_path, Selection(hidden=True)) == [".a.txt", ".b/c.txt", "e.txt"]
    assert reasons(scan([tmp_path]), tmp_path) == {
        ".a.txt": Passed.HIDDEN,
        ".b": Passed.HIDDEN,
        "node_modules": Passed.SYSTEM,
    }


def test_links_that_lead_to_themselves_stop_nothing(tmp_path: Path) -> None:
    touch(tmp_path / "a.txt")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "self.png").symlink_to("self.png")
    (tmp_path / "one.wav").symlink_to("two.wav")
    (tmp_path / "two.wav").symlink_to("one.wav")
    (tmp_path / "up").symlink_to(tmp_path)
    found = scan([tmp_path])
    assert names(found, tmp_path) == ["a.txt"]
    assert sorted(problem.path.name for problem in found.problems) == [
        *("one.wav", "self.png", "two.wav"),
    ]
    assert reasons(found, tmp_path) == {"self": Passed.NOT_MEDIA, "up": Passed.LINK}


def test_what_is_not_media_is_listed_by_path(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "b.zip")
    touch(tmp_path / "Makefile")
    found = scan([tmp_path])
    assert reasons(found, tmp_path) == {"a/b.zip": Passed.NOT_MEDIA, "Makefile": Passed.NOT_MEDIA}


def test_the_longest_names_and_names_of_any_bytes_are_found(tmp_path: Path) -> None:
    long = "x" * 251 + ".png"
    odd = os.fsdecode(b"caf\xe9 \xff\n.wav")
    deep = tmp_path.joinpath(*["y" * 200] * 12)
    for path in (tmp_path / long, tmp_path / odd, deep / "z.txt"):
        touch(path)
    touch(tmp_path / ("x" * 251 + ".txt"))  # the caption of the long one
    found = scan([tmp_path])
    assert [path.rpartition(b"/")[2] for path in found.files] == [
        *(os.fsencode(odd), long.encode(), b"z.txt"),
    ]
    assert found.files[os.fsencode(tmp_path / long)].has_sidecar
