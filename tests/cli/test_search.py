"""`omnidex search`."""

import json
from collections.abc import Callable
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest

from .conftest import Ended, process

Run = Callable[..., Ended]

HIT_KEYS = {
    *("rank", "id", "path", "paths", "modality", "score", "span", "mime"),
    *("title", "caption", "text", "width", "height", "duration_s"),
    *("percentile", "expected", "weak"),
    *("vector_rank", "text_rank", "imagined_rank", "flow_rank"),
}


def search(omnidex: Run, *arguments: object) -> list[dict[str, object]]:
    ended = omnidex("search", *arguments, "--json")
    assert ended.code == 0, ended.err
    assert ended.out.count("\n") == 1
    assert ended.err == ""
    return json.loads(ended.out)["hits"]


def test_json_is_one_document_with_the_query_and_every_field_of_a_hit(
    indexed: Path, omnidex: Run
) -> None:
    ended = omnidex("search", "dogs", "on", "the beach", "--to", "audio,text", "-k", 2, "--json")

    document = json.loads(ended.out)
    assert set(document) == {"schema", "query", "imagined", "hits", "synthetic", "rerank"}
    assert document["schema"] == 1
    assert document["query"] == {
        "terms": [{"modality": "text", "text": "dogs on the beach"}],
        "compose": "arithmetic",
        "to": ["audio", "text"],
        "k": 2,
        "where": None,
        "all_parts": False,
        "in": [],
        "types": [],
        "after": None,
        "before": None,
        "exact": False,
        "merge": "cosine",
        "hybrid": True,
        "text_weight": 2.0,
    }
    assert [hit["rank"] for hit in document["hits"]] == [1, 2]
    assert all(set(hit) == HIT_KEYS for hit in document["hits"])
    by_kind = {hit["modality"]: hit for hit in document["hits"]}
    assert by_kind["text"]["span"] is None
    assert by_kind["text"]["text"] == "dogs run along the beach"
    span = by_kind["audio"]["span"]
    assert 0 <= span["start_s"] < span["end_s"]
    assert by_kind["audio"]["path"] == str(indexed / "tone.wav")
    assert by_kind["audio"]["duration_s"] == pytest.approx(12)


def test_a_file_finds_itself_first_by_every_flag(indexed: Path, omnidex: Run) -> None:
    image = search(omnidex, "--image", indexed / "red.png", "--to", "image")
    audio = search(omnidex, "--audio", indexed / "tone.wav", "--to", "audio")
    text = search(omnidex, "--text", "dogs run along the beach", "--to", "text")

    assert image[0]["path"] == str(indexed / "red.png")
    assert audio[0]["path"] == str(indexed / "tone.wav")
    assert text[0]["path"] == str(indexed / "note.txt")


def test_like_leaves_the_item_itself_out(indexed: Path, omnidex: Run) -> None:
    red = search(omnidex, "--image", indexed / "red.png", "--to", "image")[0]

    like = search(omnidex, "--like", str(red["id"])[:8], "--to", "image")

    assert [hit["path"] for hit in like] == [str(indexed / "blue.jpg")]


