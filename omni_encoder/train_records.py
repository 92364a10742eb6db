"""What a training run leaves on the way: progress to go on from, a log of steps, validations.

Where tensorboardX is installed (extra `train`), the figures are also written for TensorBoard, into
the folder `tensorboard` of the run.
"""

# tensorboardX has no types; what it is called with is checked here.
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

import atexit
import csv
import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

_FLUSHED = 5  # seconds until what is shown is on disk, at most; at the end of the process, all is


def save_progress(state: Mapping[str, object], path: Path) -> None:
    """Write what a run needs to go on, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial")
    torch.save(dict(state), unfinished)
    unfinished.replace(path)


def append_log(rows: list[dict[str, float]], path: Path) -> None:
    """Add rows to a CSV file, which begins with their names, and forget them.

    Raises:
        ValueError: The file has no column for a value.
    """
    if not rows:
        return
    names = list(rows[0])
    with path.open("a+", encoding="utf-8", newline="") as file:
        file.seek(0)
        known = next(csv.reader(file), None)
        writer = csv.DictWriter(file, fieldnames=known or names)
        if known is None:
            writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        _show(path.parent, path.stem, int(row["step"]), row)
    rows.clear()


def append_validation(run: Path, values: Mapping[str, object]) -> None:
    """Add a line to the run's `validation.jsonl`."""
    run.mkdir(parents=True, exist_ok=True)
    with (run / "validation.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(dict(values)) + "\n")
    stage = str(values.get("stage", "validation"))
    step = values.get("step")
    assert isinstance(step, int)
    _show(run, stage, step, values)


@lru_cache
def _board(run: Path) -> "SummaryWriter | None":
    """TensorBoard's file of a run, one a process; None without the package."""
    if find_spec("tensorboardX") is None:
        return None
    from tensorboardX import SummaryWriter

    board = SummaryWriter(str(run / "tensorboard"), flush_secs=_FLUSHED)
    atexit.register(board.close)
    return board


def _show(run: Path, group: str, step: int, values: Mapping[str, object]) -> None:
    board = _board(run)
    for name, value in values.items():
        if board is not None and name != "step" and isinstance(value, int | float):
            # Names with arrows and blanks are no tags.
            tag = name.replace("->", "-to-").replace(" ", "-")
            board.add_scalar(f"{group}/{tag}", value, step)
