"""What `omnidex index` did, in words and in JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from . import render
from .plain import counted

if TYPE_CHECKING:
    from indexer import Collection, IngestReport, Problem


def problem_json(problem: "Problem") -> dict[str, str]:
    """A file that couldn't be indexed, as it stands in JSON."""
    return {
        "path": str(problem.path),
        "reason": problem.reason,
        "message": problem.message,
    }


def report_json(report: "IngestReport", collection: "Collection") -> dict[str, object]:
    """A report, as it stands in JSON."""
    return {
        "schema": render.SCHEMA,
        "collection": collection.place,
        "encoder": collection.spec.name,
        "report": asdict(report)
        | {
            "ignored": dict(report.ignored),
            "passed": dict(report.passed),
            "problems": [problem_json(problem) for problem in report.problems],
        },
    }


def print_report(report: "IngestReport", collection: "Collection") -> None:
    """Write a report to stdout, and what to do about it to stderr."""
    render.facts(
        [
            ("collection", collection.place),
            ("files", str(report.scanned)),
            ("new", _unless_zero(report.encoded)),
            ("moved or copied", _unless_zero(report.reused)),
            ("unchanged", _unless_zero(report.unchanged)),
            ("failed", _unless_zero(report.failed)),
            ("failed before", _unless_zero(report.failed_before)),
            ("read in part", _unless_zero(report.partial)),
            ("new captions", _unless_zero(report.captions)),
            ("forgotten", _unless_zero(report.removed)),
            ("gone but kept", _unless_zero(report.spared)),
            ("not media", _ignored(report)),
            ("items added", str(report.items)),
            ("items removed", _unless_zero(report.items_removed)),
            ("seconds", f"{report.seconds:.1f}"),
        ]
    )
    if report.spared and report.scanned:
        render.note(
            f"{count_files(report.spared)} that are gone are kept, for a drive may be off; "
            "--dry-run lists them, --prune forgets them"
        )
    if report.failed:
        render.note(
            f"{count_files(report.failed)} could not be indexed; see: omnidex status --problems"
        )


def count_files(count: int) -> str:
    """So many files, in words."""
    return counted(count, "file")


def _unless_zero(count: int) -> str:
    return str(count) if count else ""


def _ignored(report: "IngestReport", most: int = 5) -> str:
    """How many files were passed over, with the commonest suffixes."""
    ranked: Sequence[tuple[str, int]] = sorted(report.ignored.items(), key=lambda pair: -pair[1])
    if not ranked:
        return ""
    named = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in ranked[:most])
    return f"{sum(report.ignored.values())} ({named}{', ...' if len(ranked) > most else ''})"
