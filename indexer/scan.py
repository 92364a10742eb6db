"""Which media files lie under some folders, and what tells whether one of them has changed.

Hidden files, system folders and other collections are passed over. Links to folders are not
followed, so that a loop can't trap the scan; links to files are.
"""

import os
import stat
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omni_encoder import MediaError, Modality
from omni_encoder.media import guess_modality, is_sidecar, sidecar_of

from .catalogue import FileStamp
from .manifest import MANIFEST_NAME
from .types import Problem

SYSTEM_FOLDERS = frozenset(
    {
        "#recycle",
        "$RECYCLE.BIN",
        "@eaDir",
        "RECYCLER",
        "System Volume Information",
        "__MACOSX",
        "__pycache__",
        "lost+found",
        "node_modules",
    }
)

_SIGNED_63 = 2**63 - 1  # SQLite's integers; some file systems use inode numbers beyond


@dataclass(slots=True)
class Scan:
    """What a scan found.

    Attributes:
        roots: Where it looked, as absolute paths.
        files: The media files, by path, sorted.
        ignored: How many files there were of each suffix that is not media.
        problems: What can't be looked at.
        empty_roots: Roots that hold no media at all.
        bare_folders: Folders that hold nothing at all, as one does where no drive is mounted.
    """

    roots: list[Path] = field(default_factory=list[Path])
    files: dict[bytes, FileStamp] = field(default_factory=dict[bytes, FileStamp])
    ignored: Counter[str] = field(default_factory=Counter[str])
    problems: list[Problem] = field(default_factory=list[Problem])
    empty_roots: list[Path] = field(default_factory=list[Path])
    bare_folders: set[bytes] = field(default_factory=set[bytes])


def absolute(path: Path) -> Path:
    """The path as a collection records it: absolute, without `..`, links left as they are."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow links


def scan(roots: Sequence[Path]) -> Scan:
    """Find the media files that are, or lie under, the roots.

    Raises:
        MediaError: A root doesn't exist; nothing has been looked at then.
    """
    for root in roots:
        if not os.path.lexists(root):
            raise MediaError(
                f"there is no file or folder {root}",
                reason="missing",
                hint="if it is on another drive, see that it is mounted",
            )
    found = Scan(roots=[absolute(root) for root in roots])
    for root in found.roots:
        here = Scan()
        if root.is_dir():
            _scan_folder(root, here)
        else:
            _scan_file_root(root, here)
        if not here.files and not here.problems:
            found.empty_roots.append(root)
        found.files.update(here.files)
        found.problems += here.problems
        found.ignored += here.ignored
        found.bare_folders |= here.bare_folders
    found.files = dict(sorted(found.files.items()))
    return found


def stamp_of(path: Path, modality: Modality | None) -> FileStamp:
    """What tells whether a file, or its sidecar, has changed.

    Raises:
        OSError: The file isn't there, or isn't a regular file.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "not a regular file")
    sidecar = None if modality is Modality.TEXT else sidecar_of(path)
    beside = sidecar.stat() if sidecar else None
    return FileStamp(
        size=status.st_size,
        mtime_ns=_signed(status.st_mtime_ns),
        inode=status.st_ino & _SIGNED_63,
        sidecar_size=beside.st_size if beside else -1,
        sidecar_mtime_ns=_signed(beside.st_mtime_ns) if beside else -1,
    )


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


def _scan_folder(folder: Path, found: Scan) -> None:
    # A stack of our own: folders can be nested deeper than Python's.
    stack = [os.fspath(folder)]
    while stack:
        current = stack.pop()
        try:
            with os.scandir(current) as listing:
                entries = sorted(listing, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            message = f"the folder can't be listed: {error.strerror}"
            found.problems.append(Problem(Path(current), "unreadable", message))
            continue
        names = {entry.name for entry in entries}
        if MANIFEST_NAME in names:
            continue
        if all(name.startswith(".") for name in names):
            found.bare_folders.add(os.fsencode(current))
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in SYSTEM_FOLDERS:
                    stack.append(entry.path)
            elif entry.is_dir():
                found.ignored["linked folder"] += 1
            else:
                _add(Path(entry.path), found, names)


def _scan_file_root(path: Path, found: Scan) -> None:
    modality = guess_modality(path)
    if modality is None:
        message = f"{path.suffix or 'a file without a suffix'} is not a kind of media that is known"
        found.problems.append(Problem(path, "unsupported", message))
    elif is_sidecar(path):
        message = "it is the caption of another file, and found through that"
        found.problems.append(Problem(path, "sidecar", message))
    else:
        _add(path, found, {path.name})


def _add(path: Path, found: Scan, siblings: Collection[str]) -> None:
    modality = guess_modality(path)
    if modality is None:
        found.ignored[path.suffix.lower() or "no suffix"] += 1
        return
    if is_sidecar(path, siblings=siblings):
        return
    try:
        found.files[os.fsencode(path)] = stamp_of(path, modality)
    except OSError as error:
        message = f"it can't be looked at: {error.strerror}"
        found.problems.append(Problem(path, "unreadable", message))


def _signed(nanoseconds: int) -> int:
    return max(-_SIGNED_63, min(_SIGNED_63, nanoseconds))
