"""What is asked of a collection, and what comes back."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from indexer import FileFilter, Record, SearchMode
from omni_encoder import Modality, QueryError

from .hybrid import Hybrid
from .judgement import Judgement

Compose = Literal["arithmetic", "joint"]


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that hits should be like. Make it with `text`, `file` or `like`.

    Attributes:
        modality: What the term is; None for an item of the collection, which knows it itself.
        content: A text, the path of a media file, or the id of an item.
        weight: How much it counts beside other terms, not 0; below 0 it pushes hits away.
    """

    modality: Modality | None
    content: str | Path
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight) or self.weight == 0:
            raise ValueError(f"a weight must be finite and not 0, got {self.weight}")
        if isinstance(self.content, str) and not self.content.strip():
            raise QueryError("a query term is blank", hint="say what to search for")

    @classmethod
    def text(cls, text: str, *, weight: float = 1.0) -> "Term":
        """What a text says."""
        return cls(Modality.TEXT, text, weight)

    @classmethod
    def file(cls, modality: Modality, path: Path, *, weight: float = 1.0) -> "Term":
        """What a media file shows; it need not be in the collection.

        Raises:
            ValueError: `modality` is text, whose terms are made by `text`.
        """
        if modality is Modality.TEXT:
            raise ValueError("a file term is an image, audio or video; use Term.text for text")
        return cls(modality, path, weight)

    @classmethod
    def like(cls, id: str, *, weight: float = 1.0) -> "Term":
        """An item of the collection, by its id or a unique beginning of it."""
        return cls(None, id, weight)


@dataclass(frozen=True, slots=True)
class Imagine:
    """That an answer is drawn and searched by too; see `retrieval.imagine`.

    Attributes:
        modality: What is drawn.
        weight: How much what is found by it counts beside what the query finds; 0 draws nothing.
        seed: Of what is drawn.
    """

    modality: Modality
    weight: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"weight must be finite and at least 0, got {self.weight}")


@dataclass(frozen=True, slots=True)
class Query:
    """A question to a collection.

    Attributes:
        terms: What hits should be like, at least one; several are mixed by their weights.
        modalities: What may be found; None for everything.
        k: How many hits are wanted, at least 1.
        where: A filter over what is known of the items, applied before the search.
        all_parts: Whether a file may be found several times, by different parts; otherwise it
            comes once, with its best part. The lines of a JSONL file count as files.
        files: A filter over the files that items come from.
        mode: Whether nothing may be missed, and how modalities come into one order.
        hybrid: How the words of the texts take part; None for search by vectors alone.
        compose: How several terms become one vector, see `retrieval.compose`.
        imagine: Whether an answer is drawn and searched by too.
    """

    terms: tuple[Term, ...]
    modalities: tuple[Modality, ...] | None = None
    k: int = 10
    where: str | None = None
    all_parts: bool = False
    files: FileFilter = field(default_factory=FileFilter)
    mode: SearchMode = field(default_factory=SearchMode)
    hybrid: Hybrid | None = None
    compose: Compose = "arithmetic"
    imagine: Imagine | None = None

    def __post_init__(self) -> None:
        if not self.terms:
            raise QueryError("a query needs at least one term", hint='such as: "a dog on a beach"')
        if self.modalities is not None and not self.modalities:
            raise ValueError("modalities must be None or name at least one")
        if self.k < 1:
            raise ValueError(f"k must be at least 1, got {self.k}")
        if self.compose not in ("arithmetic", "joint"):
            raise ValueError(f"compose must be arithmetic or joint, got {self.compose!r}")


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer.

    Attributes:
        rank: From 1, best first.
        score: The cosine of query and item, each less the mean of its modality, in [-1, 1]. It
            orders the hits of one query; it is no probability and no percentage.
        record: The item.
        judgement: What the score means; None where the encoder has no reference to compare with.
            A hit that holds the words of a hybrid query isn't weak.
        vector_rank: Its rank by vector alone; None if a hybrid search found it by words, further
            away than it looked.
        text_rank: Its rank by words alone; None if it is no match, or nobody looked.
        imagined_rank: Its rank by what was imagined; None if it is far from that, or nothing was.
        flow_rank: Its rank by vector after re-ranking, which took the place of `vector_rank` when
            ranks were fused; None if the flow didn't judge it.
    """

    rank: int
    score: float
    record: Record
    judgement: Judgement | None = None
    vector_rank: int | None = None
    text_rank: int | None = None
    imagined_rank: int | None = None
    flow_rank: int | None = None
