"""Search by vectors and words together: the matches of a query's words, fused with its nearest."""

from collections.abc import Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from indexer import Collection, Record
from indexer.where import combined
from omni_encoder.arrays import Float32

from .hybrid import Hybrid, Ranked, fuse
from .query import Hit, Query, Term

if TYPE_CHECKING:
    from indexer.matches import Matches

LIST_MIME = "application/jsonl"
"""Files of this type hold a list of unrelated items, one to a line."""


def words_of(query: Query) -> str:
    """The words that take part in a search by words: those of all texts that hits should be like.

    Nothing, if the query is not hybrid or has no such text.
    """
    if query.hybrid is None or not query.hybrid.weight:
        return ""
    return " ".join(str(term.content) for term in query.terms if _is_said(term))


def spoken(term: Term) -> Term:
    """A term as the encoder gets it: without the quotation marks of phrases."""
    if _is_said(term):
        from indexer.words import unquoted  # a query without words has no need of it

        return replace(term, content=unquoted(str(term.content)))
    return term


def hit_key(record: Record, *, all_parts: bool) -> str:
    """What items have in common that are one hit: a file's parts, but not the lines of a list."""
    return record.id if all_parts or record.mime == LIST_MIME else record.content


def hybrid_hits(
    collection: Collection,
    query: Query,
    vector: Float32[np.ndarray, " dim"],
    best: Sequence[Hit],
    excluded: Set[str],
) -> list[Hit]:
    """The hits of a hybrid query.

    Args:
        collection: What is searched.
        query: What is asked; `words_of` finds words in it.
        vector: The mixed vector of its terms.
        best: The nearest items, one for each key, in the order that the words are fused with.
        excluded: Keys that aren't to be found.

    Returns:
        At most `query.k` hits. A file's part is that which ranks best, by vector or by words.
    """
    assert query.hybrid is not None  # `words_of` found some
    matches = _matches(collection, query)
    chosen = {
        key: number
        for number, key in enumerate(matches.keys if matches else ())
        if key not in excluded
    }
    nearest = {hit_key(one.record, all_parts=query.all_parts): one for one in best}
    ranked = fuse(
        list(nearest),
        [(key, float(matches.scores[number])) for key, number in chosen.items()] if matches else [],
        silent=frozenset(key for key, hit in nearest.items() if not _is_said_about(hit.record)),
        hybrid=_weighted(query, query.hybrid),
    )[: query.k]
    by_words = [one for one in ranked if _is_by_words(one)]
    if matches is not None and by_words:
        rows = matches.rows[[chosen[one.key] for one in by_words]]
        view = collection.view()
        assert view is not None  # it had matches
        scores = view.scores(vector, rows).tolist()
        records = collection.records(rows, where=combined(query.where, query.files))
        found = zip((one.key for one in by_words), scores, records, strict=True)
        for key, score, record in found:
            before = nearest.get(key)
            rank = None if before is None else before.vector_rank
            flow_rank = None if before is None else before.flow_rank
            nearest[key] = Hit(1, score, record, vector_rank=rank, flow_rank=flow_rank)
    return [
        replace(nearest[one.key], rank=rank, text_rank=one.text_rank)
        for rank, one in enumerate(ranked, start=1)
    ]


def _matches(collection: Collection, query: Query) -> "Matches | None":
    from indexer.matches import Wanted

    view = collection.view()
    from indexer.words import units_of

    units = units_of(words_of(query))
    if view is None or not units or query.hybrid is None:
        return None
    apart = None if query.all_parts else LIST_MIME
    return view.matches(
        Wanted(units, query.hybrid.share, apart),
        modalities=query.modalities,
        where=combined(query.where, query.files),
    )


def _weighted(query: Query, hybrid: Hybrid) -> Hybrid:
    """The texts speak for their share of the query only."""
    said = sum(term.weight for term in query.terms if _is_said(term))
    return replace(hybrid, weight=hybrid.weight * said / sum(abs(t.weight) for t in query.terms))


def _is_said(term: Term) -> bool:
    return isinstance(term.content, str) and term.modality is not None and term.weight > 0


def _is_said_about(record: Record) -> bool:
    return bool(record.caption or record.title or record.text)


def _is_by_words(one: Ranked) -> bool:
    return one.text_rank is not None and one.text_rank < (one.vector_rank or one.text_rank + 1)
