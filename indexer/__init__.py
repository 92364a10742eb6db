"""Collections on disk: what brings media in, and what finds them again."""

from .collection import Collection
from .ingest import ingest
from .types import (
    IngestOptions,
    IngestReport,
    Nearest,
    Phase,
    Problem,
    Progress,
    Record,
    Removal,
)

__all__ = [
    "Collection",
    "IngestOptions",
    "IngestReport",
    "Nearest",
    "Phase",
    "Problem",
    "Progress",
    "Record",
    "Removal",
    "ingest",
]
