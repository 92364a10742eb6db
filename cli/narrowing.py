"""What `omnidex search` takes to narrow a search: folders, dates, types, and how it is done."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UsageProblem

if TYPE_CHECKING:
    from indexer import FileFilter, SearchMode

_PARTS = ("%Y", "%Y-%m")
_DEVICES = ("auto", "cpu", "cuda")
_MERGES = ("cosine", "standard", "rank")


def file_filter(
    folders: Sequence[Path], types: Sequence[str], *, after: str | None, before: str | None
) -> "FileFilter":
    """The filter that the options stand for.

    Raises:
        UsageProblem: A date or a type can't be understood.
    """
    from indexer import FileFilter

    named = [name.strip() for value in types for name in value.split(",")]
    named = list(dict.fromkeys(name for name in named if name))
    if types and not named:
        raise UsageProblem("--type is empty", hint="name suffixes or media types: --type jpg,png")
    return FileFilter(
        folders=tuple(folder.expanduser() for folder in folders),
        types=tuple(named),
        after=None if after is None else moment(after, option="--after"),
        before=None if before is None else moment(before, option="--before"),
    )


def absent_folders(chosen: "FileFilter", directory: Path) -> list[str]:
    """Why nothing could be found in some of the folders that were asked for, in words.

    Args:
        chosen: The filter.
        directory: Of the collection.
    """
    from indexer.catalogue import Catalogue
    from indexer.scan import absolute

    reasons: list[str] = []
    catalogue = Catalogue.open_to_read(directory)
    for folder in map(absolute, chosen.folders):
        if any(row.key for row in catalogue.files_under([os.fsencode(folder)]).values()):
            continue
        if os.path.lexists(folder):
            reasons.append(f"nothing in {folder} is indexed; to do so: omnidex index {folder}")
        else:
            reasons.append(f"there is no folder {folder}, and nothing of it is indexed")
    catalogue.close()
    return reasons


def search_mode(merge: str, device: str, *, exact: bool) -> "SearchMode":
    """The mode that the options stand for.

    Raises:
        UsageProblem: There is no such way to merge, or no such device.
    """
    if merge not in _MERGES:
        raise UsageProblem(
            f"--merge doesn't know {merge!r}", hint=f"use one of {', '.join(_MERGES)}"
        )
    if device not in _DEVICES:
        raise UsageProblem(
            f"--device doesn't know {device!r}", hint=f"use one of {', '.join(_DEVICES)}"
        )
    from indexer import Merge, SearchMode

    return SearchMode(exact=exact or device == "cuda", merge=Merge(merge), device=device)


def moment(text: str, *, option: str) -> float:
    """Seconds since 1970 at the beginning of a year, month or day, or at a certain time.

    Without a time zone the local one is meant.

    Raises:
        UsageProblem: It is no date.
    """
    for form in _PARTS:
        try:
            return datetime.strptime(text, form).astimezone().timestamp()
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageProblem(
            f"{option} doesn't understand {text!r}",
            hint="write a date such as 2024, 2024-06, 2024-06-30 or 2024-06-30T18:00",
        ) from error
