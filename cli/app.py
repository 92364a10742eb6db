"""The `omnidex` command: what all subcommands share, and the one place where errors are caught.

Exit codes: 0 found or done, 1 nothing found, 2 a usage or environment error, 130 interrupted.
Nothing heavy is imported here or in the command modules: each command imports what it needs.
"""

import atexit
import gc
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import Annotated

import typer

from . import errors
from .commands import Commands

_OBJECTS_BETWEEN_COLLECTIONS = 10_000

app = typer.Typer(
    name="omnidex",
    cls=Commands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    rich_markup_mode="rich",
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
    # A command makes few cycles, and looking for them among all that is imported takes long.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    _replace_closed_streams()
    code = main(sys.argv[1:])
    # A second Ctrl-C while Python shuts down should not print a traceback.
    with suppress(KeyboardInterrupt):
        _leave(code)
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


def _leave(code: int) -> None:
    """End the process here if nothing else runs in it.

    Python would first take apart every module, a fifth of the time of a search in the cache.
    """
    if threading.active_count() > 1:
        return
    # As Python does; temporary folders are among them.
    atexit._run_exitfuncs()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


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