def test_an_indexed_file_stands_for_its_item(
    indexed: Path, tmp_path: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(indexed)

    for given in ("red.png", "../media/red.png", indexed / "red.png"):
        like = search(omnidex, "--like", given, "--to", "image")
        shown = json.loads(omnidex("show", given, "--json").out)["item"]
        assert [hit["path"] for hit in like] == [str(indexed / "blue.jpg")]
        assert shown["path"] == str(indexed / "red.png")
    sound = json.loads(omnidex("show", "tone.wav", "--json").out)["item"]
    assert sound["span"]["start_s"] == 0
    (indexed / "it's.png").write_bytes((indexed / "red.png").read_bytes())
    for command in (["show"], ["search", "--like"]):
        absent = omnidex(*command, "it's.png")
        assert absent.code == 2
        assert "no item of the collection is from it's.png" in absent.err
        odd = omnidex(*command, "./caf\udce9.png")
        assert odd.code == 2
        assert "no item of the collection is from ./caf" in odd.err


def test_parts_of_a_query_may_be_repeated_and_combined(indexed: Path, omnidex: Run) -> None:
    ended = omnidex(
        *("search", "a beach", "--text", "at night", "--image", indexed / "red.png"),
        *("--image", indexed / "blue.jpg", "--audio", indexed / "tone.wav", "--json"),
    )

    assert json.loads(ended.out)["query"]["terms"] == [
        {"modality": "text", "text": "a beach"},
        {"modality": "text", "text": "at night"},
        {"modality": "image", "file": str(indexed / "red.png")},
        {"modality": "image", "file": str(indexed / "blue.jpg")},
        {"modality": "audio", "file": str(indexed / "tone.wav")},
    ]


def test_all_parts_gives_several_hits_of_one_file(indexed: Path, omnidex: Run) -> None:
    best = search(omnidex, "dogs", "--to", "audio")
    parts = search(omnidex, "dogs", "--to", "audio", "--all-parts")

    assert len(best) == 1
    assert len(parts) > 1


def test_a_dash_reads_the_text_from_stdin(
    indexed: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("dogs run along the beach\n"))

    assert search(omnidex, "-", "--to", "text")[0]["path"] == str(indexed / "note.txt")


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [("  \n", ["-"], "empty text"), ("dogs", ["-", "--text", "-"], "only once")],
)
def test_stdin_must_hold_a_text_and_is_read_once(
    text: str,
    arguments: list[str],
    message: str,
    omnidex: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(text))

    ended = omnidex("search", *arguments)

    assert ended.code == 2
    assert message in ended.err


def test_where_filters_and_finding_nothing_is_exit_1(indexed: Path, omnidex: Run) -> None:
    wide = search(omnidex, "dogs", "--where", "width = 48 and path like '%red%'")
    none = omnidex("search", "dogs", "--where", "width > 5000")
    none_json = omnidex("search", "dogs", "--where", "width > 5000", "--json")
    wrong = omnidex("search", "dogs", "--where", "wdth > 5000", "--json")

    assert [hit["path"] for hit in wide] == [str(indexed / "red.png")]
    assert (none.code, none.out, none.err) == (1, "", "Nothing found.\n")
    assert none_json.code == 1
    assert json.loads(none_json.out)["hits"] == []
    assert none_json.err == ""
    assert wrong.code == 2
    assert json.loads(wrong.err)["error"]["code"] == "query"


def test_paths_are_printed_once_each_one_a_line_or_ended_by_nul(
    indexed: Path, omnidex: Run
) -> None:
    lines = omnidex("search", "dogs", "--to", "image", "-l").out
    nuls = omnidex("search", "dogs", "--to", "image", "-0").out

    expected = {str(indexed / "red.png"), str(indexed / "blue.jpg")}
    assert set(lines.splitlines()) == expected
    assert lines.endswith("\n")
    assert set(nuls.rstrip("\0").split("\0")) == expected
    assert nuls.endswith("\0")
    parts = omnidex("search", "dogs", "--to", "audio", "--all-parts", "-l").out
    assert parts == f"{indexed / 'tone.wav'}\n"


def test_piped_hits_are_tab_separated_without_boxes_or_headings(
    indexed: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(indexed)

    rows = [line.split("\t") for line in omnidex("search", "dogs").out.splitlines()]

    assert {len(row) for row in rows} == {7}
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert {row[3] for row in rows} == {"red.png", "blue.jpg", "note.txt", "tone.wav"}
    by_path = {row[3]: row for row in rows}
    assert by_path["red.png"][5] == "a red square"
    assert by_path["tone.wav"][4] in {"0:00-0:10", "0:05-0:12"}
    assert all(-1 <= float(row[1]) <= 1 for row in rows)


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ("--image absent.jpg", "there is no file", "--image takes one image file"),
        ("--image .", "is a folder", ""),
        ("--image note.txt", "holds text", "omnidex search - <"),
        ("--audio red.png", "holds image", "omnidex search --image"),
        ("--video tone.wav", "holds audio", "omnidex search --audio"),
        ("--image broken.png", "broken.png", ""),
    ],
)
def test_a_file_that_cannot_be_searched_by_is_one_clear_error(
    given: str, message: str, hint: str, indexed: Path, omnidex: Run
) -> None:
    flag, _, name = given.partition(" ")

    ended = omnidex("search", flag, indexed / name)

    assert ended.code == 2
    assert ended.out == ""
    assert message in ended.err
    assert hint in ended.err
    assert "Traceback" not in ended.err


