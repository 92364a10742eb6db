"""Retrieval benchmarks with re-ranking: the first hits of each query in the order of a flow.

The first `top` hits are judged by how likely the query is beside each of them, as
`omnidex search --rerank` does it, and put in the order of that and of the cosine blended.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from omni_encoder import EncoderMismatchError, EncoderSpec, MediaItem, Modality
from omni_encoder.media import open_media
from retrieval.rerank import Flow, RerankRule, blended

from .entry_vectors import PartVectors
from .tasks import Part, Task


@dataclass(frozen=True, slots=True)
class Reranking:
    """How a benchmark's hits are re-ranked.

    Attributes:
        rule: How many, and the weight of the flow.
        flow: Loads what judges.
    """

    rule: RerankRule
    flow: Callable[[], Flow]

    def settings(self) -> dict[str, object]:
        """What a figure depends on, as JSON."""
        return {"top": self.rule.top, "weight": self.rule.weight, "draws": self.rule.draws}

    def check(self, spec: EncoderSpec) -> None:
        """Make sure that the flow reads vectors of this encoder.

        Raises:
            EncoderMismatchError: It reads those of another.
        """
        if self.flow().fingerprint != spec.fingerprint:
            raise EncoderMismatchError(
                f"the flow reads vectors of another encoder than {spec.name}",
                hint="leave --rerank out, or measure the encoder that the flow belongs to",
            )


def unfit(task: Task) -> str | None:
    """Why a task can't be re-ranked, if it can't."""
    if task.pools is not None:
        return "each query ranks a pool of its own, which isn't re-ranked"
    if any(len(entry.parts) != 1 for entry in (*task.queries, *task.candidates)):
        return "only queries and candidates of one part are re-ranked"
    if any(entry.parts[0].modality is Modality.VIDEO for entry in task.queries):
        return "a flow can't judge queries that are videos"
    return None


def reordered(
    task: Task,
    lists: Sequence[Int64[np.ndarray, " hits"]],
    vectors: PartVectors,
    reranking: Reranking,
    *,
    scored: tuple[Float32[np.ndarray, "queries dim"], Float32[np.ndarray, "candidates dim"]],
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Int64[np.ndarray, " hits"]]:
    """The lists with their first hits in a new order.

    Args:
        task: What is asked.
        lists: The hits of each query, best first.
        vectors: Of the entries, as the encoder made them: what the flow reads.
        reranking: How.
        scored: Vectors of queries and candidates whose cosines made the first order.
        progress: See `Request`.
    """
    flow, rule = reranking.flow(), reranking.rule
    rows = vectors.of(task.candidates)
    queries, candidates = scored
    made: list[Int64[np.ndarray, " hits"]] = []
    for i, hits in enumerate(lists):
        first, rest = hits[: rule.top], hits[rule.top :]
        kinds = [task.candidates[int(hit)].parts[0].modality for hit in first]
        judged = flow.judge(_item(task.queries[i].parts[0], flow), rows[first], kinds)
        both = blended(candidates[first] @ queries[i], judged, weight=rule.weight)
        made.append(np.concatenate([first[np.argsort(-both, kind="stable")], rest]))
        if progress is not None:
            progress(f"Re-ranking {task.name}", i + 1, len(lists))
    return made


def _item(part: Part, flow: Flow) -> MediaItem:
    """A query's content; of a file of several parts, the first."""
    if isinstance(part.content, str):
        return MediaItem(Modality.TEXT, part.content)
    _, items = open_media(part.content, flow.layout)
    return next(iter(items))
