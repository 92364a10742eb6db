"""`omnidex index --watch`: one line, or one JSON document, for every run that changed something."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import render
from .errors import Interrupted
from .index_report import count_files, report_json

if TYPE_CHECKING:
    from indexer import Collection, IngestOptions, IngestReport
    from omni_encoder import Encoder

    from .coding import Coding


def follow_folders(
    paths: Sequence[Path],
    collection: "Collection",
    encoder: "Encoder | Callable[[], Encoder]",
    options: "IngestOptions",
    coder: "Coding",
    *,
    poll: bool,
    as_json: bool,
) -> None:
    """Index folders, then follow them until Ctrl-C."""
    from indexer import WatchOptions, watch
    from omni_encoder import CollectionError

    with collection:
        try:
            reports = watch(
                paths, collection, encoder, options=options, watching=WatchOptions(poll=poll)
            )
            for number, report in enumerate(reports):
                if number == 0 or _did_something(report):
                    try:
                        coder.bring_up_to_date(options)
                    except CollectionError as error:  # another writer, say: after the next change
                        render.note(error.message)
                if as_json and (number == 0 or _did_something(report)):
                    render.write_json(report_json(report, collection))
                elif not as_json and (number == 0 or _did_something(report)):
                    render.write(f"{_line(report)}\n")
                if number == 0:
                    render.note("Watching; Ctrl-C ends it.")
                render.flush()
        except KeyboardInterrupt:
            raise Interrupted("Stopped watching; everything is committed.") from None


def _did_something(report: "IngestReport") -> bool:
    counts = (report.encoded, report.reused, report.failed, report.captions, report.removed)
    return any(counts)


def _line(report: "IngestReport") -> str:
    named = {
        "new": report.encoded,
        "moved or copied": report.reused,
        "failed": report.failed,
        "new captions": report.captions,
        "forgotten": report.removed,
        "gone but kept": report.spared,
    }
    said = ", ".join(f"{count} {name}" for name, count in named.items() if count)
    return f"{count_files(report.scanned)}: {said or 'nothing new'}, {report.seconds:.1f} s"
