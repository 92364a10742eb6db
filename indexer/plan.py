"""What an ingest would do, without doing it: the same scan and the same rules, nothing written.

Changed files are hashed, as only their content tells a new file from a moved one; none is decoded.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from omni_encoder.media import guess_modality

from .catalogue import Catalogue
from .collection import Collection
from .entries import ContentKey, FileRow, FileStamp
from .ingest import changed_files
from .removal import departures
from .scan import scan
from .types import IngestOptions, Phase, Progress


class Action(StrEnum):
    """What would happen to a path."""

    ENCODE = "encode"
    REUSE = "reuse"
    UPDATE = "update"
    FORGET = "forget"
    KEEP = "keep"
    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Step:
    """What would happen to one path.

    Attributes:
        action: `encode` reads and encodes it; `reuse` enters another path of a known content;
            `update` enters a new time stamp or caption; `forget` drops a path that is gone; `keep`
            keeps one that is gone; `pass` passes it over; `fail` can't look at it.
        path: The file, or a folder that is passed over.
        why: One word or sentence; empty where the action says it all.
    """

    action: Action
    path: Path
    why: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an ingest would do.

    Attributes:
        steps: What would happen to every path but the unchanged ones; sorted by action and path.
        unchanged: How many files are as the collection knows them.
        failed_before: How many files failed before and would not be read again.
    """

    steps: tuple[Step, ...]
    unchanged: int
    failed_before: int


def plan(
    roots: Sequence[Path],
    directory: Path,
    *,
    options: IngestOptions | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Plan:
    """Find out what `ingest` would do with the same arguments.

    Args:
        roots: Files and folders.
        directory: The collection's directory; it need not exist.
        options: How to ingest.
        progress: Called after every file that was looked into.

    Raises:
        MediaError: A root doesn't exist.
        CollectionError: The catalogue is damaged.
    """
    options = options or IngestOptions()
    found = scan(roots, options.selection)
    catalogue = Catalogue.open_to_read(directory)
    known = catalogue.files_under(map(os.fsencode, found.roots))
    contents = _contents(directory, catalogue)
    known = {path: row for path, row in known.items() if row.key is None or row.key in contents}
    changed = changed_files(found, known, retry_failed=options.retry_failed)
    steps, moved = _new_steps(changed, known, contents, progress)
    left = departures(
        found,
        known,
        lambda key: catalogue.paths_of(key) | moved.get(key.content, set()),
        options,
    )
    catalogue.close()
    steps += [Step(Action.FORGET, _path(path)) for path in left.forgotten]
    steps += [Step(Action.KEEP, _path(path), "its drive may be off") for path in left.spared]
    steps += [Step(Action.PASS, _path(path), reason) for path, reason in found.passed.items()]
    steps += [Step(Action.FAIL, problem.path, problem.message) for problem in found.problems]
    same = found.files.keys() - changed.keys()
    failed_before = sum(known[path].key is None for path in same)
    ordered = sorted(steps, key=lambda step: (step.action, step.path))
    return Plan(tuple(ordered), len(same) - failed_before, failed_before)


def passed_over(directory: Path) -> list[Step]:
    """What the last runs passed over under the roots they were given, and why; sorted by path.

    Raises:
        CollectionError: The catalogue is damaged.
    """
    catalogue = Catalogue.open_to_read(directory)
    found = [Step(Action.PASS, _path(path), reason) for path, reason in catalogue.passed()]
    catalogue.close()
    return found


def _new_steps(
    changed: Mapping[bytes, FileStamp],
    known: Mapping[bytes, FileRow],
    contents: set[ContentKey],
    progress: Callable[[Progress], None] | None,
) -> tuple[list[Step], dict[str, set[bytes]]]:
    """The steps for changed files, and at which new paths known contents were found."""
    from .reading import hash_file

    moved: dict[str, set[bytes]] = {}
    by_content = {key.content: key for key in contents}
    planned: set[str] = set()  # contents that are new, and encoded for another path
    steps: list[Step] = []
    for number, (name, stamp) in enumerate(changed.items()):
        path, row = _path(name), known.get(name)
        try:
            content = hash_file(path)
        except OSError as error:
            steps.append(Step(Action.FAIL, path, f"it can't be read: {error.strerror or error}"))
            continue
        if progress is not None:
            progress(Progress(Phase.READ, number + 1, len(changed)))
        modality = guess_modality(path)
        # An animation counts as a video: only its decoder tells, and the catalogue remembers.
        key = by_content.get(content)
        if row is not None and row.key is not None and row.key.content == content:
            caption = row.stamp.sidecar != stamp.sidecar
            steps.append(Step(Action.UPDATE, path, "caption" if caption else "time stamp"))
        elif key is not None or content in planned:
            moved.setdefault(content, set()).add(name)
            steps.append(Step(Action.REUSE, path, str(key.modality if key else modality)))
        else:
            planned.add(content)
            why = "new" if row is None else "failed before" if row.key is None else "changed"
            steps.append(Step(Action.ENCODE, path, why))
    return steps, moved


def _contents(directory: Path, catalogue: Catalogue) -> set[ContentKey]:
    """The contents that are there; after an unclean stop, the vectors have the last word."""
    if catalogue.clean() or not (directory / "omnidex.json").exists():
        return catalogue.contents()
    from .manifest import has_table
    from .table import VectorTable

    spec = Collection.open(directory).spec
    if not has_table(directory, spec):
        return set()
    complete, _ = VectorTable.open(directory, spec).inventory()
    return {row.key for row in complete}


def _path(name: bytes) -> Path:
    return Path(os.fsdecode(name))
