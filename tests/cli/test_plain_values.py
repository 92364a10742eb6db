"""Values that are taken without pydantic are those that Typer would have made of them."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from omnidex_cli.plain_values import Parameter, plain, take_plainly

HERE = Path(__file__)


def command(
    words: Annotated[list[str] | None, typer.Argument()] = None,
    *,
    text: Annotated[str | None, typer.Option()] = None,
    count: Annotated[int, typer.Option(min=1, max=100)] = 10,
    clamped: Annotated[int, typer.Option(max=5, clamp=True)] = 1,
    path: Annotated[Path | None, typer.Option()] = None,
    paths: Annotated[list[Path] | None, typer.Option()] = None,
    folder: Annotated[Path | None, typer.Option(exists=True, file_okay=False)] = None,
    share: Annotated[float, typer.Option(max=10.0)] = 0.5,
    engine: Annotated[Literal["a", "b", "10"], typer.Option()] = "a",
) -> None:
    pass


def parameters() -> dict[str, Parameter]:
    app = typer.Typer(add_completion=False)
    app.command()(command)
    made = typer.main.get_command(app)
    return {str(one.name): one for one in made.params}


def context() -> typer.Context:
    app = typer.Typer(add_completion=False)
    app.command()(command)
    return typer.main.get_command(app).make_context("command", [])


@pytest.mark.parametrize("name", list(parameters()))
@pytest.mark.parametrize(
    "value",
    [
        *(
            None,
            (),
            ["a", "b"],
            ("a",),
            "",
            "a",
            "-3",
            "0",
            "1",
            "10",
            "100",
            "101",
            "007",
            "\u0661",
        ),
        *(
            "1_0",
            "1.0",
            " 5",
            "99999999999",
            10,
            0,
            101,
            True,
            0.5,
            11.0,
            str(HERE),
            HERE,
            HERE.parent,
        ),
        *("/nowhere/at all", [str(HERE)], [""], "a" * 5000, "\udcff", "~"),
    ],
    ids=repr,
)
def test_what_is_taken_plainly_is_what_typer_makes_of_it(name: str, value: object) -> None:
    parameter = parameters()[name]
    taken = plain(parameter, value)
    if taken is None:
        return
    by_typer = parameter.process_value(context(), value)

    assert taken[0] == by_typer
    assert type(taken[0]) is type(by_typer)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("words", ("a", "b")), ("text", "a"), ("count", "100"), ("count", 10), ("text", None)),
        *(("path", "/nowhere"), ("paths", [str(HERE)]), ("words", None), ("paths", [])),
        *(("share", 0.5), ("engine", "b")),
    ],
)
def test_plain_values_are_not_left_to_typer(name: str, value: object) -> None:
    assert plain(parameters()[name], value) is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", "0"),
        ("count", "x"),
        ("clamped", "9"),
        ("folder", str(HERE)),
        ("share", "0.1"),
        ("engine", "c"),
    ],
)
def test_what_is_not_plain_is_left_to_typer(name: str, value: object) -> None:
    assert plain(parameters()[name], value) is None


def test_a_parameter_is_changed_once() -> None:
    parameter = parameters()["text"]
    take_plainly([parameter])
    once = parameter.process_value
    take_plainly([parameter, object()])

    assert parameter.process_value is once
    assert parameter.process_value(context(), "a") == "a"
