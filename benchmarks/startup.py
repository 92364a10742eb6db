"""What `omnidex --help` costs, against the `--help` of an empty Typer and Rich app.

Question: do commands keep heavy imports out of start-up? Whole processes of the same Python are
timed, turn about, after one turn to warm up, so load hits both alike. Read the ratio: it is the
median over turns of omnidex / empty; milliseconds depend on the machine.
"""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from .timing import installed_command, machine, run_command, seconds, spread

TARGET_RATIO = 1.5

EMPTY_APP = '''\
import typer

app = typer.Typer()


@app.command()
def nothing() -> None:
    """Do nothing."""


app()
'''


def run(*, turns: int = 11, command: Sequence[str] | None = None) -> dict[str, object]:
    """Time both processes.

    Args:
        turns: How many pairs are timed.
        command: What to start instead of the `omnidex` that is installed beside this Python.

    Returns:
        A JSON object; `ratio` is the figure, at most `target_ratio` is wanted.

    Raises:
        OmniError: omnidex isn't installed, or one of the processes fails.
        ValueError: `turns` is less than 1.
    """
    if turns < 1:
        raise ValueError(f"turns must be at least 1, got {turns}")
    ours = list(command) if command is not None else installed_command()
    with TemporaryDirectory() as folder:
        script = Path(folder) / "empty.py"
        script.write_text(EMPTY_APP, encoding="utf-8")
        empty = [sys.executable, str(script)]
        pairs = [(_help(ours), _help(empty)) for _ in range(turns + 1)][1:]  # the first warms up
    ratios = [ours_s / empty_s for ours_s, empty_s in pairs]
    return {
        "schema": 1,
        "ratio": statistics.median(ratios),
        "target_ratio": TARGET_RATIO,
        "ratios": spread(ratios),
        "omnidex_s": spread([pair[0] for pair in pairs]),
        "empty_s": spread([pair[1] for pair in pairs]),
        "turns": turns,
        "machine": machine("typer", "rich", "omnidex"),
    }


def _help(command: Sequence[str]) -> float:
    """Seconds of one whole process."""
    return seconds(lambda: run_command([*command, "--help"]))
