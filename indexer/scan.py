"""Which media files lie under some folders, and what tells whether one of them has changed.

Links to folders are not followed, so that a loop can't trap the scan; links to files are. What is
passed over, and why, is kept too.
"""

import os
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from pathlib import Path

from omni_encoder import MediaError, Modality
from omni_encoder.media import SUFFIXES, guess_modality, is_sidecar, sidecar_names, sidecar_of

from .entries import FileStamp
from .folders import FolderMark, Marks, digest_of, folder_of
from .manifest import MANIFEST_NAME
from .selection import IGNORE_NAME, Layer, Passed, Rules, Selection, read_ignore_file
from .stamps import listed, make_stamp, regular
from .types import Problem

_SUFFIXES = frozenset(SUFFIXES)
_NUMBERS = attrgetter("st_size", "st_mtime_ns", "st_ino", "st_ctime_ns")


@dataclass(slots=True)
class Scan:
    """What a scan found.

    Attributes:
        roots: Where it looked, as absolute paths.
        files: The media files, by path, sorted.
        ignored: How many files there were of each suffix that is not media.
        passed: The files and folders that were passed over, and why.
        problems: What can't be looked at.
        empty_roots: Roots that hold no media at all.
        bare_folders: Folders that hold nothing at all, as one does where no drive is mounted.
        rules: The selection, under each root that is a folder.
        same: The folders that are as they were marked; their files are not among `files`.
        looked: The digests of the other folders; empty where a file couldn't be looked at.
    """

    roots: list[Path] = field(default_factory=list[Path])
    files: dict[bytes, FileStamp] = field(default_factory=dict[bytes, FileStamp])
    ignored: Counter[str] = field(default_factory=Counter[str])
    passed: dict[bytes, Passed] = field(default_factory=dict[bytes, Passed])
    problems: list[Problem] = field(default_factory=list[Problem])
    empty_roots: list[Path] = field(default_factory=list[Path])
    bare_folders: set[bytes] = field(default_factory=set[bytes])
    rules: dict[bytes, Rules] = field(default_factory=dict[bytes, Rules])
    same: dict[bytes, FolderMark] = field(default_factory=dict[bytes, FolderMark])
    looked: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])

    @property
    def count(self) -> int:
        """How many media files there are."""
        return len(self.files) + sum(mark.files for mark in self.same.values())

    def has(self, path: bytes) -> bool:
        """Whether a known path was found."""
        return path in self.files or folder_of(path) in self.same

    def in_scope(self, path: bytes) -> bool:
        """Whether a path that is not among `files` would be, by the patterns that were asked for.

        Only of such a path does its absence say anything.
        """
        above = [root for root in self.rules if is_under(path, root)]
        text = os.fsdecode(path)
        return not above or any(self.rules[root].in_scope(text) for root in above)

    def is_ignored(self, path: bytes) -> bool:
        """Whether an ignore file keeps a path, or a folder above it, out."""
        if self.passed.get(path) is Passed.IGNORED:
            return True
        return any(self.passed.get(folder) is Passed.IGNORED for folder in folders_above(path))


@dataclass(slots=True)
class _Folder:
    """A folder that is being looked through."""

    path: str
    names: set[str]
    layers: tuple[Layer, ...]
    sidecars: set[str] = field(init=False)  # names of captions, which are no items of their own

    def __post_init__(self) -> None:
        self.sidecars = _sidecars(self.names)

    def at(self, name: str) -> str:
        """The path of an entry."""
        return os.path.join(self.path, name)  # noqa: PTH118 - a tenth of the time of a Path


