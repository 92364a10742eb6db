"""What the modality means are worth where texts, images, sounds and videos lie in one collection.

Question. With everything in one index, does a query find what belongs to it, of whatever kind?
Protocol. The collection holds every item of the manifest (or split) and every distinct caption as
a text. Each of them asks for all others. A medium and a text belong together when it carries the
text; two texts, when one item carries both; two media, when they share label and source, or the
pair id. Rows: `raw` cosines, and `centred`: each side less the mean of its modality, as search
does.
Reading. nDCG@10 by the query's modality. `same_kind@10` is the share of a query's first ten that
are of its own modality: the gap between modalities puts it near 1. The last line is JSON.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from omni_encoder import Encoder, Modality
from retrieval.evaluate import carries, distinct, rank_vectors, shares
from retrieval.metrics import ndcg_at_k, success_at_k
from retrieval.significance import compare

from .manifest import ManifestItem, load_items
from .space import Progress, make_space
from .vectors import VectorCache

SCHEMA = 1
_FIRST = 10


def run(
    manifest: Path,
    *,
    encoder: Encoder,
    split: Path | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Measure a collection of everything, with and without the modality means.

    Raises:
        OmniError: The manifest, the split or the cache can't be used.
    """
    kept = VectorCache(cache, encoder)
    space = make_space(load_items(manifest, split=split), encoder, kept, progress=progress)
    media = [item for found in space.items.values() for item in found]
    captions = distinct([item.captions for item in media])
    texts = kept.texts(captions)
    kept.save()
    relevant = _relevance(captions, media)
    kinds = np.array([Modality.TEXT] * len(captions) + [item.modality for item in media])
    raw = np.concatenate([texts, *space.vectors.values()])
    centred = np.concatenate(
        [space.centre_all(texts, Modality.TEXT), *(space.centred(m) for m in space.vectors)]
    )
    return {
        "schema": SCHEMA,
        "encoder": {"name": encoder.spec.name, "fingerprint": encoder.spec.fingerprint},
        "items": {str(m): int((kinds == m).sum()) for m in dict.fromkeys(kinds.tolist())},
        "queries": _by_kind(raw, centred, relevant, kinds),
    }


def _relevance(
    captions: Sequence[str], media: Sequence[ManifestItem]
) -> Bool[np.ndarray, "all all"]:
    carried = carries(captions, [item.captions for item in media])
    labels = [f"{item.label}@{item.source}" if item.label else None for item in media]
    pairs = [item.pair_id for item in media]
    among_media = shares(labels, labels) | shares(pairs, pairs)
    counts = carried.astype(np.float32)
    among_texts = counts @ counts.T > 0
    relevant = np.block([[among_texts, carried], [carried.T, among_media]])
    np.fill_diagonal(relevant, val=False)
    return relevant


def _by_kind(
    raw: Float32[np.ndarray, "all dim"],
    centred: Float32[np.ndarray, "all dim"],
    relevant: Bool[np.ndarray, "all all"],
    kinds: np.ndarray,
) -> dict[str, object]:
    asked = relevant.any(axis=1)
    figures: dict[str, object] = {}
    for kind in ["all", *dict.fromkeys(kinds.tolist())]:
        own = np.flatnonzero(asked & ((kinds == kind) | (kind == "all")))
        if not len(own):
            continue
        rankings = [
            rank_vectors(rows[own], rows, relevant[own], own=own) for rows in (raw, centred)
        ]
        scores = [ndcg_at_k(ranking, k=_FIRST) for ranking in rankings]
        found = compare(*scores)
        figures[str(kind)] = {
            "queries": len(own),
            "raw": _row(raw, own, kinds, found.a, float(success_at_k(rankings[0], k=1).mean())),
            "centred": _row(
                centred, own, kinds, found.b, float(success_at_k(rankings[1], k=1).mean())
            ),
            "difference": found.difference,
            "interval": list(found.interval),
            "p": found.p,
        }
    return figures


def _row(
    rows: Float32[np.ndarray, "all dim"],
    own: np.ndarray,
    kinds: np.ndarray,
    ndcg: float,
    success: float,
) -> dict[str, float]:
    scores = rows[own] @ rows.T
    scores[np.arange(len(own)), own] = -np.inf
    first = np.argsort(-scores, axis=1, kind="stable")[:, :_FIRST]
    same = float((kinds[first] == kinds[own][:, None]).mean())
    return {"ndcg@10": ndcg, "success@1": success, "same_kind@10": same}
