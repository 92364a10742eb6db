"""What `omnidex index` says before it does anything: the plan, and whether a root is meant."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import render
from .errors import UsageProblem

if TYPE_CHECKING:
    from indexer import IngestOptions


def check_roots(paths: Sequence[Path], *, yes: bool) -> None:
    """Ask before a whole home directory or drive is indexed.

    Raises:
        UsageProblem: The answer was no, or there is nobody to ask.
    """
    for path in paths:
        what = _too_wide(path)
        if what is None or yes:
            continue
        question = f"{path} is {what}. Index all of it?"
        if not (render.may_ask() and render.confirm(question)):
            raise UsageProblem(
                f"{path} is {what}; nothing was indexed",
                hint="name folders with media instead, or add --yes",
            )


def print_plan(
    paths: Sequence[Path], directory: Path, options: "IngestOptions", *, as_json: bool
) -> None:
    """Print what an ingest would do, one path a line."""
    from indexer import plan
    from indexer.remote import shown

    with render.progress() as advance:
        made = plan(
            paths,
            directory,
            options=options,
            progress=lambda progress: advance("Hashing", progress.done, progress.total),
        )
    counts = Counter(str(step.action) for step in made.steps)
    if as_json:
        render.write_json(
            {
                "schema": render.SCHEMA,
                "collection": shown(directory),
                "unchanged": made.unchanged,
                "failed_before": made.failed_before,
                "counts": dict(counts),
                "steps": [
                    {"action": str(step.action), "path": str(step.path), "why": step.why}
                    for step in made.steps
                ],
            }
        )
        return
    columns = (
        render.Column("action"),
        render.Column("path", overflow="fold"),
        render.Column("why", overflow="fold"),
    )
    rows = [[str(step.action), render.short_path(step.path), step.why] for step in made.steps]
    if rows:
        render.table(columns, rows)
    named = ", ".join(f"{count} to {action}" for action, count in sorted(counts.items()))
    render.note(f"Nothing was changed: {named or 'nothing to do'}, {made.unchanged} unchanged.")


def _too_wide(path: Path) -> str | None:
    """What a root is, if it is hardly meant: a whole drive, the home directory, or its folder."""
    try:
        whole, home = path.resolve(), Path.home().resolve()
    except (OSError, RuntimeError):
        return None
    if whole == Path(whole.anchor):
        return "a whole drive"
    if whole == home:
        return "your home directory"
    return "the folder of home directories" if home.is_relative_to(whole) else None
