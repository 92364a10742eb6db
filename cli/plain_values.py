"""Taking what was typed as what a command wants, without pydantic where it isn't needed.

Typer lets pydantic build a schema for every parameter of a command, given or not. Importing that
and building these takes longer than a whole search in the cache. A text, one of some words, a
number, a path or a list of these needs none. Whatever is something else, or isn't right, is left to
Typer, whose messages users know.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, cast, get_args, get_origin

import typer

_MOST_DIGITS = 9
_ANY_PATH = {
    "exists": False,
    "file_okay": True,
    "dir_okay": True,
    "readable": True,
    "writable": False,
    "resolve_path": False,
    "allow_dash": False,
    "path_type": None,
}
"""What Typer is told of a path unless a command says more."""


class _Wishes(Protocol):
    """What a command says about a parameter."""

    parser: object
    min: float | None
    max: float | None
    clamp: bool


class _Descriptor(Protocol):
    """How Typer describes a parameter."""

    annotation: object
    parameter_info: _Wishes


class Parameter(Protocol):
    """What is used of Typer's parameters."""

    required: bool
    callback: "Callable[[typer.Context, Parameter, object], object] | None"
    multiple: bool
    nargs: int
    type_descriptor: _Descriptor

    def process_value(self, ctx: typer.Context, value: object) -> object:
        """What a value that was given, or the default, stands for."""
        ...


def take_plainly(parameters: Sequence[object]) -> None:
    """Let the parameters of a command take plain values themselves."""
    for parameter in parameters:
        # Of a Typer that describes them in another way, they stay as they are.
        if hasattr(parameter, "type_descriptor") and "process_value" not in vars(parameter):
            _take_plainly(cast("Parameter", parameter))


def _take_plainly(parameter: Parameter) -> None:
    by_typer = parameter.process_value

    def process_value(ctx: typer.Context, value: object) -> object:
        taken = plain(parameter, value)
        if taken is None:
            return by_typer(ctx, value)
        if parameter.callback is not None:
            return parameter.callback(ctx, parameter, taken[0])
        return taken[0]

    parameter.process_value = process_value


def plain(parameter: Parameter, value: object) -> tuple[object] | None:
    """What a value stands for, in a tuple; None if that is for Typer to say."""
    several = parameter.multiple or parameter.nargs == -1
    if value is None:
        return None if parameter.required else (() if several else None,)
    kind, wishes = parameter.type_descriptor.annotation, parameter.type_descriptor.parameter_info
    if not several:
        return _single(value, kind, wishes)
    if get_origin(kind) is not list or not isinstance(value, list | tuple):
        return None
    if parameter.required and not value:
        return None
    of = get_args(kind)[0]
    taken = [_single(one, of, wishes) for one in cast("Sequence[object]", value)]
    found = [one[0] for one in taken if one is not None]
    return (found,) if len(found) == len(taken) else None


def _single(value: object, kind: object, wishes: _Wishes) -> tuple[object] | None:
    if wishes.parser is None and isinstance(value, str | Path):
        if kind is Path:
            return _path(Path(value), wishes)
        words = get_args(kind) if get_origin(kind) is Literal else ()
        if isinstance(value, str) and (kind is str or value in words):
            return (value,)
    if wishes.clamp:
        return None
    if kind is float and type(value) is float:
        return (value,) if _fits(value, wishes) else None
    return _whole(value, wishes) if kind is int else None


def _whole(value: object, wishes: _Wishes) -> tuple[object] | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value) if len(value) <= _MOST_DIGITS else None
    return (value,) if type(value) is int and _fits(value, wishes) else None


def _fits(value: float, wishes: _Wishes) -> bool:
    least, most = wishes.min, wishes.max
    return (least is None or value >= least) and (most is None or value <= most)


def _path(path: Path, wishes: _Wishes) -> tuple[object] | None:
    """A path that may be anything that can be read, or may not be there."""
    usual = all(getattr(wishes, name) is usual for name, usual in _ANY_PATH.items())
    # Not `path.exists()`, which raises where a text is too long for a file's name.
    fine = os.access(path, os.R_OK) or not os.path.exists(path)  # noqa: PTH110
    return (path,) if usual and fine else None