def test_a_bare_word_that_is_a_file_gets_a_note(
    indexed: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(indexed)

    ended = omnidex("search", "red.png")

    assert ended.code == 0
    assert "--image red.png" in ended.err


def test_an_unknown_or_malformed_id_is_an_error(indexed: Path, omnidex: Run) -> None:
    for given in ("ffffffff", "no id"):
        ended = omnidex("search", "--like", given, "--json")

        assert ended.code == 2
        assert given in json.loads(ended.err)["error"]["message"]


def test_what_is_neither_an_id_nor_a_file_is_called_that(
    indexed: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    neither = "'missing.jpg' is neither an id nor an indexed file"
    assert neither in omnidex("search", "--like", "missing.jpg").err
    assert neither in omnidex("search", "dogs", "--not", "like:missing.jpg").err
    assert neither in omnidex("show", "missing.jpg").err
    (indexed / "blue.jpg").unlink()  # a drive may be off: what was indexed is still known
    monkeypatch.chdir(indexed)
    assert omnidex("search", "--like", "blue.jpg").code == 0


def test_hits_without_a_file_are_counted_where_only_paths_are_printed(
    indexed: Path, tmp_path: Path, omnidex: Run
) -> None:
    assert omnidex("export", tmp_path / "items.parquet").code == 0
    collection = tmp_path / "imported"
    brought = omnidex("import", tmp_path / "items.parquet", "--encoder", "omni", "-c", collection)
    assert brought.code == 0, brought.err
    ended = omnidex("search", "dogs", "-l", "-c", collection)

    assert (ended.code, ended.out) == (0, "")
    assert "4 of 4 hits have no file" in ended.err
    assert "no file" not in omnidex("search", "dogs", "-l").err


@pytest.mark.parametrize("length", [256, 5000])
def test_a_text_too_long_for_a_file_name_is_searched_for(
    length: int, indexed: Path, omnidex: Run
) -> None:
    words = ("dogs run along the beach " * 300)[:length]

    assert search(omnidex, words, "--to", "text")[0]["path"] == str(indexed / "note.txt")
    no_file = omnidex("search", "--image", words)
    assert no_file.code == 2
    assert "there is no file dogs run" in no_file.err


@pytest.mark.parametrize("arguments", [["caf\udce9"], ["dogs", "--where", "path = 'caf\udce9'"]])
def test_a_query_that_is_not_utf8_is_one_clear_error(
    arguments: list[str], indexed: Path, omnidex: Run
) -> None:
    ended = omnidex("search", *arguments, "--json")

    assert ended.code == 2
    assert json.loads(ended.err)["error"]["code"] == "usage"
    assert "not valid UTF-8" in ended.err


def test_an_argument_and_stdin_that_are_not_utf8_are_refused(
    indexed: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = process("search", b"caf\xe9")
    assert given.returncode == 2
    assert b"the query is not valid UTF-8" in given.stderr
    for errors in ("strict", "surrogateescape"):
        stdin = TextIOWrapper(BytesIO(b"caf\xe9"), encoding="utf-8", errors=errors)
        monkeypatch.setattr("sys.stdin", stdin)
        ended = omnidex("search", "-")

        assert ended.code == 2
        assert "is not valid UTF-8" in ended.err
        assert "Traceback" not in ended.err


def test_an_empty_filter_is_named(indexed: Path, omnidex: Run) -> None:
    ended = omnidex("search", "dogs", "--where", " ")

    assert ended.code == 2
    assert "--where is empty" in ended.err


def test_rerank_says_that_it_does_not_pay_and_keeps_the_order(indexed: Path, omnidex: Run) -> None:
    plain = omnidex("search", "red")
    again = omnidex("search", "red", "--rerank", "flow")

    assert again.out == plain.out
    assert "doesn't pay" in again.err


@pytest.mark.parametrize("wrong", ["flow:1", "flow:x", "flow:", "flow:20:2", "flow:20:", "cosine"])
def test_a_wrong_rerank_is_a_usage_error(indexed: Path, omnidex: Run, wrong: str) -> None:
    ended = omnidex("search", "red", "--rerank", wrong)

    assert ended.code == 2
    assert "flow:20:0.2" in ended.err
