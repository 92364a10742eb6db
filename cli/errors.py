"""How a command ends when it can't go on, in words or in JSON. Everything goes to stderr."""

import json
import os
import re
import sys
import traceback
from typing import NamedTuple, Protocol, cast

import typer

from .plain import printable

_IN_EXTRA_BENCH = frozenset({"datasets", "hnswlib", "matplotlib", "mteb", "usearch"})

FOUND, NOTHING_FOUND, FAILED, INTERRUPTED = 0, 1, 2, 130


class Interrupted(Exception):  # noqa: N818 -- it is no error
    """Ctrl-C, with one line that says what was kept."""


class ReaderGone(Exception):  # noqa: N818 -- it is no error
    """Whoever read our output has stopped, such as `head`."""


class UsageProblem(Exception):  # noqa: N818 -- OmniError would import numpy
    """Options that contradict each other, nothing to do, or a file that isn't there."""

    def __init__(self, message: str, *, hint: str = "", code: str = "usage") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


class Failure(NamedTuple):
    """What is said of an error.

    Attributes:
        message: What went wrong.
        hint: What to do about it; may be empty.
        code: A short stable code, such as `usage` or `encoder-mismatch`.
    """

    message: str
    hint: str
    code: str


class _ClickError(Protocol):
    """What is used of Click's errors, whether Typer brings a copy of Click or imports it."""

    possibilities: list[str] | None

    def format_message(self) -> str: ...


# BadParameter is exported by Typer; its base classes are not.
_CLICK_ERROR = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


def describe(error: BaseException) -> Failure | None:
    """What to say of an error that a user can put right; None for a fault of ours."""
    if isinstance(error, UsageProblem):
        return Failure(error.message, error.hint, error.code)
    if isinstance(error, _CLICK_ERROR):
        return _describe_usage(cast("_ClickError", error), error)
    if isinstance(error, OSError):
        return Failure(_describe_os_error(error), "", "environment")
    if isinstance(error, ModuleNotFoundError) and error.name and not _is_ours(error.name):
        package = error.name.partition(".")[0]
        hint = "install omnidex again; `omnidex doctor` says what is missing"
        if package in _IN_EXTRA_BENCH:
            hint = "it comes with the extra `bench`: pip install 'omnidex[bench]'"
        return Failure(f"the package {error.name} is not installed", hint, "environment")
    # Imported now, for it imports numpy; whoever raised one has paid for that already.
    from omni_encoder import OmniError

    if isinstance(error, OmniError):
        words = re.findall("[A-Z][a-z]+", type(error).__name__.removesuffix("Error")) or ["omni"]
        return Failure(error.message, error.hint, "-".join(words).lower())
    return None


def report(failure: Failure, *, as_json: bool) -> None:
    """Write a failure to stderr."""
    if as_json:
        document = {"schema": 1, "error": failure._asdict()}
        sys.stderr.write(json.dumps(document) + "\n")
        return
    sys.stderr.write(f"Error: {_printable(failure.message)}\n")
    if failure.hint:
        sys.stderr.write(f"Hint: {_printable(failure.hint)}\n")


def tell_line(error: BaseException, line: str, *, as_json: bool) -> int:
    """Say that a line of several can't be answered, and why; the others go on.

    Returns:
        How many failures that is: none at a keyboard, where whoever typed it has seen it.
    """
    failure = describe(error)
    assert failure is not None  # the caller caught what users can put right
    if sys.stdin.isatty():
        sys.stderr.write(
            f"{_printable(failure.message)}\n{_printable(failure.hint)}".strip() + "\n"
        )
        return 0
    report(failure._replace(message=f"{line!r}: {failure.message}"), as_json=as_json)
    return 1


def report_fault(error: BaseException, *, as_json: bool) -> None:
    """Write an error that is a fault of ours to stderr, with its traceback."""
    if not as_json:
        traceback.print_exception(error)
    message = f"{type(error).__name__}: {error}"
    report(Failure(message, "this is a bug in omnidex; please report it", "bug"), as_json=as_json)


def _printable(message: str) -> str:
    """The message in its own lines, with names in it as tables show them."""
    return "\n".join(map(printable, message.splitlines()))


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in {
        *("indexer", "omni_encoder", "omnidex_benchmarks", "omnidex_cli", "retrieval")
    }


def _describe_usage(error: _ClickError, raised: BaseException) -> Failure:
    context = getattr(raised, "ctx", None)
    command = str(getattr(context, "command_path", "omnidex"))
    possibilities = getattr(raised, "possibilities", None)
    if possibilities:
        message = str(getattr(raised, "message", error.format_message()))
        return Failure(message, f"did you mean {' or '.join(sorted(possibilities))}?", "usage")
    message, _, guess = error.format_message().partition(" Did you mean ")
    hint = f"did you mean {guess}" if guess else f"see {command} --help"
    return Failure(message, hint, "usage")


def _describe_os_error(error: OSError) -> str:
    if error.strerror and error.filename is not None:
        name = error.filename
        return f"{os.fsdecode(name) if isinstance(name, bytes) else name}: {error.strerror}"
    return str(error) or type(error).__name__
