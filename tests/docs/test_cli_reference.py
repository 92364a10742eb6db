"""docs/cli.md is what the commands say of themselves."""

from pathlib import Path

from omnidex_cli.reference import markdown

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_cli_page_is_what_the_commands_say_now() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), "run `make docs`"


def test_every_command_has_an_example_in_its_help() -> None:
    sections = markdown().split("\n## ", 1)[1].split("\n#")
    without = [section.splitlines()[0] for section in sections if "```sh\n" not in section]

    assert not without
