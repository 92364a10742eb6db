"""The `omnidex` command: every subcommand, and the one place where errors are caught.

Exit codes: 0 found or done, 1 nothing found, 2 a usage or environment error, 130 interrupted.
Nothing heavy is imported here or in the command modules: each command imports what it needs.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import Annotated, cast

import typer
from typer.core import TyperCommand, TyperGroup

from . import (
    ask,
    chat,
    dupes,
    errors,
    explain,
    generate,
    index,
    info,
    models,
    reconstruct,
    search,
    train,
    transfer,
    versions,
)

app = typer.Typer(
    name="omnidex",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    rich_markup_mode="rich",
)
app.command("index")(index.index)
app.command("search")(search.search)
app.command("ask")(ask.ask)
app.command("explain")(explain.explain)
app.command("status")(info.status)
app.command("show")(info.show)
app.command("rm")(info.rm)
app.command("dupes")(dupes.dupes)
app.command("export")(transfer.export)
app.command("import")(transfer.bring_in)
app.command("history")(versions.history)
app.command("restore")(versions.restore)
app.command("models")(models.models)
app.command("doctor")(info.doctor)
app.command("train")(train.train)
app.command("generate")(generate.generate)
app.command("chat")(chat.chat)
app.command("reconstruct")(reconstruct.reconstruct)


class _Bench(TyperGroup):
    """The benchmarks, which are many: they are imported when one of them is asked for."""

    @property
    def commands(self) -> dict[str, TyperCommand]:
        """All of them by name."""
        from .evaluate import app as benchmarks

        return cast("dict[str, TyperCommand]", typer.main.get_group(benchmarks).commands)

    @commands.setter
    def commands(self, value: object) -> None:
        """Nothing is added from outside."""


app.add_typer(
    typer.Typer(
        cls=_Bench,
        help="Run benchmarks, compare and report their results.\n\n"
        "Example:\nomnidex bench run manifest --data manifest.jsonl",
        no_args_is_help=True,
        context_settings={"help_option_names": ["--help", "-h"]},
    ),
    name="bench",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"omnidex {version('omnidex')}")
        raise typer.Exit


@app.callback()
def omnidex(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Index folders of text, images, audio and video, and search them any-to-any.

    Example:
    omnidex index ~/Pictures ~/Music
    omnidex search "a dog on a beach" --to image,video
    omnidex search --image cat.jpg --to audio
    """


def run() -> None:
    """Run the command line of this process."""
    _replace_closed_streams()
    code = main(sys.argv[1:])
    # A second Ctrl-C while Python shuts down should not print a traceback.
    with suppress(KeyboardInterrupt):
        sys.exit(code)


def main(arguments: Sequence[str]) -> int:
    """Run one command line.

    Args:
        arguments: What follows `omnidex`.

    Returns:
        The exit code.
    """
    _accept_any_file_name()
    as_json = "--json" in arguments
    try:
        # Without standalone mode Typer returns the code of `typer.Exit`, and raises the rest.
        code: object = app(args=list(arguments), prog_name="omnidex", standalone_mode=False)
        sys.stdout.flush()
        code = code if isinstance(code, int) else errors.FOUND
    except (errors.ReaderGone, BrokenPipeError):
        _drop_stdout()
        return errors.FOUND
    except (errors.Interrupted, KeyboardInterrupt, typer.Abort) as stop:
        return _interrupted(str(stop), as_json=as_json)
    except Exception as error:  # noqa: BLE001 -- the one place; faults of ours keep their traceback
        return _failed(error, as_json=as_json)
    return _interrupted("", as_json=as_json) if code == errors.INTERRUPTED else code


def _failed(error: Exception, *, as_json: bool) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(f"{str(error).rstrip()}\n")
        return errors.FAILED
    failure = errors.describe(error)
    if failure is None:
        errors.report_fault(error, as_json=as_json)
    else:
        errors.report(failure, as_json=as_json)
    return errors.FAILED


def _interrupted(message: str, *, as_json: bool) -> int:
    message = message or "Interrupted."
    if as_json:
        errors.report(errors.Failure(message, "", "interrupted"), as_json=True)
    else:
        sys.stderr.write(f"{message}\n")
    return errors.INTERRUPTED


def _replace_closed_streams() -> None:
    """Put nothing where a stream was closed (`>&-`), or the next file would take its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def _accept_any_file_name() -> None:
    """Let names that are not UTF-8 through to stdout as the bytes that they are."""
    if isinstance(sys.stdout, TextIOWrapper):
        unicode = sys.stdout.encoding.lower().replace("-", "") == "utf8"
        sys.stdout.reconfigure(errors="surrogateescape" if unicode else "backslashreplace")


def _drop_stdout() -> None:
    """Send what is still buffered nowhere, or Python complains while it shuts down."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    run()