def absolute(path: Path) -> Path:
    """The path as a collection records it: absolute, without `..`, links left as they are."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow links


def check_roots(roots: Sequence[Path]) -> None:
    """Make sure that there are roots to look through.

    Raises:
        MediaError: One of them doesn't exist.
    """
    for root in roots:
        if not os.path.lexists(root):
            raise MediaError(
                f"there is no file or folder {root}",
                reason="missing",
                hint="if it is on another drive, see that it is mounted",
            )


def scan(
    roots: Sequence[Path],
    selection: Selection | None = None,
    marks: Mapping[bytes, Marks] | None = None,
) -> Scan:
    """Find the media files that are, or lie under, the roots.

    Args:
        roots: Files and folders.
        selection: What to take of them; None stands for all.
        marks: For some roots, what their folders were like; those that still are, are only counted.

    Raises:
        MediaError: A root doesn't exist; nothing has been looked at then.
        OmniError: The selection has a pattern that is none.
    """
    check_roots(roots)
    selection, marks = selection or Selection(), marks or {}
    found = Scan(roots=[absolute(root) for root in roots])
    for root in found.roots:
        here = Scan()
        if root.is_dir():
            rules = Rules(selection, os.fspath(root))
            found.rules[os.fsencode(root)] = rules
            _scan_folder(root, rules, marks.get(os.fsencode(root), {}), here)
        else:
            _scan_file_root(root, here)
        if not here.count and not here.problems:
            found.empty_roots.append(root)
        found.files.update(here.files)
        found.problems += here.problems
        found.ignored += here.ignored
        found.passed.update(here.passed)
        found.bare_folders |= here.bare_folders
        found.same.update(here.same)
        found.looked.update(here.looked)
    found.files = dict(sorted(found.files.items()))
    for folder in found.same.keys() & found.looked.keys():
        del found.same[folder]  # roots that overlap, of which one has no marks
    return found


def stamp_of(path: Path, modality: Modality | None) -> FileStamp:
    """What tells whether a file, or its sidecar, has changed.

    Raises:
        OSError: The file isn't there, or isn't a regular file.
    """
    sidecar = None if modality is Modality.TEXT else sidecar_of(path)
    return make_stamp(path.stat(), sidecar.stat() if sidecar else None)


def is_under(path: bytes, root: bytes) -> bool:
    """Whether a path is a root, or lies below it."""
    return path == root or path.startswith(root.rstrip(b"/") + b"/")


def folders_above(path: bytes) -> list[bytes]:
    """The folders that a path lies in, the nearest first."""
    found: list[bytes] = []
    while (above := os.path.dirname(path)) != path:  # noqa: PTH120 - these are bytes
        found.append(above)
        path = above
    return found


def is_gone(path: Path) -> bool:
    """Whether there is certainly no media file at a path that was known once.

    A path that can't be looked at, say on a drive with errors, isn't gone.
    """
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return stat.S_ISDIR(mode) or is_sidecar(path)


def _scan_folder(root: Path, rules: Rules, marks: Marks, found: Scan) -> None:
    # A stack of our own: folders can be nested deeper than Python's.
    stack: list[tuple[str, tuple[Layer, ...]]] = [(os.fspath(root), ())]
    while stack:
        current, layers = stack.pop()
        with ExitStack() as opened:
            try:
                entries = opened.enter_context(listed(current))
            except OSError as error:
                message = f"the folder can't be listed: {error.strerror}"
                found.problems.append(Problem(Path(current), "unreadable", message))
                continue
            names = {entry.name for entry in entries}
            if MANIFEST_NAME in names:
                found.passed[os.fsencode(current)] = Passed.COLLECTION
                continue
            if IGNORE_NAME in names:
                try:
                    layers = (*layers, read_ignore_file(current))
                except (OSError, ValueError) as error:
                    # Better to leave out too much than what was meant to stay private.
                    message = f"its {IGNORE_NAME} can't be used, so the folder is left out: {error}"
                    found.problems.append(Problem(Path(current), "ignore_file", message))
                    continue
            if all(name.startswith(".") for name in names):
                found.bare_folders.add(os.fsencode(current))
            folder = _Folder(current, names, layers)
            inner, taken = _look(entries, folder, rules, found)
            _stamp_all(taken, folder, marks, found)
            stack += [(path, layers) for path in inner]


def _look(
    entries: Sequence[os.DirEntry[str]], folder: _Folder, rules: Rules, found: Scan
) -> tuple[list[str], list[os.DirEntry[str]]]:
    """The folders in a folder that are to be looked into, and its media files."""
    inner: list[str] = []
    taken: list[os.DirEntry[str]] = []
    if not rules.has_patterns and not folder.layers:
        # Nearly every entry is a plain file of a known kind: for those this is all.
        taken = [
            entry
            for entry in entries
            if (name := entry.name)[name.rfind(".") :] in _SUFFIXES
            and name[0] != "."
            and entry.is_file(follow_symlinks=False)
        ]
    plain = set(taken) if len(taken) < len(entries) else ()
    for entry in entries if len(taken) < len(entries) else ():
        name = entry.name
        if entry in plain or name == IGNORE_NAME:
            continue
        if entry.is_dir(follow_symlinks=False):
            path = folder.at(name)
            reason = rules.folder(name, path, folder.layers)
            if reason is None:
                inner.append(path)
            else:
                found.passed[os.fsencode(path)] = reason
        elif _take(entry, folder, rules, found):
            taken.append(entry)
    if folder.sidecars:
        taken = [entry for entry in taken if entry.name not in folder.sidecars]
    return inner, taken


def _take(entry: os.DirEntry[str], folder: _Folder, rules: Rules, found: Scan) -> bool:
    """Whether an entry that is no folder is a media file to be taken."""
    suffix, path = _suffix(entry.name), folder.at(entry.name)
    reason = rules.file(entry.name, path, folder.layers)
    if reason is None and _is_linked_folder(entry):
        found.ignored["linked folder"] += 1
        reason = Passed.LINK
    elif reason is None and suffix not in SUFFIXES:
        found.ignored[suffix or "no suffix"] += 1
        reason = Passed.NOT_MEDIA
    if reason is not None:
        found.passed[os.fsencode(path)] = reason
    return reason is None


def _stamp_all(
    taken: Sequence[os.DirEntry[str]], folder: _Folder, marks: Marks, found: Scan
) -> None:
    """Take the media files of a folder, or count them if it is as it was marked."""
    sound, statuses = _sound(taken, folder, found)
    numbers = list(chain.from_iterable(map(_NUMBERS, statuses)))
    besides = _besides(sound, folder, found)
    sound = [entry for entry in sound if entry.name in besides] if folder.sidecars else sound
    names = [entry.name for entry in sound]
    for name, beside in besides.items():
        if beside is not None:
            names.append(name)
            numbers += (beside.st_size, beside.st_mtime_ns)
    key = os.fsencode(folder.path)
    digest = digest_of(names, numbers) if len(sound) == len(taken) else b""
    mark = marks.get(key)
    if mark is not None and digest and digest == mark.digest:
        found.same[key] = mark
        return
    found.looked[key] = digest
    for entry in sound:
        stamp = make_stamp(entry.stat(), besides.get(entry.name))
        found.files[os.fsencode(folder.at(entry.name))] = stamp


def _sound(
    taken: Sequence[os.DirEntry[str]], folder: _Folder, found: Scan
) -> tuple[Sequence[os.DirEntry[str]], list[os.stat_result]]:
    """Those that are regular files, or links to one, and the status that each keeps from now on."""
    with suppress(OSError):
        statuses = [entry.stat() for entry in taken]
        if all(map(stat.S_ISREG, {status.st_mode for status in statuses})):
            return taken, statuses
    sound: list[os.DirEntry[str]] = []
    for entry in taken:
        try:
            regular(entry.stat())
            sound.append(entry)
        except OSError as error:
            found.problems.append(_not_looked_at(Path(folder.at(entry.name)), error))
    return sound, [entry.stat() for entry in sound]


def _besides(
    sound: Sequence[os.DirEntry[str]], folder: _Folder, found: Scan
) -> dict[str, os.stat_result | None]:
    """The status of each file's caption, in a folder that has captions."""
    besides: dict[str, os.stat_result | None] = {}
    for entry in sound if folder.sidecars else ():
        try:
            besides[entry.name] = None
            if SUFFIXES[_suffix(entry.name)] is not Modality.TEXT:
                besides[entry.name] = _sidecar_status(entry.name, folder)
        except OSError as error:
            del besides[entry.name]
            found.problems.append(_not_looked_at(Path(folder.at(entry.name)), error))
    return besides


