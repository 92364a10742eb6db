"""Which files and folders a scan takes: patterns, ignore files, hidden and system folders."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from omni_encoder import OmniError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_NAME = ".omnidexignore"
"""A file of patterns, as in `.gitignore`, that holds for its folder and all below it."""

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


class Passed(StrEnum):
    """Why a file or folder was passed over."""

    NOT_MEDIA = "not_media"
    HIDDEN = "hidden"
    SYSTEM = "system_folder"
    LINK = "linked_folder"
    COLLECTION = "collection"
    IGNORED = "ignored"
    EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True)
class Selection:
    """What a scan is asked to take. Files named as roots are taken whatever this says.

    Attributes:
        globs: Take only files that match one of these patterns; none stands for all files.
        excludes: Pass over files and folders that match one of these.
        hidden: Whether to look at names that begin with a dot.
    """

    globs: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    hidden: bool = False


class Layer:
    """Patterns that hold from one folder downwards."""

    def __init__(self, base: str, lines: Sequence[str]) -> None:
        """Compile patterns.

        Raises:
            ValueError: One of them is none.
        """
        self._start = len(base.rstrip(os.sep)) + 1
        self._spec = _compile(lines)

    def verdict(self, path: str, *, is_folder: bool) -> bool | None:
        """Whether the last pattern that fits a path ignores it; None if none fits."""
        relative = path[self._start :].replace(os.sep, "/")
        return self._spec.check_file(f"{relative}/" if is_folder else relative).include


class Rules:
    """A selection at work under one root."""

    def __init__(self, selection: Selection, root: str) -> None:
        """Compile a selection.

        Raises:
            OmniError: One of its patterns is none.
        """
        self._hidden = selection.hidden
        self._globs = _layer(root, selection.globs)
        self._excludes = _layer(root, selection.excludes)
        self._start = len(root.rstrip(os.sep)) + 1

    @property
    def has_patterns(self) -> bool:
        """Whether files are chosen by their names; ignore files aside."""
        return self._globs is not None or self._excludes is not None

    def folder(self, name: str, path: str, layers: Sequence[Layer]) -> Passed | None:
        """Why a folder is passed over; None if it is looked into."""
        if name.startswith(".") and not self._hidden:
            return Passed.HIDDEN
        if name in SYSTEM_FOLDERS:
            return Passed.SYSTEM
        return self._by_pattern(path, layers, is_folder=True)

    def file(self, name: str, path: str, layers: Sequence[Layer]) -> Passed | None:
        """Why a file is passed over whatever it holds; None if it is taken."""
        if name.startswith(".") and not self._hidden:
            return Passed.HIDDEN
        if self._globs is not None and not self._globs.verdict(path, is_folder=False):
            return Passed.EXCLUDED
        return self._by_pattern(path, layers, is_folder=False)

    def in_scope(self, path: str) -> bool:
        """Whether a file at a path would be looked at if it were there; ignore files aside."""
        if self._globs is None and self._excludes is None:
            return True
        if self._globs is not None and not self._globs.verdict(path, is_folder=False):
            return False
        return self._excludes is None or not self._excludes.verdict(path, is_folder=False)

    def _by_pattern(self, path: str, layers: Sequence[Layer], *, is_folder: bool) -> Passed | None:
        if self._excludes is not None and self._excludes.verdict(path, is_folder=is_folder):
            return Passed.EXCLUDED
        for layer in reversed(layers):  # the nearest ignore file has the last word
            verdict = layer.verdict(path, is_folder=is_folder)
            if verdict is not None:
                return Passed.IGNORED if verdict else None
        return None


def read_ignore_file(folder: str) -> Layer:
    """The patterns of a folder's ignore file.

    Raises:
        OSError: It can't be read.
        ValueError: A line is no pattern.
    """
    path = Path(folder) / IGNORE_NAME
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return Layer(folder, lines)


def _layer(root: str, patterns: Sequence[str]) -> Layer | None:
    if not patterns:
        return None
    try:
        return Layer(root, patterns)
    except ValueError as error:
        raise OmniError(
            f"{', '.join(patterns)}: {error}", hint="patterns are written as in a .gitignore file"
        ) from error


def _compile(lines: Sequence[str]) -> "GitIgnoreSpec":
    from pathspec import GitIgnoreSpec  # only who uses patterns pays for its import

    return GitIgnoreSpec.from_lines(lines)
