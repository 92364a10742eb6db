"""What a training run leaves on the way: progress to go on from, a log of steps, validations."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import torch


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
    rows.clear()


def append_validation(run: Path, values: Mapping[str, object]) -> None:
    """Add a line to the run's `validation.jsonl`."""
    run.mkdir(parents=True, exist_ok=True)
    with (run / "validation.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(dict(values)) + "\n")
