"""`omnidex ask`, and sessions of `omnidex search`."""

import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from .conftest import Ended

Run = Callable[..., Ended]


@pytest.fixture
def says(omnidex: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Run `ask` with these lines on stdin."""

    def run(lines: Sequence[str], *arguments: object) -> Ended:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return omnidex("ask", *arguments)

    return run


def documents(ended: Ended) -> list[dict[str, object]]:
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


def test_each_line_is_a_turn_and_each_turn_a_document(
    indexed: Path, says: Callable[..., Ended]
) -> None:
    lines = ["dogs", "", "more like 2", "only sounds", "quit", "never said"]

    first, second, third = documents(says(lines, "--json", "-k", 3))

    assert [one["turn"] for one in (first, second, third)] == [1, 2, 3]
    assert set(first) == {"schema", "turn", "words", "act", "searched", "hits", "imagined"}
    assert second["searched"]["more_like"] == [first["hits"][1]["id"]]
    assert third["searched"]["only"] == ["audio"]
    assert {hit["modality"] for hit in third["hits"]} == {"audio"}
    assert len(second["hits"]) == 3


def test_a_question_on_the_command_line_is_the_first_turn(
    indexed: Path, says: Callable[..., Ended]
) -> None:
    first, second = documents(says(["next"], "dogs", "run", "--json", "-k", 1))

    assert first["words"] == "dogs run"
    assert [hit["rank"] for hit in second["hits"]] == [2]


def test_people_see_what_is_searched_for_and_a_line_for_each_hit(
    indexed: Path, says: Callable[..., Ended]
) -> None:
    ended = says(["dogs run along the beach", "only notes", "new"], "-k", 5)

    assert ended.code == 0
    assert ended.out.splitlines()[-1].split("\t")[2:4][0] == "text"
    assert ended.err.splitlines() == [
        "Searching for: dogs run along the beach",
        "Searching for: dogs run along the beach; only text",
        "Forgotten. What now?",
    ]


def test_a_session_goes_on_and_replays(
    indexed: Path, tmp_path: Path, omnidex: Run, says: Callable[..., Ended]
) -> None:
    file = tmp_path / "session.json"
    assert says(["dogs", "more like 1"], "--session", file).code == 0
    liked = json.loads(file.read_text())["turns"][0]["hits"][0]

    ended = omnidex("search", "only", "photos", "--session", file, "--json")
    image = omnidex("search", "--image", indexed / "red.png", "--session", file)

    assert {hit["modality"] for hit in json.loads(ended.out)["hits"]} == {"image"}
    assert "only image" in ended.err
    assert image.code == 0
    assert "red.png; dogs; like " in image.err
    turns = json.loads(file.read_text())["turns"]
    assert [turn["words"] for turn in turns] == ["dogs", "more like 1", "only photos", ""]
    assert liked not in turns[1]["hits"]
    replayed = omnidex("ask", "--replay", file)
    assert (replayed.code, replayed.out) == (0, "")
    assert "4 of 4 turns find the same." in replayed.err


def test_a_replay_names_the_first_hit_that_differs(
    indexed: Path, tmp_path: Path, omnidex: Run, says: Callable[..., Ended]
) -> None:
    file = tmp_path / "session.json"
    says(["dogs", "a red square"], "--session", file, "--to", "text")
    (indexed / "other.txt").write_text("a red square\n")
    assert omnidex("index", indexed).code == 0

    ended = omnidex("ask", "--replay", file, "--json")

    assert ended.code == 1
    document = json.loads(ended.out)
    assert (document["turns"], document["answered_from_another_version"]) == (2, 2)
    last = document["differences"][-1]
    assert (last["turn"], last["words"], last["rank"]) == (2, "a red square", 1)


def test_a_turn_that_makes_no_sense_is_told_and_the_next_one_is_taken(
    indexed: Path, tmp_path: Path, says: Callable[..., Ended]
) -> None:
    file = tmp_path / "session.json"
    lines = ["dogs", "more like 99", "a cat", "open 77"]
    ended = says(lines, "--session", file)
    as_json = says(lines, "--json")

    assert ended.code == as_json.code == 2
    assert "Error: 'more like 99': there is no hit 99" in ended.err
    assert "'open 77': there is no hit 77" in ended.err
    said = [turn["words"] for turn in json.loads(file.read_text())["turns"]]
    assert said == ["dogs", "a cat"]
    errors = [json.loads(line) for line in as_json.err.splitlines() if line.startswith("{")]
    assert [error["error"]["code"] for error in errors] == ["query", "query"]
    assert [json.loads(line)["turn"] for line in as_json.out.splitlines()] == [1, 2]


def test_words_count_beside_vectors_and_can_be_left_out(
    indexed: Path, tmp_path: Path, omnidex: Run, says: Callable[..., Ended]
) -> None:
    file = tmp_path / "s.json"
    (first,) = documents(says(["red square"], "--json", "--session", file))
    (off,) = documents(says(["red square"], "--json", "--no-hybrid"))
    plain = json.loads(omnidex("search", "red", "square", "--json").out)

    assert [hit["id"] for hit in first["hits"]] == [hit["id"] for hit in plain["hits"]]
    assert first["hits"][0]["text_rank"] == 1
    assert {hit["text_rank"] for hit in off["hits"]} == {None}
    kept = json.loads(file.read_text())["turns"][0]
    assert kept["hybrid"]["weight"] == 2.0
    assert says(["red"], "--no-hybrid", "--text-weight", 1).code == 2


def test_at_a_keyboard_it_is_told_and_the_next_line_is_asked(
    indexed: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Keyboard("help\nmore like 99\ndogs\n"))
    ended = omnidex("ask", "-k", 2)

    assert ended.code == 0
    assert "search for something first" in ended.err
    assert "same but outdoors" in ended.err
    assert "Searching for: dogs" in ended.err


def test_replay_takes_nothing_else(indexed: Path, tmp_path: Path, omnidex: Run) -> None:
    assert omnidex("ask", "dogs", "--replay", tmp_path / "s.json").code == 2
    assert omnidex("ask", "--replay", tmp_path / "s.json").code == 2


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("dogs", "a question"),
        ("--imagine image:5", "--imagine"),
        ("-k 10", "-k"),
        ("--to image --where width>1", "--to, --where"),
        ("--no-hybrid", "--no-hybrid"),
    ],
)
def test_what_a_replay_would_not_follow_is_refused(
    tmp_path: Path, omnidex: Run, options: str, named: str
) -> None:
    ended = omnidex("ask", "--replay", tmp_path / "s.json", *options.split())

    assert (ended.code, ended.out) == (2, "")
    assert f"Error: --replay can't be combined with {named}\n" in ended.err


def test_open_in_a_turn_opens_the_file_and_searches_nothing(
    indexed: Path,
    tmp_path: Path,
    omnidex: Run,
    says: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[Path] = []
    monkeypatch.setattr("omnidex_cli.opening.open_file", opened.append)
    file = tmp_path / "session.json"

    ended = says(["dogs run along the beach", "open 1"], "--to", "text", "--session", file)
    again = omnidex("search", "open the first", "--session", file)

    assert opened == [indexed / "note.txt"] * 2
    assert len(ended.out.splitlines()) == 1
    assert (again.code, again.out) == (0, "")


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_a_line_that_is_not_utf8_is_told_and_the_next_one_is_taken(
    indexed: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch, errors: str
) -> None:
    lines = io.BytesIO(b"dogs\ncaf\xe9\na red square\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(lines, encoding="utf-8", errors=errors))

    ended = omnidex("ask", "--json")

    assert ended.code == 2
    assert [json.loads(line)["words"] for line in ended.out.splitlines()] == [
        "dogs",
        "a red square",
    ]
    told = json.loads(ended.err.splitlines()[-1])["error"]
    assert (told["code"], "the line is not valid UTF-8" in told["message"]) == ("usage", True)