def _is_linked_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - a tenth of the time of a Path


def _sidecars(names: set[str]) -> set[str]:
    """The names in a folder that are captions of others."""
    # Most folders hold texts alone or none: that is counted at once, as no name holds a zero.
    listed = "\0".join((*names, ""))
    if listed.count(".txt\0") + listed.count(".TXT\0") in (0, len(names)):
        return set()
    texts = {name for name in names if name[-4:] in (".txt", ".TXT")}
    hosts = (name for name in names - texts if _suffix(name) in SUFFIXES)
    media = (name for name in hosts if SUFFIXES[_suffix(name)] is not Modality.TEXT)
    return texts & {candidate for name in media for candidate in sidecar_names(name)}


def _sidecar_status(name: str, folder: _Folder) -> os.stat_result | None:
    for candidate in sidecar_names(name):
        if candidate in folder.sidecars:
            path = f"{folder.path}{os.sep}{candidate}"
            status = os.stat(path)  # noqa: PTH116 - a fifth of the time of a Path
            if stat.S_ISREG(status.st_mode):
                return status
    return None


def _scan_file_root(path: Path, found: Scan) -> None:
    modality = guess_modality(path)
    if modality is None:
        message = f"{path.suffix or 'a file without a suffix'} is not a kind of media that is known"
        found.problems.append(Problem(path, "unsupported", message))
    elif is_sidecar(path):
        message = "it is the caption of another file, and found through that"
        found.problems.append(Problem(path, "sidecar", message))
    else:
        try:
            found.files[os.fsencode(path)] = stamp_of(path, modality)
        except OSError as error:
            found.problems.append(_not_looked_at(path, error))


def _not_looked_at(path: Path, error: OSError) -> Problem:
    return Problem(path, "unreadable", f"it can't be looked at: {error.strerror}")
