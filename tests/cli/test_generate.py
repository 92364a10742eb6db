"""`omnidex generate` and `omnidex chat` on a tiny random model."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny_generator import TinyFiles, write_tiny_generator

from .conftest import Ended

Run = Callable[..., Ended]
FAST = ("--steps", "1", "--guidance", "1")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TinyFiles:
    return write_tiny_generator(tmp_path_factory.mktemp("tiny"))


def test_a_prompt_of_words_and_files_is_drawn_to_a_file(
    files: TinyFiles, media: Path, tmp_path: Path, omnidex: Run
) -> None:
    out = tmp_path / "out.gif"
    command = ["generate", "red", f"@{media / 'red.png'}", "on", "it", "--with", media / "tone.wav"]

    ended = omnidex(*command, "--to", "video", "-o", out, *FAST, *files.options())

    assert (ended.code, ended.out) == (0, f"{out}\n"), ended.err
    assert out.read_bytes().startswith(b"GIF8")
    again = omnidex("generate", f"@{out}", "--to", "text", *FAST, *files.options(), "--json")
    assert len(json.loads(again.out)["texts"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["generate", "a", "--to", "smell"], "no kind called 'smell'", "text, image"),
        (["generate", "a", "--to", "vidio", "-o", "x.gif"], "no kind", "did you mean video?"),
        (["generate", "--to", "text"], "nothing to start from", "give words"),
        (["generate", " ", "--to", "text"], "nothing to start from", "give words"),
        (["generate", "a"], "where should it go?", "-o FILE"),
        (["generate", "a", "-o", "x.wav"], "can't hold image", ".png"),
        (["generate", "@none.png", "--to", "text"], "no file none.png", "name a picture"),
        (["generate", "word " * 90, "--to", "text"], "a text must have 1 to 61", "fewer words"),
        (["chat", "a", "--to", "smell"], "no kind called 'smell'", "text, image"),
        (["chat", "--replay", "none.json"], "no session none.json", "name a file"),
        (["chat", "a", "--session", "nowhere/s.json"], "no folder nowhere", "make it"),
    ],
)
def test_mistakes_are_one_message_with_a_hint(
    files: TinyFiles, omnidex: Run, arguments: list[str], message: str, hint: str
) -> None:
    ended = omnidex(*arguments, *files.options())

    assert ended.code == 2
    assert ended.out == ""
    assert message in ended.err
    assert hint in ended.err
    assert ended.err.count("\n") == 2


def test_options_that_do_nothing_are_told(files: TinyFiles, tmp_path: Path, omnidex: Run) -> None:
    ask = ("generate", "a", "--seconds", "3", "--hold", "0.5", *FAST, *files.options())
    text = omnidex(*ask, "--to", "text", "--attention", "block-causal", "--refresh", 2)
    sound = omnidex(*ask, "--to", "audio", "-o", tmp_path / "a.wav")
    plain = omnidex("generate", "a", "--to", "text", *FAST, *files.options())

    assert text.code == sound.code == 0
    assert text.err.splitlines() == [
        "--seconds does nothing here: it is for sounds, and this is text.",
        "--hold does nothing here: it is for videos, and this is text.",
        "--refresh does nothing here: it is for full attention; else the prompt is computed once.",
    ]
    assert sound.err == "--hold does nothing here: it is for videos, and this is audio.\n"
    assert plain.err == ""


def test_a_session_goes_on_and_replays(
    files: TinyFiles, media: Path, tmp_path: Path, omnidex: Run
) -> None:
    session = tmp_path / "s.json"
    common = ("--session", session, *FAST, *files.options())

    first = omnidex("chat", "what", "--image", media / "red.png", *common)
    second = omnidex("chat", "draw", "--to", "image", "--json", *common)
    replayed = omnidex("chat", "--replay", session, *files.options())

    assert (first.code, second.code, replayed.code) == (0, 0, 0), second.err + replayed.err
    answer = json.loads(second.out)
    assert answer["turn"] == 2
    assert Path(answer["answer"]) == tmp_path / "s-002.png"
    assert (tmp_path / "s-002.png").is_file()
    assert "turn 2" in second.err
    assert replayed.out.count("the same") == 2
    said = json.loads(session.read_text())["turns"][0]["said"]
    assert [message["source"] for message in said] == [str(media / "red.png"), "what"]

    document = json.loads(session.read_text())
    document["turns"][0]["rule"]["seed"] = 77
    session.write_text(json.dumps(document))
    other = omnidex("chat", "--replay", session, "--json", *files.options())
    assert other.code == 1
    assert [turn["agrees"] for turn in json.loads(other.out)["turns"]] == [False, True]


def test_turns_are_read_from_stdin(
    files: TinyFiles, media: Path, tmp_path: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = media / "a picture.png"
    (media / "red.png").rename(picture)
    lines = f'/to image\nlike @"{picture}"\n/undo\n/to text\nwrite @@home\n/quit\nnever said\n'
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    session = tmp_path / "s.json"

    ended = omnidex("chat", "--session", session, *FAST, *files.options())

    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[0] == str(tmp_path / "s-001.png")
    turns = json.loads(session.read_text())["turns"]
    assert [[message["source"] for message in turn["said"]] for turn in turns] == [["write @home"]]
    monkeypatch.setattr("sys.stdin", io.StringIO("/dance\nand on\n/dance\n"))
    bad = omnidex("chat", "-s", session, *FAST, *files.options())
    assert bad.code == 2
    assert bad.err.count("Error: '/dance': there is no command /dance\nHint: /help lists them") == 2
    assert len(json.loads(session.read_text())["turns"]) == 2
    monkeypatch.setattr("sys.stdin", io.StringIO(f"@{media / 'tone.wav'}\n"))
    again = omnidex("chat", "-s", session, "--new", "--to", "audio", *FAST, *files.options())
    assert again.out == f"{tmp_path / 's-001.wav'}\n"


def test_a_turn_that_is_not_utf8_is_told_and_the_next_one_is_taken(
    files: TinyFiles, tmp_path: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = io.BytesIO(b"caf\xe9\nhello\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(lines, encoding="utf-8"))
    session = tmp_path / "s.json"

    ended = omnidex("chat", "--session", session, *FAST, *files.options())

    assert ended.code == 2
    assert "the text is not valid UTF-8" in ended.err
    assert "Traceback" not in ended.err
    assert len(json.loads(session.read_text())["turns"]) == 1
