"""Which files are forgotten: those that a user names, and in a run those that are certainly gone.

In a run they aren't forgotten if a drive may be off. A file that is found at another path loses
nothing, so it never counts as lost.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omni_encoder import QueryError

from .catalogue import ContentKey, FileRow
from .scan import Scan, absolute, folders_above, is_gone, is_under
from .types import FORGET_FREELY, IngestOptions, Removal
from .writer import Writer


def remove(
    targets: Sequence[Path | str], writer: Writer, find: Callable[[str], ContentKey]
) -> Removal:
    """Forget files, and delete the items that no other file holds.

    Args:
        targets: As `Collection.remove` takes them.
        writer: Of the collection.
        find: The content of an item, by the beginning of its id.

    Raises:
        QueryError: A target is not in the collection; nothing is removed then.
    """
    paths: set[bytes] = set()
    held: set[ContentKey] = set()
    named: list[ContentKey] = []
    catalogue = writer.catalogue
    for target in targets:
        if isinstance(target, str):
            named.append(find(target))
            continue
        found = catalogue.files_under([os.fsencode(absolute(target))])
        if not found:
            raise QueryError(f"nothing of {target} is in the collection")
        paths |= found.keys()
        held |= {row.key for row in found.values() if row.key is not None}
    for key in named:
        paths |= catalogue.paths_of(key)
    copies = sum(len(here & paths) for here in map(catalogue.paths_of, held) if not here <= paths)
    # Items first: after a kill the catalogue forgets files whose items are gone, and no others.
    writer.delete(named + [key for key in sorted(held) if catalogue.paths_of(key) <= paths])
    for key in named:
        catalogue.forget_content(key)
    writer.forget(sorted(paths))
    writer.sweep()
    files = tuple(Path(os.fsdecode(path)) for path in sorted(paths))
    return Removal(files, writer.items_removed, copies)


@dataclass(frozen=True, slots=True)
class Departures:
    """What is known and was not found.

    Attributes:
        forgotten: Paths to be forgotten, sorted.
        spared: Paths that are gone and are kept: their drive may be off, or they are too many.
    """

    forgotten: list[bytes]
    spared: list[bytes]


def departures(
    found: Scan,
    known: Mapping[bytes, FileRow],
    paths_of: Callable[[ContentKey], set[bytes]],
    options: IngestOptions,
) -> Departures:
    """Decide on what is known under the roots of a scan and was not found by it.

    Args:
        found: The scan.
        known: What the catalogue has under its roots.
        paths_of: All paths that the catalogue has for a content.
        options: `prune` spares nothing.
    """
    gone = _gone(known, found)
    if options.prune:
        return Departures(gone, [])
    empty = [os.fsencode(root) for root in found.empty_roots]
    lost: list[bytes] = []
    spared: set[bytes] = set()
    for path in gone:
        if any(is_under(path, root) for root in empty):
            spared.add(path)
        elif not _is_elsewhere(path, found, known, paths_of):
            lost.append(path)
            key, bare = known[path].key, found.bare_folders
            if key is not None and not bare.isdisjoint(folders_above(path)):
                spared.add(path)
    spared |= _too_many(lost, found, known, options.forget_share)
    return Departures([path for path in gone if path not in spared], sorted(spared))


def _gone(known: Mapping[bytes, FileRow], found: Scan) -> list[bytes]:
    """The known paths that are certainly not there any more, or that an ignore file keeps out."""
    seen = found.files.keys() | {os.fsencode(problem.path) for problem in found.problems}
    return [
        path
        for path in sorted(known.keys() - seen)
        if found.in_scope(path) and (is_gone(Path(os.fsdecode(path))) or found.is_ignored(path))
    ]


def _is_elsewhere(
    path: bytes,
    found: Scan,
    known: Mapping[bytes, FileRow],
    paths_of: Callable[[ContentKey], set[bytes]],
) -> bool:
    key = known[path].key
    return key is not None and any(map(found.has, paths_of(key)))


def _too_many(
    lost: list[bytes], found: Scan, known: Mapping[bytes, FileRow], share: float
) -> set[bytes]:
    """The lost paths of roots that would lose more than their share."""
    spared: set[bytes] = set()
    for root in map(os.fsencode, found.roots):
        here = [path for path in lost if is_under(path, root)]
        if len(here) <= FORGET_FREELY:
            continue
        count = sum(is_under(path, root) for path in known)
        count += sum(mark.files for at, mark in found.same.items() if is_under(at, root))
        if len(here) > share * count:
            spared.update(here)
    return spared
