"""`omnidex index`, `status`, `show` and `rm`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Ended

Run = Callable[..., Ended]


def test_indexing_says_what_it_did_and_a_second_run_does_nothing(media: Path, omnidex: Run) -> None:
    first = omnidex("index", media, "--json")
    second = omnidex("index", media, "--json")

    assert first.code == second.code == 0
    report, again = (json.loads(ended.out)["report"] for ended in (first, second))
    # Two images, a sound and a note; red.txt is the caption of red.png.
    assert (report["scanned"], report["encoded"], report["failed"]) == (5, 4, 1)
    assert report["ignored"] == {".py": 1}
    assert [Path(problem["path"]).name for problem in report["problems"]] == ["broken.png"]
    assert (again["unchanged"], again["failed_before"]) == (4, 1)
    assert (again["encoded"], again["items"]) == (0, 0)


def test_the_summary_is_on_stdout_and_failures_are_mentioned_on_stderr(
    media: Path, omnidex: Run
) -> None:
    ended = omnidex("index", media)

    facts = dict(line.split("\t") for line in ended.out.splitlines())
    assert facts["files"] == "5"
    assert facts["failed"] == "1"
    assert ended.err == "1 file could not be indexed; see: omnidex status --problems\n"
    again = dict(line.split("\t") for line in omnidex("index", media).out.splitlines())
    assert (again["unchanged"], again["failed before"]) == ("4", "1")


def test_a_folder_without_media_is_nothing_found(tmp_path: Path, omnidex: Run) -> None:
    (tmp_path / "empty").mkdir()

    ended = omnidex("index", tmp_path / "empty")

    assert ended.code == 1
    assert "No media found" in ended.err


def test_a_folder_without_media_is_an_error_in_json(tmp_path: Path, omnidex: Run) -> None:
    (tmp_path / "empty").mkdir()

    ended = omnidex("index", tmp_path / "empty", "--json")

    assert ended.code == 1
    assert json.loads(ended.out)["report"]["scanned"] == 0
    assert json.loads(ended.err)["error"]["code"] == "nothing-found"


def test_a_folder_that_is_empty_now_keeps_its_items_and_says_so(
    indexed: Path, omnidex: Run
) -> None:
    for path in indexed.iterdir():
        path.unlink()

    plain = omnidex("index", indexed)
    as_json = omnidex("index", indexed, "--json")
    pruned = omnidex("index", indexed, "--prune")

    assert plain.code == as_json.code == pruned.code == 1
    assert "files that the collection knows of are kept" in plain.err
    assert "--prune" in plain.err
    assert "--prune" in json.loads(as_json.err)["error"]["hint"]
    assert "kept" not in pruned.err


def test_a_missing_path_makes_no_collection(media: Path, tmp_path: Path, omnidex: Run) -> None:
    ended = omnidex("index", media, tmp_path / "absent")

    assert ended.code == 2
    assert "absent" in ended.err
    assert not (tmp_path / "collection").exists()


def test_an_encoder_that_cannot_be_loaded_is_one_error(media: Path, omnidex: Run) -> None:
    ended = omnidex("index", media, "--encoder", "broken", "--json")

    assert ended.code == 2
    assert json.loads(ended.err)["error"] == {
        "message": "there is no encoder called 'broken'",
        "hint": "use omni",
        "code": "encoder",
    }


def test_another_encoder_is_refused_by_name(indexed: Path, omnidex: Run) -> None:
    ended = omnidex("index", indexed, "--encoder", "open_clip:ViT-B-32/openai", "--json")

    error = json.loads(ended.err)["error"]
    assert ended.code == 2
    assert error["code"] == "encoder-mismatch"
    assert "--encoder omni" in error["hint"]


def test_the_collection_option_wins_over_the_environment(
    media: Path, tmp_path: Path, omnidex: Run
) -> None:
    assert omnidex("index", media, "-c", tmp_path / "other").code == 0

    assert not (tmp_path / "collection").exists()
    status = json.loads(omnidex("status", "-c", tmp_path / "other", "--json").out)
    assert status["collection"] == str(tmp_path / "other")


def test_without_option_and_environment_the_user_data_folder_is_used(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, omnidex: Run
) -> None:
    monkeypatch.delenv("OMNIDEX_COLLECTION")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))

    assert omnidex("index", media).code == 0

    directory = Path(json.loads(omnidex("status", "--json").out)["collection"])
    assert directory.name == "default"
    assert directory.is_relative_to(tmp_path)


def test_a_file_that_failed_is_read_again_only_when_asked(indexed: Path, omnidex: Run) -> None:
    again = json.loads(omnidex("index", indexed, "--json").out)["report"]
    retried = json.loads(omnidex("index", indexed, "--retry-failed", "--json").out)["report"]

    assert again["failed"] == 0
    assert retried["failed"] == 1


def test_status_counts_and_lists_problems(indexed: Path, omnidex: Run) -> None:
    status = json.loads(omnidex("status", "--json").out)
    listed = json.loads(omnidex("status", "--problems", "--json").out)
    plain = omnidex("status", "--problems")

    assert status["items"] == {"text": 1, "image": 2, "audio": status["items"]["audio"]}
    assert status["encoder"]["name"] == "omni"
    assert status["problem_count"] == 1
    assert "problems" not in status
    assert [Path(problem["path"]).name for problem in listed["problems"]] == ["broken.png"]
    reason, path, message = plain.out.rstrip("\n").split("\t")
    assert (reason, Path(path).name) == (listed["problems"][0]["reason"], "broken.png")
    assert message


def test_show_takes_the_first_digits_of_an_id(indexed: Path, omnidex: Run) -> None:
    hits = json.loads(omnidex("search", "dogs", "--to", "image", "--json").out)["hits"]
    red = next(hit for hit in hits if hit["path"].endswith("red.png"))

    item = json.loads(omnidex("show", red["id"][:10], "--json").out)["item"]
    facts = dict(line.split("\t") for line in omnidex("show", red["id"]).out.splitlines())

    assert item["id"] == red["id"]
    assert item["caption"] == "a red square"
    assert (item["width"], item["height"]) == (48, 40)
    assert facts["path"] == str(indexed / "red.png")
    assert facts["pixels"] == "48 x 40"


def test_rm_forgets_by_path_and_by_id_and_leaves_the_files(indexed: Path, omnidex: Run) -> None:
    note = json.loads(omnidex("search", "dogs", "--to", "text", "--json").out)["hits"][0]

    by_path = json.loads(omnidex("rm", indexed / "red.png", "-y", "--json").out)
    by_id = omnidex("rm", note["id"][:12])

    assert by_path["paths"] == [str(indexed / "red.png")]
    assert by_path["items_removed"] == 1
    assert by_id.code == 0
    assert "files themselves stay" in by_id.out
    assert (indexed / "red.png").exists()
    assert (indexed / "note.txt").exists()
    items = json.loads(omnidex("status", "--json").out)["items"]
    assert items["image"] == 1
    assert "text" not in items


@pytest.mark.parametrize(("answer", "left"), [("y\n", 1), ("\n", 2), ("", 2)])
def test_on_a_terminal_rm_asks_first(
    answer: str,
    left: int,
    indexed: Path,
    monkeypatch: pytest.MonkeyPatch,
    omnidex: Run,
) -> None:
    monkeypatch.setattr("omnidex_cli.render.may_ask", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: answer, raising=False)

    ended = omnidex("rm", indexed / "red.png")

    assert ended.code == (0 if left == 1 else 2)
    assert "[y/N]" in ended.err
    assert json.loads(omnidex("status", "--json").out)["items"]["image"] == left


def test_what_is_not_in_the_collection_cannot_be_removed(indexed: Path, omnidex: Run) -> None:
    for target in ("/nowhere/file.jpg", "ffffffffff"):
        ended = omnidex("rm", target, "-y")

        assert ended.code == 2
        assert target in ended.err


def test_a_dry_run_prints_what_would_happen_and_makes_no_collection(
    media: Path, tmp_path: Path, omnidex: Run
) -> None:
    plain = omnidex("index", media, "--dry-run", "-E", "*.wav")
    as_json = json.loads(omnidex("index", media, "-n", "--json").out)

    lines = [line.split("\t") for line in plain.out.splitlines()]
    assert [(action, Path(path).name, why) for action, path, why in lines] == [
        *(("encode", name, "new") for name in ("blue.jpg", "broken.png", "note.txt", "red.png")),
        ("pass", "program.py", "not_media"),
        ("pass", "tone.wav", "excluded"),
    ]
    assert plain.err == "Nothing was changed: 4 to encode, 2 to pass, 0 unchanged.\n"
    assert as_json["counts"] == {"encode": 5, "pass": 1}
    assert not (tmp_path / "collection").exists()


def test_what_was_passed_over_is_listed(indexed: Path, omnidex: Run) -> None:
    plain = omnidex("status", "--passed-over")
    as_json = json.loads(omnidex("status", "--passed-over", "--json").out)

    reason, path = plain.out.rstrip("\n").split("\t")
    assert (reason, Path(path).name) == ("not_media", "program.py")
    assert as_json["passed"] == [{"path": str(indexed / "program.py"), "reason": "not_media"}]


def test_a_home_or_a_drive_is_indexed_only_when_it_is_meant(
    media: Path, monkeypatch: pytest.MonkeyPatch, omnidex: Run
) -> None:
    monkeypatch.setenv("HOME", str(media))

    for root in (media, media.parent, "/"):
        ended = omnidex("index", root, "-n")
        assert ended.code == 2
        assert "--yes" in ended.err
    assert omnidex("index", media, "--yes").code == 0
    assert omnidex("index", media / "red.png").code == 0


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 2)])
def test_on_a_terminal_a_home_is_asked_for(
    answer: str, code: int, media: Path, monkeypatch: pytest.MonkeyPatch, omnidex: Run
) -> None:
    monkeypatch.setenv("HOME", str(media))
    monkeypatch.setattr("omnidex_cli.render.may_ask", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: answer, raising=False)

    assert omnidex("index", media).code == code


def test_a_pattern_that_is_none_is_one_error(media: Path, omnidex: Run) -> None:
    ended = omnidex("index", media, "-E", "!")

    assert ended.code == 2
    assert "gitignore" in ended.err


@pytest.mark.parametrize(
    "options", [("--dry-run", "--watch"), ("--dry-run", "--optimize"), ("--watch", "--optimize")]
)
def test_options_of_which_one_would_do_nothing_are_refused(
    media: Path, omnidex: Run, options: tuple[str, str]
) -> None:
    ended = omnidex("index", media, *options)
    assert ended.code == 2
    assert "can't be combined" in ended.err
