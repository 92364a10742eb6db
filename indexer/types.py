"""What crosses the border of indexer: records, answers and reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np

from omni_encoder import Modality, Span
from omni_encoder.arrays import Float32, Int64

from .selection import Selection

SHORT_HEX = 10

FORGET_FREELY = 20
"""Up to so many files are forgotten at once, whatever their share is."""


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


class Merge(StrEnum):
    """How hits of several modalities come into one order.

    COSINE compares the scores as they are. STANDARD compares by how many standard deviations they
    stand out among the scores of their own modality. RANK takes the best of each modality in turn.
    """

    COSINE = "cosine"
    STANDARD = "standard"
    RANK = "rank"


@dataclass(frozen=True, slots=True)
class SearchMode:
    """How to search.

    Attributes:
        exact: Whether every item is compared. Otherwise large collections are searched by their
            codes, which find nearly all of the nearest (see `omnidex status`) much faster. Scores
            are exact either way.
        merge: How modalities come into one order.
        device: `cuda` lets torch compare every item on a GPU, `auto` does so if there is one; only
            for exact searches. Without a GPU one line is logged and the CPU does it.
    """

    exact: bool = False
    merge: Merge = Merge.COSINE
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"device must be auto, cpu or cuda, got {self.device!r}")


@dataclass(frozen=True, slots=True)
class Partition:
    """How the items of one modality are searched.

    Attributes:
        modality: What they are.
        items: How many there are.
        tail: How many of them came after the large segment was written; they are always compared.
        deleted: How many items of the large segment are gone.
        coded: Whether codes find the candidates; otherwise every item is compared.
        target: The recall that was asked for; None without codes.
        recall_within: Share of the true 10 nearest that were found, for items as queries.
        recall_across: The same for items of other modalities as queries.
        candidates: How many candidates the codes give when 10 hits are wanted.
        bytes: Size of its files.
    """

    modality: Modality
    items: int
    tail: int
    deleted: int
    coded: bool
    target: float | None
    recall_within: float | None
    recall_across: float | None
    candidates: int | None
    bytes: int

    @property
    def coverage(self) -> float:
        """Share of the items that the large segment holds."""
        return 1 - self.tail / self.items if self.items else 1.0


@dataclass(frozen=True, slots=True)
class CacheReport:
    """The state of a collection's cache.

    Attributes:
        current: Whether it is as new as the table; if not, the next search brings it up to date.
        partitions: One for each modality of which there are items.
        engine: The release of FAISS that wrote it.
    """

    current: bool
    partitions: tuple[Partition, ...] = ()
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Restored:
    """What going back to an earlier version did.

    Attributes:
        items: How many items the collection has now.
        without_files: Of how many of them no path is known, until a folder with them is indexed.
        changed: Whether anything was done: False if the version was the current one.
    """

    items: int
    without_files: int
    changed: bool


@dataclass(frozen=True, slots=True)
class Version:
    """A state that a collection can be brought back to.

    Attributes:
        number: What `restore` takes.
        made: When, in seconds since 1970.
        items: How many items it has.
        current: Whether it is the newest.
    """

    number: int
    made: float
    items: int
    current: bool


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
        copies: How many of the files hold what others in the collection hold too, whose items stay.
    """

    paths: tuple[Path, ...]
    items: int
    copies: int = 0


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


class Engine(StrEnum):
    """What reads and encodes: this process, or the tasks of a Ray cluster."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How to ingest.

    Attributes:
        batch_items: How many items of one modality are encoded at once.
        decode_threads: How many threads read and decode files.
        in_flight_bytes: How much decoded media may wait for the encoder. A single larger item
            is let through alone.
        commit_rows: A commit follows at the latest when so many rows wait,
        commit_seconds: or when so many seconds have passed since the last one, and a hundredth of
            those since the first.
        retry_failed: Read files again that failed before and have not changed since.
        prune: Forget the files of a root that exists but holds no media at all, of a folder
            that exists but is empty, and more than `forget_share` of a root's files. Without it
            these are taken for drives that are not mounted.
        forget_share: The largest share of the files known under a root that is forgotten at once,
            if it is more than `FORGET_FREELY` files.
        selection: Which files and folders are taken.
        isolate: Whether files are decoded in processes of their own, which may crash or hang;
            None leaves that to how much there is to do.
        file_seconds: How long decoding one part of a file may take, in a process of its own.
        file_bytes: How much memory a process that decodes may use.
        engine: What reads and encodes. With Ray the files, and the encoder, must be on all
            machines.
        task_cpus: How many CPUs each of Ray's tasks is given.
    """

    batch_items: int = 16
    decode_threads: int = 2
    in_flight_bytes: int = 256 * 2**20
    commit_rows: int = 1024
    commit_seconds: float = 5.0
    retry_failed: bool = False
    prune: bool = False
    forget_share: float = 0.3
    selection: Selection = field(default_factory=Selection)
    isolate: bool | None = None
    file_seconds: float = 120.0
    file_bytes: int = 4 * 2**30
    engine: Engine = Engine.LOCAL
    task_cpus: int = 1

    def __post_init__(self) -> None:
        for name in (
            *("batch_items", "decode_threads", "in_flight_bytes", "commit_rows", "file_bytes"),
            "task_cpus",
        ):
            value: int = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.commit_seconds < 0:
            raise ValueError(f"commit_seconds must not be negative, got {self.commit_seconds}")
        if not self.file_seconds > 0:
            raise ValueError(f"file_seconds must be positive, got {self.file_seconds}")
        if not 0 <= self.forget_share <= 1:
            raise ValueError(f"forget_share must be in 0..1, got {self.forget_share}")


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
        passed: How many files and folders were passed over, by reason; see `selection.Passed`.
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
    passed: Mapping[str, int] = field(default_factory=dict[str, int])
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
