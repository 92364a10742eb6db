"""Collections on disk: what brings media in, and what finds them again."""

from .collection import Collection
from .duplicates import Copy, DuplicateOptions, Group, Likeness, duplicates
from .ingest import ingest
from .plan import Action, Plan, Step, passed_over, plan
from .selection import Passed, Selection
from .types import (
    CacheReport,
    Engine,
    IngestOptions,
    IngestReport,
    Merge,
    Nearest,
    Partition,
    Phase,
    Problem,
    Progress,
    Record,
    Removal,
    Restored,
    SearchMode,
    Version,
)
from .watch import WatchOptions, watch
from .where import FileFilter

__all__ = [
    "Action",
    "CacheReport",
    "Collection",
    "Copy",
    "DuplicateOptions",
    "Engine",
    "FileFilter",
    "Group",
    "IngestOptions",
    "IngestReport",
    "Likeness",
    "Merge",
    "Nearest",
    "Partition",
    "Passed",
    "Phase",
    "Plan",
    "Problem",
    "Progress",
    "Record",
    "Removal",
    "Restored",
    "SearchMode",
    "Selection",
    "Step",
    "Version",
    "WatchOptions",
    "duplicates",
    "ingest",
    "passed_over",
    "plan",
    "watch",
]
