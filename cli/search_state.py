"""How a collection is searched: what `omnidex status` and `omnidex index --optimize` say of it."""

from typing import TYPE_CHECKING

from . import render

if TYPE_CHECKING:
    from indexer import CacheReport


def search_json(report: "CacheReport") -> dict[str, object]:
    """How a collection is searched, as it stands in JSON."""
    return {
        "current": report.current,
        "engine": report.engine,
        "partitions": [
            {
                "modality": str(part.modality),
                "items": part.items,
                "coverage": part.coverage,
                "tail": part.tail,
                "deleted": part.deleted,
                "method": "codes" if part.coded else "exact",
                "target": part.target,
                "recall_within": part.recall_within,
                "recall_across": part.recall_across,
                "candidates": part.candidates,
                "bytes": part.bytes,
            }
            for part in report.partitions
        ],
    }


def search_facts(report: "CacheReport") -> list[tuple[str, str]]:
    """One line for each modality: how it is searched, and how large the cache of it is."""
    lines: list[tuple[str, str]] = []
    for part in report.partitions:
        how = "exact"
        if part.coded:
            across = "" if part.recall_across is None else f", {part.recall_across:.3f} across"
            how = f"codes, recall@10 {part.recall_within:.3f}{across} (target {part.target})"
        tail = f"{part.coverage:.0%} covered, {part.tail} new, {part.deleted} deleted"
        lines.append((f"{part.modality} search", f"{how}; {tail}; {render.size(part.bytes)}"))
    if not report.current:
        lines.append(("search", "behind the table; the next search brings it up to date"))
    return lines
