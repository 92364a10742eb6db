"""Answers queries of any mix of texts, media files and known items from a collection."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np

from indexer import Collection, Record
from indexer.where import combined
from omni_encoder import (
    Encoder,
    EncoderError,
    JointEncoder,
    Modality,
    QueryError,
)
from omni_encoder.arrays import Float32

from .calibrate import Calibrator, leading
from .compose import Arithmetic, Composer, EncodedPart, Joint
from .embed import embed_file, embed_texts
from .hybrid import DEPTH
from .hybrid_search import hit_key, hybrid_hits, spoken, words_of
from .imagine import Drawer, Imagination, ModelDrawer, fused
from .judgement import Judgement
from .query import Hit, Query, Term
from .reference import Reference, find_reference

# How many rows are fetched for each hit wanted, at first: files of several parts take several.
_ROWS_PER_HIT = 4

Reorder = Callable[[Sequence[Hit]], list[Hit]]
"""Puts the nearest items in another order, best first."""

_PICTURES = {Modality.IMAGE, Modality.VIDEO}


@dataclass(frozen=True, slots=True, eq=False)
class Composed:
    """The encoded terms of a query, and the centred vector that they make."""

    parts: tuple[EncodedPart, ...]
    vector: Float32[np.ndarray, " dim"]


@dataclass(frozen=True, slots=True)
class _Nearest:
    """What is done with the nearest before ranks are fused, and how many that needs."""

    reorder: Reorder | None
    depth: int


class Retriever:
    """Searches one collection. The encoder is loaded when a term must be encoded, not before."""

    def __init__(
        self,
        collection: Collection,
        load: Callable[[], Encoder],
        *,
        reference: Reference | None = None,
        load_drawer: Callable[[], Drawer] = ModelDrawer,
    ) -> None:
        """Search `collection`; `open` is the usual way.

        Args:
            collection: What to search; the retriever closes it.
            load: Gives the encoder for query terms; called at most once.
            reference: Of that encoder; without it hits have no judgement.
            load_drawer: Gives what imagines answers; called at most once.
        """
        self._collection = collection
        self._load = load
        self._loaded: Encoder | None = None
        self._calibrator = (
            None if reference is None else Calibrator(reference, self._collection.centre_all)
        )
        self.imagination = Imagination(collection, lambda: self.encoder, load_drawer)

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        encoder: Encoder | None = None,
        encoder_name: str | None = None,
        load_drawer: Callable[[], Drawer] = ModelDrawer,
    ) -> "Retriever":
        """Open a collection for search.

        Args:
            directory: The collection's directory.
            encoder: What encodes the terms; the one that made the collection.
            encoder_name: Its name, when there is no `encoder`; without both, the name that the
                collection has recorded.
            load_drawer: Gives what imagines answers, if not the shipped model.

        Raises:
            CollectionError: There is no collection, or it is damaged.
            EncoderMismatchError: Another encoder than `encoder` made the collection.
        """
        collection = Collection.open(directory)
        if encoder is not None:
            collection.check_encoder(encoder.spec)
        name = encoder_name or (collection.spec.name if encoder is None else encoder.spec.name)
        reference = find_reference(name, collection.spec.fingerprint)

        def load() -> Encoder:
            from omni_encoder.query_encoder import load_query_encoder

            return load_query_encoder(name) if encoder is None else encoder

        return cls(
            collection,
            load,
            reference=reference,
            load_drawer=load_drawer,
        )

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

    def search(self, query: Query, *, reorder: Reorder | None = None, depth: int = 0) -> list[Hit]:
        """Find the items nearest to a query.

        The terms become one vector as `query.compose` says, which is compared with the items, each
        less the mean of its modality. An item that a term names by `like` isn't found itself,
        nor are other parts of its file, unless all parts are wanted. Each line of a JSONL file is
        a hit of its own.

        Args:
            query: What is asked.
            reorder: Puts the nearest in another order, which then counts as that of the vectors:
                words and what is imagined are fused with it. See `reranker.Reranker`.
            depth: How many of the nearest that needs at least.

        Returns:
            At most `query.k` hits, best first; equal scores in the order of indexing. A hybrid
            query's hits are ordered by `hybrid.fuse`, whatever their scores are, and those of one
            that imagines by `imagine.fused`. Weak hits come after all others, if the encoder has a
            reference.

        Raises:
            QueryError: An id or the filter is wrong, or the terms cancel each other out.
            MediaError: The file of a term can't be decoded.
            EncoderError: The encoder can't be loaded, or doesn't know a term's modality.
            EncoderMismatchError: The encoder isn't the one that made the collection.
        """
        composed = self.compose(query)
        nearest = _Nearest(reorder, depth)
        excluded = {
            hit_key(part.record, all_parts=query.all_parts)
            for part in composed.parts
            if part.record is not None
        }
        if query.imagine is not None and query.imagine.weight:
            hits = self._with_imagined(query, composed.vector, excluded, nearest)
        else:
            hits = self._plain(query, composed.vector, excluded, nearest)
        return self._judged(query, composed, hits)

    def _plain(
        self,
        query: Query,
        vector: Float32[np.ndarray, " dim"],
        excluded: set[str],
        first: "_Nearest",
    ) -> list[Hit]:
        """At most `query.k` hits by the query alone, not judged."""
        hybrid = bool(words_of(query))
        wider = replace(query, k=max(query.k, DEPTH if hybrid else 0, first.depth))
        best = self._nearest(wider, vector, excluded=excluded)
        nearest = [Hit(rank, *one, vector_rank=rank) for rank, one in enumerate(best, start=1)]
        if first.reorder is not None:
            nearest = first.reorder(nearest)
        if hybrid:
            return hybrid_hits(self._collection, query, vector, nearest, excluded)
        return nearest[: query.k]

    def _with_imagined(
        self,
        query: Query,
        vector: Float32[np.ndarray, " dim"],
        excluded: set[str],
        first: "_Nearest",
    ) -> list[Hit]:
        """The hits of a query and those of what it lets imagine, as one list."""
        assert query.imagine is not None  # the caller looked
        wider = replace(query, k=max(query.k, DEPTH))
        plain = self._plain(wider, vector, excluded, first)
        drawn = self.imagination.of(query).vector
        own = self._collection.centre(drawn, query.imagine.modality)
        seen = self._nearest(wider, own, excluded=excluded)[: wider.k]

        def key(record: Record) -> str:
            return hit_key(record, all_parts=query.all_parts)

        hits = {key(hit.record): hit for hit in plain}
        ranks = {key(record): rank for rank, (_, record) in enumerate(seen, start=1)}
        for _, record in seen:
            if key(record) not in hits:
                hits[key(record)] = Hit(1, self._score(vector, record), record)
        order = fused(
            [*map(key, (hit.record for hit in plain))], [*ranks], weight=query.imagine.weight
        )
        return [
            replace(hits[one], rank=rank, imagined_rank=ranks.get(one))
            for rank, one in enumerate(order[: query.k], start=1)
        ]

    def _score(self, vector: Float32[np.ndarray, " dim"], record: Record) -> float:
        """The cosine of a query with an item, as search gives it."""
        item = self._collection.centre(self._collection.vector_of(record.id), record.modality)
        return float(item @ vector)

    def compose(self, query: Query) -> Composed:
        """Encode the terms of a query, and make one vector of them.

        Raises:
            QueryError: An id is wrong, or the terms cancel each other out.
            MediaError: The file of a term can't be decoded.
            EncoderError: The encoder can't be loaded, or doesn't know a term's modality.
        """
        quoted = bool(words_of(query))
        parts = [self._encode(spoken(term) if quoted else term) for term in query.terms]
        return Composed(tuple(parts), self._composer(query).compose(parts))

    def judge(
        self, query: Query, composed: Composed, hit: tuple[float, Record]
    ) -> Judgement | None:
        """What the score of an item means; None where the encoder has no reference."""
        return self._judged(query, composed, [Hit(1, *hit)])[0].judgement

    def _judged(self, query: Query, composed: Composed, hits: list[Hit]) -> list[Hit]:
        """The hits with what their scores mean, weak ones last, if the encoder has a reference."""
        if self._calibrator is None or not hits:
            return hits
        found = [(hit.score, hit.record.modality) for hit in hits]
        judged = self._calibrator.judge(
            leading(composed.parts),
            found,
            items=self._searched(query),
            strange=self._calibrator.strange(composed.parts),
        )
        marked = [
            replace(hit, judgement=_for(hit, judgement))
            for hit, judgement in zip(hits, judged, strict=True)
        ]
        # A stable sort: within both parts the order stays.
        marked.sort(key=lambda hit: hit.judgement is not None and hit.judgement.weak)
        return [replace(hit, rank=rank) for rank, hit in enumerate(marked, start=1)]

    def _searched(self, query: Query) -> Mapping[Modality, int]:
        """How many items of each modality a query looks at: a filter takes the others out."""
        where = combined(query.where, query.files)
        view = None if where is None else self._collection.view()
        if where is None or view is None:
            return self._collection.counts()
        return view.counts(where, modalities=query.modalities)

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

    def _composer(self, query: Query) -> Composer:
        """What makes one vector of several terms; a single one is the same in any way."""
        if query.compose == "arithmetic" or len(query.terms) == 1:
            return Arithmetic(self._collection.centre)
        encoder = self.encoder
        if not isinstance(encoder, JointEncoder):
            raise EncoderError(
                f"{encoder.spec.name} can't read several parts as one",
                hint="leave --compose joint out: the parts' vectors are added then",
            )
        return Joint(self._collection.centre, encoder)

    def _encode(self, term: Term) -> EncodedPart:
        if term.modality is None:
            record = self._collection.get(str(term.content))
            vector = self._collection.vector_of(record.id)
            return EncodedPart(record.modality, vector, term.weight, record=record)
        encoder = self.encoder
        if isinstance(term.content, str):
            vector = embed_texts([term.content], encoder)[0]
            return EncodedPart(term.modality, vector, term.weight, text=term.content)
        file = embed_file(term.content, encoder)
        # An animation may be asked for as an image, and a still GIF as a video.
        if file.modality is not term.modality and {file.modality, term.modality} != _PICTURES:
            raise QueryError(
                f"{term.content} holds {file.modality}, not {term.modality}",
                hint=f"search by it as {file.modality}",
            )
        return EncodedPart(file.modality, file.vector, term.weight)

    @property
    def encoder(self) -> Encoder:
        """What encodes the terms; it is loaded when it is first needed."""
        if self._loaded is None:
            loaded = self._load()
            self._collection.check_encoder(loaded.spec)
            self._loaded = loaded
        return self._loaded


def _for(hit: Hit, judgement: Judgement | None) -> Judgement | None:
    """A judgement of a score, for a hit that may have been found by its words too."""
    if judgement is None or hit.text_rank is None:
        return judgement
    return replace(judgement, weak=False)
