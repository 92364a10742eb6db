"""Ids as people give them: a whole one, or as much of one as is needed to tell it from others."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from omni_encoder import QueryError

if TYPE_CHECKING:
    from .rows import Facts

# The first digits of a content, then perhaps a modality or how it begins, and a part.
_ID = re.compile(r"([0-9a-f]{4,32})(?:\.([a-z]+))?(?:\.([0-9]{1,9}))?")
_LISTED = 3


def resolve(id_prefix: str, find: Callable[[str], Sequence["Facts"]]) -> "Facts":
    """The item that an id or the beginning of one stands for.

    Args:
        id_prefix: At least four digits. A part may follow after a dot; without one the first part
            is meant.
        find: What gives the items whose content begins with some digits.

    Raises:
        QueryError: There is no such item, or several begin like this.
    """
    match = _ID.fullmatch(id_prefix.lower())
    if match is None:
        raise QueryError(
            f"{id_prefix!r} is not an id",
            hint="give at least the first four digits of one, such as 3f2a, or 3f2a9c01be.2",
        )
    digits, kind, part = match.groups()
    found = [
        one
        for one in find(digits)
        if one.key.modality.startswith(kind or "") and part in (None, str(one.part))
    ]
    if not found:
        raise QueryError(f"no item has the id {id_prefix}")
    keys = sorted({one.key for one in found})
    if len(keys) > 1:
        listed = ", ".join(f"{key.content}.{key.modality}" for key in keys[:_LISTED])
        more = " and others" if len(keys) > _LISTED else ""
        raise QueryError(
            f"{len(keys)} items have an id that begins with {id_prefix}: {listed}{more}",
            hint="give more of it",
        )
    return min(found, key=lambda one: one.part)
