"""What crosses the border of indexer: records, answers and reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from omni_encoder import Modality, Span

SHORT_HEX = 10


@dataclass(frozen=True, slots=True)
class Record:
    """One item of a collection: a part of a content, with everything known about it but its vector.

    Attributes:
        id: `CONTENT.MODALITY.PART`, the same wherever the file lies.
        content: Hex digest of the file's bytes, 32 digits.
        modality: What it is.
        part: Number of the part within its file, from 0.
        span: Where a part of audio or video lies.
        mime: Media type, such as `image/jpeg`.
        paths: The files that hold this content, sorted; empty when none is known.
        title: Title from the file's own metadata.
        caption: Caption from a sidecar file.
        text: The passage itself, for text.
        width: Pixels.
        height: Pixels.
        duration: Seconds of the whole file.
        bytes: Size of the file; 0 when no path is known.
        mtime: When the first of `paths` was changed, in seconds since 1970.
    """

    id: str
    content: str
    modality: Modality
    part: int
    span: Span | None
    mime: str
    paths: tuple[Path, ...]
    title: str | None
    caption: str | None
    text: str | None
    width: int | None
    height: int | None
    duration: float | None
    bytes: int
    mtime: float

    @property
    def short_id(self) -> str:
        """The id as people are shown it: ten digits, and the part if it isn't the first."""
        return self.content[:SHORT_HEX] + (f".{self.part}" if self.part else "")


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The answer to one question: best first, equal scores by row number.

    Attributes:
        rows: Row numbers, which stay the same for as long as the row lives.
        scores: Cosines after centring, in [-1, 1] up to rounding.
    """

    rows: Int64[np.ndarray, " hits"]
    scores: Float32[np.ndarray, " hits"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that could not be indexed, or only in part.

    Attributes:
        path: The file.
        reason: A short stable code, such as `truncated`, `empty` or `partial`.
        message: One sentence for people.
    """

    path: Path
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Removal:
    """What was taken out of a collection; nothing on the disk is touched.

    Attributes:
        paths: The files that were forgotten.
        items: How many items were deleted, because no path holds their content any more.
    """

    paths: tuple[Path, ...]
    items: int


class Phase(StrEnum):
    """What an ingest is doing."""

    SCAN = "scan"
    READ = "read"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an ingest is.

    Attributes:
        phase: What it is doing.
        done: Files dealt with in this phase.
        total: Files to deal with in this phase; equal to `done` while that is still unknown.
        bytes_done: Bytes of those files.
        bytes_total: Bytes of all files of this phase.
        items: Rows encoded so far.
    """

    phase: Phase
    done: int
    total: int
    bytes_done: int = 0
    bytes_total: int = 0
    items: int = 0


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How to ingest.

    Attributes:
        batch_items: How many items of one modality are encoded at once.
        decode_threads: How many threads read and decode files.
        in_flight_bytes: How much decoded media may wait for the encoder. A single larger item
            is let through alone.
        commit_rows: A commit follows at the latest when so many rows wait,
        commit_seconds: or when so many seconds have passed since the last one.
        retry_failed: Read files again that failed before and have not changed since.
        prune: Forget the files of a root that exists but holds no media at all, and of a folder
            that exists but is empty. Without it these are taken for drives that are not mounted.
    """

    batch_items: int = 16
    decode_threads: int = 2
    in_flight_bytes: int = 256 * 2**20
    commit_rows: int = 256
    commit_seconds: float = 5.0
    retry_failed: bool = False
    prune: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_items", "decode_threads", "in_flight_bytes", "commit_rows"):
            value: int = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.commit_seconds < 0:
            raise ValueError(f"commit_seconds must not be negative, got {self.commit_seconds}")


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did, counted in files unless said otherwise.

    Every file that was `scanned` is one of: unchanged, encoded, reused, failed, or failed before.

    Attributes:
        scanned: Media files found.
        unchanged: Files whose content is as the catalogue has it.
        encoded: Files whose content was new.
        reused: New paths of content that was known: moved, copied or renamed files.
        failed: Files that could not be indexed in this run; those that couldn't even be looked
            at are among them, and are not among the scanned ones.
        failed_before: Files that failed in an earlier run and were not read again, as they have
            not changed.
        partial: Files of those scanned of which only a part could be read, in this run or before.
        captions: Contents that have another caption now, as a sidecar was changed.
        removed: Paths that are gone from the disk and were forgotten.
        spared: Paths that are gone but were kept, as their drive may not be mounted; see `prune`.
        items: Rows added.
        items_removed: Rows deleted, because no path holds their content any more.
        ignored: How many files there were of each suffix that is not media.
        problems: Why files failed in this run.
        seconds: Wall time.
    """

    scanned: int = 0
    unchanged: int = 0
    encoded: int = 0
    reused: int = 0
    failed: int = 0
    failed_before: int = 0
    partial: int = 0
    captions: int = 0
    removed: int = 0
    spared: int = 0
    items: int = 0
    items_removed: int = 0
    ignored: Mapping[str, int] = field(default_factory=dict[str, int])
    problems: tuple[Problem, ...] = ()
    seconds: float = 0.0


@dataclass(slots=True)
class Tally:
    """What an ingest has done so far; see `IngestReport`."""

    unchanged: int = 0
    failed_before: int = 0
    partial: int = 0
    encoded: int = 0
    reused: int = 0
    removed: int = 0
    spared: int = 0
    settled: int = 0
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list[Problem])
