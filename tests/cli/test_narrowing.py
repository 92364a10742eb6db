"""What narrows `omnidex search`, and the commands that look after the search cache."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.toy import ToyEncoder

from .conftest import Ended

Run = Callable[..., Ended]


def names(omnidex: Run, *arguments: object) -> set[str]:
    ended = omnidex("search", "dogs", "--json", *arguments)
    assert ended.code in (0, 1), ended.err
    return {Path(hit["path"]).name for hit in json.loads(ended.out)["hits"]}


def test_folders_dates_and_types_choose_before_the_search(media: Path, omnidex: Run) -> None:
    (media / "old").mkdir()
    (media / "red.png").rename(media / "old" / "crimson.png")
    os.utime(media / "old" / "crimson.png", (1_000_000_000, 1_000_000_000))  # in 2001
    omnidex("index", media)

    assert names(omnidex, "--in", media / "old", "-k", 1) == {"crimson.png"}
    assert names(omnidex, "--before", "2010", "-k", 1) == {"crimson.png"}
    assert names(omnidex, "--after", "2001-09-08") >= {"crimson.png", "blue.jpg"}
    assert "crimson.png" not in names(omnidex, "--after", "2002-01-01T12:00")
    assert names(omnidex, "--type", "jpg") == {"blue.jpg"}
    assert names(omnidex, "--type", ".PNG,audio/*") == {"crimson.png", "tone.wav"}
    assert names(omnidex, "--type", "png", "--where", "width > 1000") == set()
    assert names(omnidex, "--exact", "--merge", "rank") == names(omnidex)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--after", "yesterday"], "2024-06-30"),
        (["--before", "2024-13"], "--before"),
        (["--type", ","], "--type"),
        (["--merge", "best"], "standard"),
        (["--device", "tpu"], "cuda"),
        (["--where", "widht > 1", "--type", "jpg"], "'widht > 1'"),
    ],
)
def test_what_cant_be_understood_is_an_error_with_a_hint(
    indexed: Path, omnidex: Run, arguments: list[str], said: str
) -> None:
    ended = omnidex("search", "dogs", *arguments)
    assert ended.code == 2
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_status_and_optimize_say_how_a_collection_is_searched(indexed: Path, omnidex: Run) -> None:
    state = json.loads(omnidex("status", "--json").out)["search"]
    assert state["current"]
    assert {one["modality"] for one in state["partitions"]} == {"text", "image", "audio"}
    assert all(one["method"] == "exact" and not one["tail"] for one in state["partitions"])
    assert "image search" in omnidex("status").out

    assert omnidex("index", "--optimize", "--recall", "0.95").code == 0
    assert json.loads(omnidex("index", "--optimize", "--json").out)["search"]["current"]
    assert omnidex("index", "--recall", "0.95").code == 2
    assert omnidex("index").code == 2


def test_an_earlier_state_is_listed_and_brought_back(indexed: Path, omnidex: Run) -> None:
    [first] = json.loads(omnidex("history", "--json").out)["versions"]
    omnidex("rm", indexed / "blue.jpg")
    assert len(json.loads(omnidex("history", "--json").out)["versions"]) == 2

    ended = omnidex("restore", first["version"], "--json")

    assert json.loads(ended.out)["items"] == first["items"]
    assert "current" in omnidex("history").out
    assert omnidex("restore", 999).code == 2


def test_items_are_exported_and_imported_by_the_encoder_that_is_named(
    indexed: Path, omnidex: Run, tmp_path: Path
) -> None:
    items = sum(json.loads(omnidex("status", "--json").out)["items"].values())
    assert omnidex("export", tmp_path / "items.parquet").code == 0
    assert omnidex("export", tmp_path / "items.parquet").code == 2
    assert omnidex("export", tmp_path / "items").code == 2  # which form?

    other = ["-c", tmp_path / "other"]
    imported = omnidex("import", tmp_path / "items.parquet", "--encoder", "toy", *other, "--json")

    assert json.loads(imported.out)["items"] == items
    found = json.loads(omnidex("search", "dogs", "--json", *other).out)["hits"]
    assert {hit["modality"] for hit in found} == {"text", "image", "audio"}
    assert found[0]["text"] == "dogs run along the beach"


def test_a_folder_that_is_not_there_or_not_indexed_is_named(
    indexed: Path, omnidex: Run, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    ended = omnidex("search", "dogs", "--in", tmp_path / "gone", "--in", tmp_path / "empty")
    assert ended.code == 1
    assert f"there is no folder {tmp_path / 'gone'}" in ended.err
    assert f"omnidex index {tmp_path / 'empty'}" in ended.err

    ended = omnidex("search", "dogs", "--in", indexed, "--after", "2090")
    assert (ended.code, ended.err) == (1, "Nothing found.\n")


@pytest.mark.parametrize(
    ("count", "said"), [(1, "1 content was left out, as some of its"), (2, "2 contents were left")]
)
def test_import_says_how_many_contents_lack_parts(
    tmp_path: Path, omnidex: Run, count: int, said: str
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    facts = [{"modality": "text", "content": f"{i}" * 32, "part": 0, "parts": 2} for i in range(2)]
    facts = [*facts[:count], {"modality": "image", "content": "a" * 32}]
    np.save(folder / "any.npy", np.ones((len(facts), ToyEncoder().spec.dim), np.float32))
    (folder / "any.jsonl").write_text("".join(json.dumps(one) + "\n" for one in facts))

    ended = omnidex("import", folder, "--encoder", "toy", "--as", "numpy")

    assert ended.out.startswith("Added 1 item to ")
    assert said in ended.err


def test_of_two_copies_one_is_forgotten_and_the_items_stay(indexed: Path, omnidex: Run) -> None:
    (indexed / "copy.jpg").write_bytes((indexed / "blue.jpg").read_bytes())
    assert omnidex("index", indexed).code == 0

    ended = omnidex("rm", indexed / "copy.jpg", "-y")
    assert ended.out.startswith("Forgot 1 file and removed no items: other files there hold")

    omnidex("index", indexed)
    ended = omnidex("rm", indexed / "copy.jpg", indexed / "red.png", "--json")
    said = json.loads(ended.out)
    assert (said["items_removed"], said["copies"], len(said["paths"])) == (1, 1, 2)

    ended = omnidex("rm", indexed / "blue.jpg")
    assert ended.out.startswith("Removed 1 item of 1 file from the collection; the files")


def test_restore_says_what_has_no_file_and_what_was_current(indexed: Path, omnidex: Run) -> None:
    [first] = json.loads(omnidex("history", "--json").out)["versions"]
    ended = omnidex("restore", first["version"])
    assert "is the current one, so nothing was done" in ended.out
    assert json.loads(omnidex("history", "--json").out)["versions"] == [first]

    omnidex("rm", indexed / "blue.jpg")
    ended = omnidex("restore", first["version"])
    assert f"Version {first['version']} is back: {first['items']} items." in ended.out
    assert "Of 1 of them no file is known" in ended.err

    omnidex("index", indexed)
    [last, *_] = json.loads(omnidex("history", "--json").out)["versions"]
    assert json.loads(omnidex("restore", last["version"], "--json").out)["without_files"] == 0
