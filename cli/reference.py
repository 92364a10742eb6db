"""The reference of the command line, `docs/cli.md`, written from the commands themselves.

`python -m omnidex_cli.reference > docs/cli.md` writes it; a test compares the two.
"""

import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

import typer

from .app import app

_HEADER = """\
# The `omnidex` command

<!-- Generated from the commands' own help by `make docs`. Don't edit. -->

Results go to stdout, everything else to stderr. Exit codes: 0 found or done, 1 nothing found,
2 a usage or environment error, 130 interrupted. Every command takes `--help`, and colours obey
`NO_COLOR`.
"""


class _Parameter(Protocol):
    """What is used of an argument or an option; Typer doesn't export its classes."""

    param_type_name: str
    opts: list[str]
    secondary_opts: list[str]
    metavar: str | None
    envvar: str | None
    default: object
    required: bool
    multiple: bool
    show_default: bool
    hidden: bool
    is_flag: bool
    help: str | None


class _Command(Protocol):
    """What is used of a command or a group of commands."""

    name: str | None
    help: str | None
    hidden: bool
    params: Sequence[_Parameter]


def markdown() -> str:
    """The whole reference, as Markdown that ends in a line break."""
    root = cast("_Command", typer.main.get_command(app))
    sections = [_HEADER, *_sections(root, "omnidex", level=2)]
    return "\n".join(sections).rstrip() + "\n"


def _sections(command: _Command, path: str, *, level: int) -> list[str]:
    """A section for a command, then one for each of the commands below it."""
    below = [child for child in _children(command) if not child.hidden]
    found = [_section(command, path, level=level, group=bool(below))]
    for child in below:
        found += _sections(child, f"{path} {child.name}", level=level + 1)
    return found


def _children(command: _Command) -> list[_Command]:
    commands: object = getattr(command, "commands", None)
    return list(cast("Mapping[str, _Command]", commands).values()) if commands else []


def _section(command: _Command, path: str, *, level: int, group: bool) -> str:
    shown = [p for p in command.params if not getattr(p, "hidden", False)]
    arguments = [p for p in shown if p.param_type_name == "argument"]
    options = [p for p in shown if p.param_type_name == "option" and "--help" not in p.opts]
    text, example = _split_example(command.help or "")
    usage = [path, *(["[OPTIONS]"] if options else []), *map(_argument_name, arguments)]
    lines = [
        f"{'#' * level} `{path}`",
        "",
        "```",
        " ".join([*usage, *(["COMMAND"] * group)]),
        "```",
    ]
    lines += ["", text] if text else []
    if arguments or options:
        lines += ["", "| | |", "|---|---|"]
        lines += [_table_row(_argument_name(p), p) for p in arguments]
        lines += [_table_row(_option_name(p), p) for p in options]
    if example:
        lines += ["", "```sh", *example, "```"]
    return "\n".join([*lines, ""])


def _split_example(help_text: str) -> tuple[str, list[str]]:
    """A command's text, and the lines of its example."""
    text, _, example = inspect.cleandoc(help_text.replace("\b", "")).partition("Example:")
    return text.strip(), [line.strip() for line in example.strip().splitlines() if line.strip()]


def _argument_name(parameter: _Parameter) -> str:
    return parameter.metavar or parameter.opts[0].upper()


def _option_name(parameter: _Parameter) -> str:
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {parameter.metavar or 'VALUE'}"


def _table_row(name: str, parameter: _Parameter) -> str:
    notes = [parameter.help or ""]
    default = parameter.default
    plain = isinstance(default, str | int | float) and not isinstance(default, bool)
    if plain and parameter.show_default and not parameter.required:
        notes.append(f"Default: {default}.")
    if parameter.envvar:
        notes.append(f"Environment: `{parameter.envvar}`.")
    if getattr(parameter, "multiple", False):
        notes.append("May be repeated.")
    told = " ".join(note for note in notes if note).replace("|", "\\|")
    return f"| `{name}` | {told} |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
