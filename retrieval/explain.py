"""Why an item scores as it does for a query: what of it matches, and what of the query it matches.

Nothing is put into words: what comes back are parts of the item, numbers, and texts that are in
the collection.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from indexer import Record
from indexer.words import folded, name_text, tokens, units_of
from omni_encoder import Encoder, MediaError, MediaItem, Modality, Span
from omni_encoder.arrays import Float32
from omni_encoder.attribution import (
    Region,
    Score,
    best_region,
    frame_scores,
    picture_influence,
    sound_influence,
)

from .decoded import item_of
from .embed import embed_texts
from .hybrid_search import LIST_MIME, words_of
from .judgement import Judgement
from .query import Query, Term
from .retriever import Composed, Retriever

_SENTENCE = re.compile(r"(?<=[.!?。!?])\s+|(?<=[。!?])|\n{2,}")
_CAPTIONED = "caption IS NOT NULL OR modality = 'text'"


@dataclass(frozen=True, slots=True)
class Contribution:
    """How much a part of the query adds to the score; those of all parts add up to it."""

    term: Term
    amount: float


@dataclass(frozen=True, slots=True)
class Matched:
    """The part of an item that matches most; what doesn't apply to its kind is None.

    Attributes:
        span: The stretch of a sound or video that is the hit.
        moment: Within it, the second or the frame that counts most, in seconds of the file.
        region: Of an image, or of that frame: the part that the score needs most. None as well if
            hiding any part does no harm.
        sentence: Of a text: the sentence that scores highest by itself.
        sentence_score: Its score.
        unread: Why nobody could look: the message of the error. The file may be gone.
    """

    span: Span | None = None
    moment: Span | None = None
    region: Region | None = None
    sentence: str | None = None
    sentence_score: float | None = None
    unread: str | None = None


@dataclass(frozen=True, slots=True)
class WordFound:
    """Words of the query that are said about the item, and where: caption, title, text, name."""

    words: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another item and its score; `text` is its caption, or what it says."""

    record: Record
    score: float
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Why an item scores as it does.

    Attributes:
        record: The item; of several parts that with the best score.
        score: As in a search.
        contributions: Of each term, in their order; None if the terms were read as one.
        matched: What of the item matches.
        words: What words of the query are said about it.
        judgement: What the score means; None where the encoder has no reference.
        caption: The item nearest to this one that has a caption or is a text; None if none is.
        picture: The image, or the frame at `matched.moment`; None if it wasn't asked for.
    """

    record: Record
    score: float
    contributions: tuple[Contribution, ...] | None
    matched: Matched
    words: tuple[WordFound, ...]
    judgement: Judgement | None
    caption: Neighbour | None
    picture: MediaItem | None


def explain(
    retriever: Retriever, query: Query, id: str, *, picture_pixels: int | None = None
) -> Explanation:
    """Explain the score that an item has for a query.

    Args:
        retriever: What would answer the query.
        query: What is asked; its filters don't matter.
        id: The item. Without a part, that of its parts which scores best; but digits alone stand
            for the first line of a JSONL file.
        picture_pixels: How long the shorter side of `picture` should be, at least, if it is wanted
            and the file has so many.

    Raises:
        QueryError: There is no such item, or the query is wrong; see `Retriever.search`.
        MediaError: The file of a term can't be decoded.
        EncoderError: The encoder can't be loaded, or doesn't know a term's modality.
    """
    composed = retriever.compose(query)
    record, score = _best_part(retriever, composed, id)
    raw = retriever.collection.vector_of(record.id)
    own = retriever.collection.centre(raw, record.modality)
    matched, frame = _matched(retriever, composed, record)
    picture = None
    if picture_pixels is not None and frame is not None:
        picture = _picture(retriever.encoder, record, frame, picture_pixels)
    return Explanation(
        record=record,
        score=score,
        contributions=_contributions(retriever, query, composed, own),
        matched=matched,
        words=_words(query, record),
        judgement=retriever.judge(query, composed, (score, record)),
        caption=_caption(retriever, record, own),
        picture=picture,
    )


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, none of them blank."""
    return [one.strip() for one in _SENTENCE.split(text) if one.strip()]


def _best_part(retriever: Retriever, composed: Composed, id: str) -> tuple[Record, float]:
    record = retriever.collection.get(id)
    view = retriever.collection.view()
    assert view is not None  # it has the item
    rows, records = view.parts(record.content)
    # The first digits alone are how search shows the first line of a list.
    several = not re.search(r"\.\d+$", id) and ("." in id or record.mime != LIST_MIME)
    fits = [
        i
        for i, one in enumerate(records)
        if (one.modality is record.modality if several else one.id == record.id)
    ]
    scores = view.scores(composed.vector, rows[fits])
    best = int(np.argmax(scores))
    return records[fits[best]], float(scores[best])


