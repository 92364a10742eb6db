"""A search whose nearest items the flow puts in a new order, and what that took."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from indexer import Collection, Merge
from indexer.item_codes import codes_outdated, no_codes, other_codes
from omni_encoder import Modality, QueryError
from omni_encoder.item_codes import shipped_model

from .query import Hit, Query
from .rerank import (
    RerankRule,
    judged_terms,
    load_code_flow,
    load_flow,
    rerank,
    rerank_by_codes,
)
from .retriever import Retriever


@dataclass(slots=True)
class Reranker:
    """Puts the nearest items of a query in a new order; see `Retriever.search`.

    Attributes:
        query: What is asked.
        collection: Where.
        rule: How.
        judged: How many items have been judged.
        left: How many of the first could not be.
        seconds: How long judging took.
        load_seconds: How long loading the flow took.
    """

    query: Query
    collection: Collection
    rule: RerankRule
    judged: int = 0
    left: int = 0
    seconds: float = 0.0
    load_seconds: float = 0.0

    def reorder(self, hits: Sequence[Hit]) -> list[Hit]:
        """The nearest in their new order; of a rule without a weight, or of one item, as they are.

        Raises:
            CollectionError: The rule reads codes, and the collection keeps none, or other ones.
            EncoderMismatchError: The collection was made by another encoder than the flow reads.
            MediaError: A file of the query can't be decoded.
            QueryError: The query has no part that the flow can judge.
        """
        if not self.rule.weight or len(hits) < 2:
            return list(hits)
        judged_terms(self.query)  # now, and not after loading for seconds
        started = time.perf_counter()
        if self.rule.score == "s1":
            flow = load_flow(draws=self.rule.draws)
            loaded = time.perf_counter()
            done = rerank(hits, self.query, collection=self.collection, flow=flow, rule=self.rule)
        else:
            by_codes = load_code_flow(self.rule.score)
            loaded = time.perf_counter()
            done = rerank_by_codes(
                hits, self.query, collection=self.collection, flow=by_codes, rule=self.rule
            )
        self.load_seconds, self.seconds = loaded - started, time.perf_counter() - loaded
        self.judged, self.left = done.judged, done.left
        return done.hits


def search_reranked(
    retriever: Retriever, query: Query, rule: RerankRule
) -> tuple[list[Hit], Reranker]:
    """The hits of a query whose nearest items are judged, and what came of it.

    Raises:
        CollectionError: The rule reads codes, and the collection keeps none, or other ones.
        QueryError: The query has another order of modalities than by cosine.
        OmniError: See `Retriever.search` and `Reranker.reorder`.
    """
    if query.mode.merge is not Merge.COSINE:
        raise QueryError(
            "re-ranking orders kinds of media by cosine alone",
            hint="leave --rerank or --merge out",
        )
    check_codes(retriever.collection, query, rule)
    reranker = Reranker(query, retriever.collection, rule)
    depth = rule.top if rule.weight else 0  # more of the nearest would change how words are fused
    return retriever.search(query, reorder=reranker.reorder, depth=depth), reranker


def check_codes(collection: Collection, query: Query, rule: RerankRule) -> None:
    """Make sure that a rule has something to judge by, as far as is known without loading a flow.

    Raises:
        CollectionError: It reads codes of media, and the collection keeps none, or other ones.
        QueryError: Only texts are asked for, and the rule can't judge them.
    """
    if rule.score == "s1" or not rule.weight:
        return
    kept = collection.counts()
    asked = set(query.modalities or kept)
    if rule.score == "s3" and asked == {Modality.TEXT}:
        raise QueryError("s3 can't judge texts", hint="re-rank by s2, or by s1")
    media = asked.intersection(kept) - {Modality.TEXT}
    if media and collection.codes is None:
        raise no_codes(collection)
    if media and codes_outdated(collection, shipped_model()):
        raise other_codes()
