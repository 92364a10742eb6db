"""Bringing a collection up to date with the disk: scan, read, encode, commit, prune.

An unchanged file costs one look at its time stamp, and a run that finds nothing else opens neither
the encoder nor the vectors.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from omni_encoder import Encoder
from omni_encoder.media import caption_of

from .collection import Collection
from .entries import FileRow, FileStamp
from .folders import FolderMark, Marks, folder_of
from .removal import departures
from .scan import Scan, absolute, check_roots, is_under, scan
from .types import Engine, IngestOptions, IngestReport, Phase, Problem, Progress, Tally
from .writer import Writer

if TYPE_CHECKING:
    from .local_engine import LocalRun
    from .ray_engine import RayRun


def ingest(
    roots: Sequence[Path],
    collection: Collection,
    encoder: Encoder | Callable[[], Encoder],
    *,
    options: IngestOptions | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> IngestReport:
    """Bring a collection up to date with some files and folders.

    Paths outside the roots are left alone. Whatever stops it, finished batches are kept, and the
    next run goes on from there.

    Args:
        roots: Files, and folders with everything under them.
        collection: Where the items go.
        encoder: The collection's encoder, or what loads it if something must be encoded.
        options: How to do it; None stands for the defaults.
        progress: Called after every file, on the calling thread.

    Raises:
        MediaError: A root doesn't exist; nothing has been changed then.
        EncoderMismatchError: Another encoder made the collection.
        CollectionError: Another process is writing, or the collection is damaged.
    """
    started = time.monotonic()
    options = options or IngestOptions()
    tell = progress or _tell_nobody
    if isinstance(encoder, Encoder):
        collection.check_encoder(encoder.spec)
    check_roots(roots)
    with collection.writing("index") as writer:
        # What is known of every file is let go before the table and the cache are tidied up.
        report = _update(roots, collection, encoder, writer, options, tell=tell)
    return replace(
        report,
        captions=writer.captions,
        items=writer.items,
        items_removed=writer.items_removed,
        seconds=time.monotonic() - started,
    )


def _update(
    roots: Sequence[Path],
    collection: Collection,
    encoder: Encoder | Callable[[], Encoder],
    writer: Writer,
    options: IngestOptions,
    *,
    tell: Callable[[Progress], None],
) -> IngestReport:
    """All that is done file by file; the report lacks what only the end shows."""
    tell(Progress(Phase.SCAN, 0, 0))
    marks: Mapping[bytes, Marks] = {} if options.retry_failed else _marks(roots, writer)
    found = scan(roots, options.selection, marks)
    tell(Progress(Phase.SCAN, found.count, found.count))
    tally = Tally(problems=list(found.problems))
    known = _known(found, marks, writer)
    _enter_problems(found.problems, known, writer)
    changed = changed_files(found, known, retry_failed=options.retry_failed)
    same = found.files.keys() - changed.keys()
    tally.failed_before = sum(known[path].key is None for path in same)
    tally.failed_before += sum(mark.failed for mark in found.same.values())
    tally.unchanged = found.count - len(changed) - tally.failed_before
    if changed:
        run = _run_of(options.engine)(collection, encoder, writer, tally, options)
        run.read(changed, known, tell)
    tell(Progress(Phase.FINISH, tally.settled, tally.settled, items=writer.items))
    writer.commit()
    left = departures(found, known, writer.catalogue.paths_of, options)
    gone = left.forgotten
    tally.removed, tally.spared = len(gone), len(left.spared)
    _take_captions_back(gone, known, writer)
    writer.forget(gone)
    writer.sweep()
    writer.set_passed([*map(os.fsencode, found.roots)], found.passed)
    tally.partial = sum(map(found.has, writer.catalogue.partial_paths()))
    _mark_folders(found, marks, writer)
    return _report(found, tally)


def _run_of(engine: Engine) -> "type[LocalRun | RayRun]":
    """What reads and encodes; imported late, as most runs find nothing new."""
    if engine is Engine.RAY:
        from .ray_engine import RayRun

        return RayRun
    from .local_engine import LocalRun

    return LocalRun


def changed_files(
    found: Scan, known: Mapping[bytes, FileRow], *, retry_failed: bool
) -> dict[bytes, FileStamp]:
    """The files that are not as the catalogue has them."""
    changed: dict[bytes, FileStamp] = {}
    for path, stamp in found.files.items():
        row = known.get(path)
        if row is None or row.stamp != stamp or (retry_failed and row.key is None):
            changed[path] = stamp
    return changed


def _marks(roots: Sequence[Path], writer: Writer) -> Mapping[bytes, Marks]:
    """What the folders under the roots were like when a run last went through them."""
    return writer.catalogue.folders_under(os.fsencode(absolute(root)) for root in roots)


def _known(found: Scan, marks: Mapping[bytes, Marks], writer: Writer) -> dict[bytes, FileRow]:
    """What the catalogue has under the roots, but for folders that are as they were."""
    known: dict[bytes, FileRow] = {}
    for root in map(os.fsencode, found.roots):
        if root in marks:
            known.update(writer.catalogue.files_in(_unsure(root, found, marks), root))
        else:
            known.update(writer.catalogue.files_under([root]))
    return known


def _unsure(root: bytes, found: Scan, marks: Mapping[bytes, Marks]) -> set[bytes]:
    """The folders under a root of which each file must be compared; some may be gone."""
    looked = {folder for folder in found.looked if is_under(folder, root)}
    return (marks.get(root, {}).keys() - found.same.keys()) | looked


def _mark_folders(found: Scan, marks: Mapping[bytes, Marks], writer: Writer) -> None:
    """Mark the folders whose every file is now known as it was found; the others get no digest."""
    here = Counter(map(folder_of, found.files))
    for root in found.rules:
        new = {folder: mark for folder, mark in found.same.items() if is_under(folder, root)}
        known, as_found, failed = Counter[bytes](), Counter[bytes](), Counter[bytes]()
        unsure, catalogue = _unsure(root, found, marks), writer.catalogue
        some = catalogue.files_in(unsure, root).values() if root in marks else None
        for row in catalogue.each_under(root) if some is None else some:
            folder = folder_of(row.path)
            known[folder] += 1
            as_found[folder] += found.files.get(row.path) == row.stamp
            failed[folder] += row.key is None
        for folder in (unsure & found.looked.keys()) | known.keys():
            new[folder] = FolderMark()
            if here[folder] == known[folder] == as_found[folder]:
                digest = found.looked.get(folder, b"")
                new[folder] = FolderMark(digest, known[folder], failed[folder])
        faulty = {os.fsencode(problem.path) for problem in found.problems}
        # Of a folder that can't be listed a row stands in the one above, which may be as it was.
        new |= {folder_of(path): FolderMark() for path in faulty if is_under(path, root)}
        writer.mark_folders(root, {} if root in faulty else new)


def _enter_problems(
    problems: Sequence[Problem], known: Mapping[bytes, FileRow], writer: Writer
) -> None:
    """Enter what the scan couldn't look at, unless its content is known from a better day."""
    for problem in problems:
        path = os.fsencode(problem.path)
        row = FileRow(path, FileStamp(0, 0, 0), None, problem.reason, problem.message)
        if path not in known or known[path].reason not in (None, problem.reason):
            writer.enter(row)