def _contributions(
    retriever: Retriever, query: Query, composed: Composed, own: Float32[np.ndarray, " dim"]
) -> tuple[Contribution, ...] | None:
    """The score is the product of a sum with the item: so each term has a product of its own."""
    if query.compose != "arithmetic" and len(query.terms) > 1:
        return None
    vectors = np.stack(
        [
            part.weight * retriever.collection.centre(part.vector, part.modality).astype(np.float64)
            for part in composed.parts
        ]
    )
    amounts = vectors @ own.astype(np.float64) / np.linalg.norm(vectors.sum(axis=0))
    return tuple(
        Contribution(term, amount)
        for term, amount in zip(query.terms, amounts.tolist(), strict=True)
    )


def _words(query: Query, record: Record) -> tuple[WordFound, ...]:
    names = " ".join(name_text(str(path)) for path in record.paths)
    said = {"caption": record.caption, "title": record.title, "text": record.text}
    texts = {name: folded(text) for name, text in said.items() if text} | {"name": names}
    try:
        cut = dict(zip(texts, tokens(list(texts.values())), strict=True))
    except UnicodeEncodeError:  # a name that isn't UTF-8
        return ()
    found: list[WordFound] = []
    for unit in units_of(words_of(query)):
        fields = tuple(name for name, words in cut.items() if _holds(words, unit.words))
        if fields:
            found.append(WordFound(" ".join(unit.words), fields))
    return tuple(found)


def _holds(words: Sequence[str], unit: tuple[str, ...]) -> bool:
    return any(tuple(words[i : i + len(unit)]) == unit for i in range(len(words)))


def _caption(
    retriever: Retriever, record: Record, own: Float32[np.ndarray, " dim"]
) -> Neighbour | None:
    """The nearest item of another content that has a caption or is a text."""
    collection = retriever.collection
    if not own.any():
        return None
    k = 8
    while True:
        nearest = collection.nearest(own, k=k, where=_CAPTIONED)
        records = collection.records(nearest.rows)
        for score, one in zip(nearest.scores.tolist(), records, strict=True):
            if one.content != record.content:
                return Neighbour(one, score, one.caption or one.text or "")
        if len(records) < k:
            return None
        k *= 8


def _matched(
    retriever: Retriever, composed: Composed, record: Record
) -> tuple[Matched, int | None]:
    """What matches, and the number of the frame that does; 0 for an image, None for no picture."""
    collection, query = retriever.collection, composed.vector
    unit = query / np.linalg.norm(query)

    def score(vectors: Float32[np.ndarray, "items dim"]) -> Float32[np.ndarray, " items"]:
        rows = [collection.centre(vector, record.modality) for vector in vectors]
        return (np.stack(rows) @ unit).astype(np.float32)

    if record.modality is Modality.TEXT:
        return _sentence(retriever.encoder, record, score), None
    try:
        item = item_of(record, retriever.encoder.spec.layout)
    except (MediaError, OSError) as error:
        return Matched(span=record.span, unread=str(error)), None
    if record.modality is Modality.AUDIO:
        falls, step = sound_influence(retriever.encoder, item, score)
        return Matched(span=record.span, moment=_moment(falls, step, record.span)), None
    moment, frame = None, 0
    if record.modality is Modality.VIDEO:
        scores = frame_scores(retriever.encoder, item, score)
        frame = int(np.argmax(scores))
        moment = _frame(frame, len(scores), record.span)
        item = MediaItem(Modality.VIDEO, np.asarray(item.content)[frame][None])
    region = best_region(picture_influence(retriever.encoder, item, score))
    return Matched(span=record.span, moment=moment, region=region), frame


def _picture(encoder: Encoder, record: Record, frame: int, pixels: int) -> MediaItem:
    """The image, or a frame of the video, in more pixels than the encoder wants."""
    layout = encoder.spec.layout
    larger = replace(layout, image_pixels=max(pixels, layout.image_pixels))
    content = np.asarray(item_of(record, larger).content)
    return MediaItem(Modality.IMAGE, content if content.ndim == 3 else content[frame])


def _sentence(encoder: Encoder, record: Record, score: Score) -> Matched:
    sentences = sentences_of(record.text or "")
    if not sentences:
        return Matched(span=record.span)
    scores = score(embed_texts(sentences, encoder))
    best = int(np.argmax(scores))
    return Matched(span=record.span, sentence=sentences[best], sentence_score=float(scores[best]))


def _moment(falls: Float32[np.ndarray, " steps"], step: float, span: Span | None) -> Span | None:
    """The stretch whose silence costs most; None if none costs anything."""
    if not falls.max() > 0:
        return None
    start = (0.0 if span is None else span.start) + step * int(np.argmax(falls))
    end = start + step if span is None else min(start + step, span.end)
    return Span(start, max(end, start + 1e-3))


def _frame(number: int, count: int, span: Span | None) -> Span | None:
    """The stretch that a frame stands for."""
    if span is None:
        return None
    step = (span.end - span.start) / count
    return Span(span.start + number * step, span.start + (number + 1) * step)
