"""Queries, hits and items as they stand in JSON."""

from typing import TYPE_CHECKING

from .hybrid import hybrid_json, ranks_json

if TYPE_CHECKING:
    from indexer import Record
    from retrieval import Hit, Query, Term


def hit_json(hit: "Hit") -> dict[str, object]:
    """One hit as it stands in JSON."""
    judged = hit.judgement
    meaning = {
        "percentile": None if judged is None else judged.percentile,
        "expected": None if judged is None else judged.expected,
        "weak": None if judged is None else judged.weak,
    }
    ranks = {"rank": hit.rank, "score": hit.score} | ranks_json(hit)
    return ranks | meaning | record_json(hit.record)


def record_json(record: "Record") -> dict[str, object]:
    """What is known of an item, as it stands in JSON."""
    span = record.span
    return {
        "id": record.id,
        "path": str(record.paths[0]) if record.paths else None,
        "paths": [str(path) for path in record.paths],
        "modality": str(record.modality),
        "span": None if span is None else {"start_s": span.start, "end_s": span.end},
        "mime": record.mime,
        "title": record.title,
        "caption": record.caption,
        "text": record.text,
        "width": record.width,
        "height": record.height,
        "duration_s": record.duration,
    }


def query_json(query: "Query") -> dict[str, object]:
    """A query as it stands in JSON."""
    return {
        "terms": [term_json(term) for term in query.terms],
        "compose": query.compose,
        "to": None if query.modalities is None else [str(kind) for kind in query.modalities],
        "k": query.k,
        "where": query.where,
        "all_parts": query.all_parts,
        "in": [str(folder) for folder in query.files.folders],
        "types": list(query.files.types),
        "after": query.files.after,
        "before": query.files.before,
        "exact": query.mode.exact,
        "merge": str(query.mode.merge),
    } | hybrid_json(query)


def term_json(term: "Term") -> dict[str, object]:
    """A part of a query as it stands in JSON."""
    weight: dict[str, object] = {} if term.weight == 1 else {"weight": term.weight}
    if term.modality is None:
        return {"like": term.content} | weight
    kind = str(term.modality)
    if isinstance(term.content, str):
        return {"modality": kind, "text": term.content} | weight
    return {"modality": kind, "file": str(term.content)} | weight
