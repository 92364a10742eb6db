"""All commands by name. A command's module is imported when it is run, or when all are listed."""

from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, cast

import typer
from typer.core import TyperCommand, TyperGroup

from .plain_values import take_plainly

if TYPE_CHECKING:
    from typer._click import Context

_FUNCTIONS = {
    "index": "index.index",
    "search": "search.search",
    "ask": "ask.ask",
    "explain": "explain.explain",
    "status": "info.status",
    "show": "info.show",
    "rm": "info.rm",
    "dupes": "dupes.dupes",
    "export": "transfer.export",
    "import": "transfer.bring_in",
    "history": "versions.history",
    "restore": "versions.restore",
    "models": "models.models",
    "doctor": "info.doctor",
    "train": "train.train",
    "generate": "generate.generate",
    "chat": "chat.chat",
    "reconstruct": "reconstruct.reconstruct",
}
"""Which function of which module each command is, in the order of the help text."""


class Command(TyperCommand):
    """A command that takes plain values itself."""

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        """Take what was typed; returns what is left over."""
        take_plainly(self.get_params(ctx))
        return super().parse_args(ctx, args)


class Benchmarks(TyperGroup):
    """The benchmarks, which are many: they are imported when one of them is asked for."""

    @property
    def commands(self) -> dict[str, TyperCommand | TyperGroup]:
        """All of them by name."""
        from .evaluate import app as benchmarks

        group = typer.main.get_group(benchmarks)
        return cast("dict[str, TyperCommand | TyperGroup]", group.commands)

    @commands.setter
    def commands(self, value: object) -> None:
        """Nothing is added from outside."""


class Commands(TyperGroup):
    """Every command, and the group of benchmarks."""

    @cached_property
    def _made(self) -> dict[str, TyperCommand | TyperGroup]:
        return {}

    @property
    def commands(self) -> dict[str, TyperCommand | TyperGroup]:
        """All of them by name, imported."""
        return {name: self._command(name) for name in (*_FUNCTIONS, "bench")}

    @commands.setter
    def commands(self, value: object) -> None:
        """Nothing is added from outside."""

    def get_command(
        self,
        ctx: "Context",  # noqa: ARG002 - Typer's
        cmd_name: str,
    ) -> TyperCommand | TyperGroup | None:
        """One of them; None if there is none of this name."""
        if cmd_name in (*_FUNCTIONS, "bench"):
            return self._command(cmd_name)
        return None

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        """Take what was typed; returns what is left over."""
        take_plainly(self.get_params(ctx))
        return super().parse_args(ctx, args)

    def _command(self, name: str) -> TyperCommand | TyperGroup:
        if name not in self._made:
            self._made[name] = _benchmarks() if name == "bench" else _imported(name)
        return self._made[name]


def _imported(name: str) -> TyperCommand:
    module, function = _FUNCTIONS[name].split(".")
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
    alone.command(name, cls=Command)(getattr(import_module(f".{module}", __package__), function))
    return cast("TyperCommand", typer.main.get_command(alone))


def _benchmarks() -> TyperGroup:
    alone = typer.Typer(
        cls=Benchmarks,
        name="bench",
        add_completion=False,
        rich_markup_mode="rich",
        help="Run benchmarks, compare and report their results.\n\n"
        "Example:\nomnidex bench run manifest --data manifest.jsonl",
        no_args_is_help=True,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    return typer.main.get_group(alone)
