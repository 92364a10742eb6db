"""Help, usage errors and start-up."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from omnidex_cli.app import app
from typer.testing import CliRunner

from .conftest import Ended, environment

HEAVY = ("numpy", "torch", "lancedb", "pyarrow", "PIL", "av", "open_clip", "platformdirs")
UNNEEDED = (
    *("torch", "lancedb", "lance", "pyarrow", "pandas", "PIL", "av", "jaxtyping", "pydantic"),
    *("unittest", "asyncio", "numpy.ma", "rich", "hashlib", "socket"),
    *("indexer.ingest", "indexer.writer", "indexer.scan", "indexer.words", "omnidex_cli.chat"),
)
"""What a search in the cache can do without; each of these was once a part of its time."""


def command_lines() -> list[tuple[str, ...]]:
    """The names of every command, and of every command of a group."""
    found: list[tuple[str, ...]] = []
    for name, command in typer.main.get_command(app).commands.items():
        found.append((name,))
        found += [(name, inner) for inner in getattr(command, "commands", {})]
    return found


@pytest.mark.parametrize("command", [(), *command_lines()], ids=" ".join)
def test_every_help_has_an_example_and_fits_80_columns(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = CliRunner().invoke(app, [*command, "--help"])

    assert result.exit_code == 0
    assert "Example:" in result.output
    assert f"omnidex {' '.join(command)}".strip() in result.output.partition("Example:")[2]
    assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize("command", [c for c in command_lines() if c != ("bench",)], ids=" ".join)
def test_every_command_prints_json_when_asked(command: tuple[str, ...]) -> None:
    assert "--json" in CliRunner().invoke(app, [*command, "--help"]).output


@pytest.mark.parametrize(
    "statement",
    [
        "import omnidex_cli.app",
        "from omnidex_cli.app import main; assert main(['--help']) == 0",
        "from omnidex_cli.app import main; assert main(['search', '--help']) == 0",
        "from omnidex_cli.app import main; assert main(['search', '--jsno']) == 2",
        "from omnidex_cli.app import main; assert main(['--version']) == 0",
    ],
)
def test_start_up_imports_nothing_heavy(statement: str) -> None:
    code = f"import sys; {statement}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_without_a_command_the_help_is_shown_and_the_code_says_usage(
    omnidex: Callable[..., Ended],
) -> None:
    ended = omnidex()

    assert ended.code == 2
    assert "Usage: omnidex" in ended.out + ended.err


def test_the_version_is_printed(omnidex: Callable[..., Ended]) -> None:
    ended = omnidex("--version")

    assert ended.code == 0
    assert ended.out.startswith("omnidex ")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["search", "--jsn"], "did you mean --in or --json or --not?"),
        (["serch", "dog"], "'search'"),
        (["search", "dog", "-k", "0"], "omnidex search --help"),
        (["search", "dog", "--to", "images"], "did you mean image?"),
        (["search", "dog", "--to", ","], "text, image, audio, video"),
        (["search"], "omnidex search"),
        (["search", " "], "leave it out"),
        (["index"], "omnidex index --help"),
        (["index", "/nowhere/at all"], "mounted"),
        (["train", "/nowhere/run.toml"], "configuration"),
        (["bench", "nothing"], "omnidex bench --help"),
    ],
)
def test_usage_errors_are_one_message_with_a_hint_and_exit_2(
    arguments: list[str], hint: str, omnidex: Callable[..., Ended]
) -> None:
    ended = omnidex(*arguments)

    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("Error: ")
    assert hint in ended.err
    assert ended.err.count("\n") == 2


@pytest.mark.parametrize(
    "arguments",
    [["search", "--jsn"], ["search"], ["serch"], ["show", "beef"], ["search", "dog", "-l"]],
)
def test_in_json_mode_errors_are_json_too(
    arguments: list[str], omnidex: Callable[..., Ended]
) -> None:
    ended = omnidex(*arguments, "--json")

    document = json.loads(ended.err)
    assert ended.code == 2
    assert ended.out == ""
    assert document["schema"] == 1
    assert set(document["error"]) == {"message", "hint", "code"}
    assert document["error"]["message"]


def test_without_a_collection_the_next_command_is_named(omnidex: Callable[..., Ended]) -> None:
    for command in (["search", "dog"], ["status"], ["show", "beef"], ["rm", "a.jpg", "-y"]):
        ended = omnidex(*command)

        assert ended.code == 2
        assert "no collection" in ended.err
        assert "omnidex index" in ended.err


def test_a_search_in_the_cache_imports_only_what_it_needs(
    tmp_path: Path, omnidex: Callable[..., Ended]
) -> None:
    (tmp_path / "media").mkdir()
    for number in range(3):
        (tmp_path / "media" / f"{number}.txt").write_text(f"note {number}")
    assert omnidex("index", tmp_path / "media", "-c", tmp_path / "c").code == 0
    found = json.loads(omnidex("search", "note", "-c", tmp_path / "c", "--json").out)
    item = found["hits"][0]["id"]
    arguments = ["search", "-c", str(tmp_path / "c"), "--like", item, "-k", "2", "--to", "text"]
    code = (
        f"import sys; from omnidex_cli.app import main; assert main({arguments}) == 0;"
        f"print([name for name in {UNNEEDED} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.count("\n") == 2
    assert done.stderr.splitlines()[-1] == "[]"
