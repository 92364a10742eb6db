"""`omnidex index`: bring a collection up to date with some folders."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import errors, render
from .errors import NOTHING_FOUND, Interrupted, UsageProblem
from .options import (
    CollectionOption,
    EncoderOption,
    JsonOption,
    ThreadsOption,
    collection_directory,
)

if TYPE_CHECKING:
    from indexer import Collection, IngestReport, Problem, Progress
    from omni_encoder import Encoder


def index(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Folders and files to index.", show_default=False),
    ],
    *,
    encoder: EncoderOption = None,
    threads: ThreadsOption = None,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Forget the files of a folder that is empty now; otherwise an empty folder counts "
            "as a drive that is not mounted.",
        ),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Read files again that failed before.")
    ] = False,
    as_json: JsonOption = False,
    collection: CollectionOption = None,
) -> None:
    """Index folders and files: new and changed ones are encoded, vanished ones forgotten.

    A file that can't be read is skipped; `omnidex status --problems` lists it.
    Ctrl-C keeps what is finished, and the same command goes on from there.

    Example:
    omnidex index ~/Pictures ~/Music
    omnidex index photos -c photos.omnidex --encoder open_clip:ViT-B-32/openai
    """
    for path in paths:
        if not os.path.lexists(path):
            raise UsageProblem(
                f"there is no file or folder {path}",
                hint="if it is on another drive, see that it is mounted",
            )
    directory = collection_directory(collection)
    opened, loaded = _open(directory, encoder_name(encoder), threads)

    from indexer import IngestOptions, ingest

    with opened, render.progress() as advance:
        try:
            report = ingest(
                paths,
                opened,
                loaded,
                options=IngestOptions(prune=prune, retry_failed=retry_failed),
                progress=lambda progress: _show(progress, advance),
            )
        except KeyboardInterrupt:
            kept = sum(opened.counts().values())
            raise Interrupted(
                f"Interrupted: {kept} items are kept in {directory}; "
                "the same command goes on from there."
            ) from None
    if as_json:
        render.write_json(_report_json(report, opened))
    else:
        _print_report(report, opened)
    if not report.scanned:
        _say_nothing_found(paths, report, as_json=as_json)
        raise typer.Exit(NOTHING_FOUND)


def encoder_name(given: str | None) -> str | None:
    """The encoder's name, with the path of a checkpoint of ours made absolute.

    A collection records the name, and is used from other folders too.
    """
    if given is None:
        return None
    family, _, rest = given.partition(":")
    return f"omni:{Path(rest).expanduser().absolute()}" if family == "omni" and rest else given


def problem_json(problem: "Problem") -> dict[str, str]:
    """A file that couldn't be indexed, as it stands in JSON."""
    return {
        "path": str(problem.path),
        "reason": problem.reason,
        "message": problem.message,
    }


def _open(
    directory: Path, name: str | None, threads: int | None
) -> tuple["Collection", "Encoder | Callable[[], Encoder]"]:
    """Open the collection, or make one; its own encoder isn't loaded before it is needed."""
    from indexer import Collection
    from indexer.manifest import MANIFEST_NAME
    from omni_encoder import load_encoder
    from omni_encoder.registry import DEFAULT_ENCODER

    if not (directory / MANIFEST_NAME).exists():
        loaded = load_encoder(name or DEFAULT_ENCODER, threads=threads)
        return Collection.create(directory, loaded.spec, means=loaded.means), loaded
    opened = Collection.open(directory)
    recorded = opened.spec.name
    if name is not None and name != recorded:
        return opened, load_encoder(name, threads=threads)  # `ingest` checks it
    return opened, lambda: load_encoder(recorded, threads=threads)


def _show(progress: "Progress", advance: render.Advance) -> None:
    from indexer import Phase

    what = {Phase.SCAN: "Looking", Phase.READ: "Encoding", Phase.FINISH: "Finishing"}
    total = None if progress.phase is Phase.SCAN else progress.total
    items = f"{progress.items} items" if progress.items else ""
    advance(what[progress.phase], progress.done, total, items)


def _report_json(report: "IngestReport", collection: "Collection") -> dict[str, object]:
    return {
        "schema": render.SCHEMA,
        "collection": str(collection.directory),
        "encoder": collection.spec.name,
        "report": asdict(report)
        | {
            "ignored": dict(report.ignored),
            "problems": [problem_json(problem) for problem in report.problems],
        },
    }


def _print_report(report: "IngestReport", collection: "Collection") -> None:
    render.facts(
        [
            ("collection", str(collection.directory)),
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
            f"{_files(report.spared)} that are gone are kept, for a drive may be off; see --prune"
        )
    if report.failed:
        render.note(f"{_files(report.failed)} could not be indexed; see: omnidex status --problems")


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _say_nothing_found(paths: Sequence[Path], report: "IngestReport", *, as_json: bool) -> None:
    """Say that there are no media, and that what was known of an empty folder is kept."""
    message = f"No media found in {', '.join(map(str, paths))}."
    hint = ""
    if report.spared:
        message += f" {_files(report.spared)} that the collection knows of are kept."
        hint = "index with --prune to forget them"
    if as_json:
        errors.report(errors.Failure(message, hint, "nothing-found"), as_json=True)
    else:
        render.note(f"{message}\nHint: {hint}" if hint else message)


def _unless_zero(count: int) -> str:
    return str(count) if count else ""


def _ignored(report: "IngestReport", most: int = 5) -> str:
    """How many files were passed over, with the commonest suffixes."""
    ranked: Sequence[tuple[str, int]] = sorted(report.ignored.items(), key=lambda pair: -pair[1])
    if not ranked:
        return ""
    named = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in ranked[:most])
    return f"{sum(report.ignored.values())} ({named}{', ...' if len(ranked) > most else ''})"