def _take_captions_back(
    gone: Sequence[bytes], known: Mapping[bytes, FileRow], writer: Writer
) -> None:
    """Where a file went with its sidecar, a copy that is left gives the caption, or none does."""
    captioned = [known[path] for path in gone if known[path].stamp.has_sidecar]
    for key in {row.key for row in captioned if row.key is not None}:
        left = {row.path for row in writer.catalogue.locations(key)}.difference(gone)
        if left:
            captions = (caption_of(Path(os.fsdecode(path))) for path in sorted(left))
            writer.set_caption(key, next(filter(None, captions), None))
    # Before the paths are forgotten: a run that is cut off here does it again.
    writer.commit()


def _report(found: Scan, tally: Tally) -> IngestReport:
    return IngestReport(
        scanned=found.count,
        unchanged=tally.unchanged,
        encoded=tally.encoded,
        reused=tally.reused,
        failed=len(tally.problems),
        failed_before=tally.failed_before,
        partial=tally.partial,
        captions=0,
        removed=tally.removed,
        spared=tally.spared,
        items=0,
        items_removed=0,
        ignored=dict(found.ignored),
        passed=dict(Counter(map(str, found.passed.values()))),
        problems=tuple(sorted(tally.problems, key=lambda problem: problem.path)),
        seconds=0,
    )


def _tell_nobody(_: Progress) -> None:
    return
