"""Tables on a terminal, and text that may hold anything."""

import json
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omnidex_cli import render
from omnidex_cli.plain import counted, printable
from omnidex_cli.search import _COLUMNS
from rich.cells import cell_len
from rich.console import Console

ROW = ["10", "0.512", "video", "holiday/beach.mp4", "1:00:01-1:00:11", "dogs", "0123456789.12"]


def drawn(rows: list[list[str]], width: int) -> list[str]:
    out = StringIO()
    render.terminal_table(_COLUMNS, rows, Console(file=out, width=width, no_color=True))
    return out.getvalue().splitlines()


@given(
    path=st.text(min_size=1, max_size=200),
    snippet=st.text(max_size=120),
    span=st.sampled_from(["", "0:00-0:10", "1:00:01-1:00:11"]),
    width=st.sampled_from([80, 100, 132]),
)
def test_a_table_of_hits_fits_the_terminal(path: str, snippet: str, span: str, width: int) -> None:
    lines = drawn([["1", "0.123", "audio", path, span, snippet, "0123456789.12"], ROW], width)

    assert all(cell_len(line) <= width for line in lines)


def test_the_whole_path_is_shown_even_where_it_takes_several_lines() -> None:
    path = "/somewhere/" + "x" * 150 + "/picture.jpg"

    lines = drawn([[*ROW[:3], path, ROW[4], "", ROW[6]]], 80)

    start = lines[0].index("path")
    end = lines[0].index("  at")
    assert "".join(line[start:end].strip() for line in lines[1:]) == path


def test_columns_without_content_are_left_out_and_ids_are_always_there() -> None:
    still = [*ROW[:4], "", "", ROW[6]]

    assert drawn([still], 80)[0].split() == ["#", "score", "kind", "path", "id"]
    assert drawn([ROW], 80)[0].split() == ["#", "score", "kind", "path", "at", "id"]
    assert drawn([ROW], 120)[0].split() == ["#", "score", "kind", "path", "at", "what", "id"]
    assert ROW[6] in drawn([ROW], 80)[1]


def test_on_a_narrow_terminal_a_snippet_is_one_line_below_the_path() -> None:
    lines = drawn([[*ROW[:5], "dogs run along the beach " * 5, ROW[6]]], 80)

    assert len(lines) == 3
    start = lines[0].index("path")
    assert lines[2][start:].startswith("dogs run")
    assert lines[2].rstrip().endswith("…")
    assert not lines[2][:start].strip()


def test_long_messages_of_problems_are_folded() -> None:
    message = "it ends in the middle of a word that is long " * 5
    columns = (
        render.Column("reason"),
        *(render.Column(title, overflow="fold") for title in ("path", "what")),
    )
    for path in ("b.png", "/somewhere/" + "x" * 150 + "/picture.jpg"):
        out = StringIO()
        console = Console(file=out, width=80, no_color=True)
        render.terminal_table(columns, [["corrupt", path, message]], console)

        lines = out.getvalue().splitlines()
        assert all(cell_len(line) <= 80 for line in lines)
        start = lines[0].index("what")
        shown = "".join(line[start:].strip() for line in lines[1:])
        assert shown.replace(" ", "") == message.replace(" ", "")


def test_markup_in_a_file_name_is_only_text() -> None:
    assert "[red]x[/red].png" in drawn([[*ROW[:3], "[red]x[/red].png", *ROW[4:]]], 80)[1]


@given(st.text())
def test_printable_text_has_no_control_characters_and_no_lone_surrogates(text: str) -> None:
    shown = printable(text)

    assert shown.isprintable()
    shown.encode()
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.9, "0:59"), (61, "1:01"), (3599, "59:59"), (3600, "1:00:00")],
)
def test_seconds_are_shown_as_minutes(seconds: float, text: str) -> None:
    assert render.clock(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (5 * 2**30, "5.0 GiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_sizes_are_shown_in_binary_units(count: int, text: str) -> None:
    assert render.size(count) == text


def test_a_path_is_relative_only_where_that_is_shorter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert render.short_path(tmp_path / "a" / "b.jpg") == "a/b.jpg"
    assert render.short_path("/b.jpg") == "/b.jpg"


def test_json_of_a_name_that_is_not_utf8_is_valid_and_keeps_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    render.write_json({"path": "caf\udce9", "title": "café"})

    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"path": "caf\udce9", "title": "café"}


def test_json_never_holds_what_is_not_a_number() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        render.write_json({"score": float("nan")})


def test_one_of_something_is_no_plural() -> None:
    assert [counted(count, "item") for count in (0, 1, 2)] == ["0 items", "1 item", "2 items"]
