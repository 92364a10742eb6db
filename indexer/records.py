"""Records: what the table and the catalogue know of an item, put together."""

import os
from collections.abc import Sequence, Set
from pathlib import Path

from .catalogue import Location
from .rows import Facts
from .types import Record


def to_record(
    facts: Facts, locations: Sequence[Location], chosen: Set[bytes] | None = None
) -> Record:
    """What is known of an item, from the table and the catalogue together.

    If some paths are `chosen`, the others are left out.
    """
    fitting = [location for location in locations if chosen and location.path in chosen]
    locations = fitting or locations
    first = locations[0] if locations else None
    return Record(
        id=facts.id,
        content=facts.key.content,
        modality=facts.key.modality,
        part=facts.part,
        span=facts.span,
        mime=facts.mime,
        paths=tuple(Path(os.fsdecode(location.path)) for location in locations),
        title=facts.title,
        caption=facts.caption,
        text=facts.text,
        width=facts.width,
        height=facts.height,
        duration=facts.duration,
        bytes=first.size if first else 0,
        mtime=first.mtime_ns / 1e9 if first else 0.0,
    )
