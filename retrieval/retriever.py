"""Answers queries of any mix of texts, media files and known items from a collection."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Float32

from indexer import Collection, Record
from indexer.where import combined
from omni_encoder import Encoder, Modality, QueryError, load_encoder

from .embed import embed_file, embed_texts
from .hybrid import DEPTH
from .hybrid_search import hit_key, hybrid_hits, spoken, words_of
from .query import Hit, Query, Term

# How many rows are fetched for each hit wanted, at first: files of several parts take several.
_ROWS_PER_HIT = 4
# What is left of terms that cancel each other out is shorter than this.
_CANCELLED = 1e-4

_PICTURES = {Modality.IMAGE, Modality.VIDEO}


@dataclass(frozen=True, slots=True, eq=False)
class _Encoded:
    """A term's vector, not yet centred; `record` is that of a known item."""

    modality: Modality
    vector: Float32[np.ndarray, " dim"]
    weight: float
    record: Record | None = None


class Retriever:
    """Searches one collection. The encoder is loaded when a term must be encoded, not before."""

    def __init__(self, collection: Collection, load: Callable[[], Encoder]) -> None:
        """Search `collection`; `open` is the usual way.

        Args:
            collection: What to search; the retriever closes it.
            load: Gives the encoder for query terms; called at most once.
        """
        self._collection = collection
        self._load = load
        self._loaded: Encoder | None = None

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        encoder: Encoder | None = None,
        encoder_name: str | None = None,
    ) -> "Retriever":
        """Open a collection for search.

        Args:
            directory: The collection's directory.
            encoder: What encodes the terms; the one that made the collection.
            encoder_name: Its name, when there is no `encoder`; without both, the name that the
                collection has recorded.

        Raises:
            CollectionError: There is no collection, or it is damaged.
            EncoderMismatchError: Another encoder than `encoder` made the collection.
        """
        collection = Collection.open(directory)
        if encoder is not None:
            collection.check_encoder(encoder.spec)
            return cls(collection, lambda: encoder)
        name = encoder_name or collection.spec.name
        return cls(collection, lambda: load_encoder(name))

    def __enter__(self) -> "Retriever":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the collection."""
        self._collection.close()

    @property
    def collection(self) -> Collection:
        """What is searched."""
        return self._collection

    def search(self, query: Query) -> list[Hit]:
        """Find the items nearest to a query.

        Each term's unit vector, less the mean of its modality, is multiplied by its weight; the
        sum is compared with the items. An item that a term names by `like` isn't found itself,
        nor are other parts of its file, unless all parts are wanted. Each line of a JSONL file is
        a hit of its own.

        Returns:
            At most `query.k` hits, best first; equal scores in the order of indexing. A hybrid
            query's hits are ordered by `hybrid.fuse`, whatever their scores are.

        Raises:
            QueryError: An id or the filter is wrong, or the terms cancel each other out.
            MediaError: The file of a term can't be decoded.
            EncoderError: The encoder can't be loaded, or doesn't know a term's modality.
            EncoderMismatchError: The encoder isn't the one that made the collection.
        """
        words = words_of(query)
        terms = [self._encode(spoken(term) if words else term) for term in query.terms]
        excluded = {
            hit_key(term.record, all_parts=query.all_parts)
            for term in terms
            if term.record is not None
        }
        vector = self._mix(terms)
        if words:
            wider = replace(query, k=max(query.k, DEPTH))
            best = self._nearest(wider, vector, excluded=excluded)
            return hybrid_hits(self._collection, query, vector, best, excluded)
        best = self._nearest(query, vector, excluded=excluded)
        return [
            Hit(rank, score, record, vector_rank=rank)
            for rank, (score, record) in enumerate(best[: query.k], start=1)
        ]

    def _nearest(
        self, query: Query, vector: Float32[np.ndarray, " dim"], *, excluded: set[str]
    ) -> list[tuple[float, Record]]:
        """Scores and records, without the excluded keys, and the best only of those of one key.

        More rows are fetched until enough are left, or there are no more.
        """
        rows_wanted = query.k * _ROWS_PER_HIT
        where = combined(query.where, query.files)
        while True:
            nearest = self._collection.nearest(
                vector, k=rows_wanted, modalities=query.modalities, where=where, mode=query.mode
            )
            records = self._collection.records(nearest.rows, where=where)
            found: list[tuple[float, Record]] = []
            seen = set(excluded)
            for score, record in zip(nearest.scores.tolist(), records, strict=True):
                key = hit_key(record, all_parts=query.all_parts)
                if key not in seen:
                    seen.add(key)
                    found.append((score, record))
            if len(found) >= query.k or len(records) < rows_wanted:
                return found
            rows_wanted *= _ROWS_PER_HIT

    def _mix(self, terms: Sequence[_Encoded]) -> Float32[np.ndarray, " dim"]:
        """The weighted sum of the terms' centred unit vectors."""
        mixed = np.zeros(self._collection.spec.dim, dtype=np.float64)
        for term in terms:
            centred = self._collection.centre(term.vector, term.modality)
            mixed += term.weight * centred.astype(np.float64)
        if np.linalg.norm(mixed) < _CANCELLED * sum(abs(term.weight) for term in terms):
            raise QueryError(
                "the terms of the query cancel each other out",
                hint="leave one of them out, or give them other weights",
            )
        return mixed.astype(np.float32)

    def _encode(self, term: Term) -> _Encoded:
        if term.modality is None:
            record = self._collection.get(str(term.content))
            vector = self._collection.vector_of(record.id)
            return _Encoded(record.modality, vector, term.weight, record)
        encoder = self._encoder()
        if isinstance(term.content, str):
            vector = embed_texts([term.content], encoder)[0]
            return _Encoded(term.modality, vector, term.weight)
        file = embed_file(term.content, encoder)
        # An animation may be asked for as an image, and a still GIF as a video.
        if file.modality is not term.modality and {file.modality, term.modality} != _PICTURES:
            raise QueryError(
                f"{term.content} holds {file.modality}, not {term.modality}",
                hint=f"search by it as {file.modality}",
            )
        return _Encoded(file.modality, file.vector, term.weight)

    def _encoder(self) -> Encoder:
        if self._loaded is None:
            loaded = self._load()
            self._collection.check_encoder(loaded.spec)
            self._loaded = loaded
        return self._loaded
