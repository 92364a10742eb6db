"""What every benchmark is: a name, a version of its protocol, and a way to measure.

A new benchmark implements `Benchmark` and gets a line in `registry`. Retrieval benchmarks don't
implement it themselves: they describe a `retrieval_benchmark.DatasetSource`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from omni_encoder import Encoder
from retrieval.metrics import Ties

from .reranked import Reranking

Kind = Literal["retrieval", "asking", "system"]
PerQuery = Mapping[str, Mapping[str, Float64[np.ndarray, " queries"]]]


@dataclass(frozen=True, slots=True)
class Request:
    """How to measure. What changes a figure is in `settings`; the rest is where and how to look.

    Attributes:
        encoder: Loads what is measured; benchmarks that need none don't call it.
        data: A benchmark's own folder or file, if it has one.
        split: A JSON file with the ids to keep, for one's own manifest.
        limit: At most so many queries for each task, spread evenly; candidates stay whole.
        centre: Subtract from each side's vectors the mean of their kind first.
        ties: How equal scores are ranked, see `retrieval.metrics`.
        index: What finds the candidates, see `searchers`.
        rerank: Puts the first hits in a new order, see `reranked`.
        seed: Of everything random.
        quick: Let system benchmarks do as little as they can.
        threads: How many the encoder uses; None stands for all cores.
        cache: A folder that keeps vectors, so that an interrupted run goes on where it was.
        trec: A folder for run and qrels files.
        progress: Called with what is being done, how much is done, and how much there is.
    """

    encoder: Callable[[], Encoder]
    data: Path | None = None
    split: Path | None = None
    limit: int | None = None
    centre: bool = False
    ties: Ties = "worst"
    index: str = "exact"
    rerank: Reranking | None = None
    seed: int = 0
    quick: bool = False
    threads: int | None = None
    cache: Path | None = None
    trec: Path | None = None
    progress: Callable[[str, int, int], None] | None = None

    def settings(self) -> dict[str, object]:
        """What a figure depends on beside encoder and data, as JSON."""
        settings: dict[str, object] = {
            "limit": self.limit,
            "centred": self.centre,
            "ties": self.ties,
            "index": self.index,
            "seed": self.seed,
        }
        if self.rerank is not None:  # absent otherwise, so that earlier results are found again
            settings["rerank"] = self.rerank.settings()
        return settings


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What was measured.

    Attributes:
        figures: A JSON object.
        per_query: Task, then metric: one figure for each query, for tests of significance.
        queries: Task: the ids of its queries, in the same order.
    """

    figures: Mapping[str, object]
    per_query: PerQuery = field(default_factory=dict[str, Mapping[str, np.ndarray]])
    queries: Mapping[str, list[str]] = field(default_factory=dict[str, list[str]])


@runtime_checkable
class Benchmark(Protocol):
    """Something that can be run by name."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        ...

    @property
    def title(self) -> str:
        """One line that says what it measures."""
        ...

    @property
    def kind(self) -> Kind:
        """`retrieval` figures are cached, the others are always measured anew."""
        ...

    @property
    def version(self) -> int:
        """Of the protocol; it changes whenever a figure could."""
        ...

    @property
    def layout(self) -> str:
        """Which files must lie where; empty when it needs none."""
        ...

    def digest(self, request: Request) -> str:
        """Identifies the data; empty when there is none.

        Raises:
            OmniError: Files are missing, or damaged.
        """
        ...

    def measure(self, request: Request) -> Outcome:
        """Run it.

        Raises:
            OmniError: Files are missing or damaged, or something it needs isn't installed.
        """
        ...
