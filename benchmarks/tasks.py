"""What a retrieval benchmark asks: entries, and which of them answer which.

An entry is one thing that gets one vector: a text, a file, or several of these together (a photo
with an instruction, a document of picture and words). A task is a list of query entries, a list of
candidate entries and, for each query, the numbers of the candidates that answer it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from omni_encoder import Modality


@dataclass(frozen=True, slots=True)
class Part:
    """A text or a media file; `content` is a `str` for text and a path for everything else."""

    modality: Modality
    content: str | Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that gets one vector: the normalised sum of the unit vectors of its parts."""

    id: str
    parts: tuple[Part, ...]

    @classmethod
    def text(cls, id: str, text: str) -> "Entry":
        """A text."""
        return cls(id, (Part(Modality.TEXT, text),))

    @classmethod
    def file(cls, id: str, modality: Modality, path: Path) -> "Entry":
        """A media file."""
        return cls(id, (Part(modality, path),))

    def __add__(self, other: "Entry") -> "Entry":
        """Both together, under the id of the first."""
        return Entry(self.id, self.parts + other.parts)

    @property
    def kind(self) -> str:
        """The modalities of its parts, such as `image+text`."""
        return "+".join(sorted({part.modality for part in self.parts}))

    @property
    def modalities(self) -> frozenset[Modality]:
        """The modalities of its parts."""
        return frozenset(part.modality for part in self.parts)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One direction of a benchmark.

    Attributes:
        name: Such as `text->image`. Tasks of one name are folds, whose figures are averaged.
        queries: What is asked.
        candidates: What is ranked.
        relevant: For each query the numbers of the candidates that answer it, at least one.
        own: For each query the candidate that is left out of its ranking, or -1.
        pools: For each query the only candidates that it ranks; None lets it rank all.
        groups: Names of breakdowns, and for each query the groups that it belongs to.
    """

    name: str
    queries: Sequence[Entry]
    candidates: Sequence[Entry]
    relevant: Sequence[Int64[np.ndarray, " relevant"]]
    own: Int64[np.ndarray, " queries"] | None = None
    pools: Sequence[Int64[np.ndarray, " pool"]] | None = None
    groups: Mapping[str, Sequence[tuple[str, ...]]] = field(
        default_factory=dict[str, Sequence[tuple[str, ...]]]
    )

    def __post_init__(self) -> None:
        for values in (self.relevant, self.own, self.pools, *self.groups.values()):
            if values is not None and len(values) != len(self.queries):
                raise ValueError(f"{self.name} has {len(self.queries)} queries, not {len(values)}")

    @property
    def modalities(self) -> frozenset[Modality]:
        """What an encoder must know."""
        return frozenset[Modality]().union(
            *(entry.modalities for entry in (*self.queries, *self.candidates))
        )


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A benchmark's data, read from a folder.

    Attributes:
        tasks: What is asked.
        counts: How many there are of what, such as images and captions.
        published: How many there should be, by the same names.
        missing: Ids of media that the annotations name and the folder lacks.
        checksums: Annotation files whose checksum is published, and whether it is theirs.
        digest: Of the annotations and of the names and sizes of all media.
        notes: What a reader of the figures must know.
    """

    tasks: Sequence[Task]
    counts: Mapping[str, int]
    published: Mapping[str, int] = field(default_factory=dict[str, int])
    missing: Sequence[str] = ()
    checksums: Mapping[str, bool] = field(default_factory=dict[str, bool])
    digest: str = ""
    notes: Sequence[str] = ()


def both_ways(
    left: Sequence[Entry], right: Sequence[Entry], pairs: Sequence[tuple[int, int]], *, name: str
) -> list[Task]:
    """Two tasks from pairs of numbers that belong together: left to right, and right to left.

    Entries without a partner are candidates but no queries. `name` has the two sides, as in
    `text->image`.
    """
    first, _, second = name.partition("->")
    forward: list[list[int]] = [[] for _ in left]
    back: list[list[int]] = [[] for _ in right]
    for a, b in pairs:
        forward[a].append(b)
        back[b].append(a)
    return [
        one_way(f"{first}->{second}", left, right, forward),
        one_way(f"{second}->{first}", right, left, back),
    ]


def one_way(
    name: str,
    queries: Sequence[Entry],
    candidates: Sequence[Entry],
    relevant: Sequence[Sequence[int]],
    *,
    own: Sequence[int] | None = None,
    groups: Mapping[str, Sequence[tuple[str, ...]]] | None = None,
) -> Task:
    """A task from lists of numbers; queries that nothing answers are left out."""
    asked = [i for i, numbers in enumerate(relevant) if numbers]
    return Task(
        name,
        [queries[i] for i in asked],
        candidates,
        [np.unique(np.array(relevant[i], dtype=np.int64)) for i in asked],
        own=None if own is None else np.array([own[i] for i in asked], dtype=np.int64),
        groups={key: [values[i] for i in asked] for key, values in (groups or {}).items()},
    )
