"""Imagining: what is drawn finds hits of its own, fused with those of the query."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from indexer import Collection, ingest
from omni_encoder import EncoderError, MediaItem, MediaLayout, Modality, QueryError
from retrieval import Imagine, Query, Retriever, Term
from retrieval.imagine import fused, useful_modality
from tests.toy import ToyEncoder

COLOURS = {"red": (220, 20, 20), "green": (20, 200, 30), "blue": (20, 30, 230)}


class Painter:
    """Draws a plain picture of one colour, or words, whatever it is asked."""

    fingerprint = "painter"
    layout = MediaLayout(image_pixels=32)

    def __init__(self, colour: str = "blue") -> None:
        self._colour = colour
        self.prompts: list[list[MediaItem]] = []

    def draw(
        self, prompt: Sequence[MediaItem], modality: Modality, *, count: int, seed: int
    ) -> list[MediaItem]:
        self.prompts.append(list(prompt))
        if modality is Modality.TEXT:
            return [MediaItem(Modality.TEXT, f"{self._colour} {n + seed}") for n in range(count)]
        pixels = np.full((32, 32, 3), COLOURS[self._colour], np.uint8)
        return [MediaItem(Modality.IMAGE, pixels)] * count


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    media = tmp_path_factory.mktemp("media")
    for name, colour in COLOURS.items():
        Image.new("RGB", (24, 24), colour).save(media / f"{name}.png")
        (media / f"about-{name}.txt").write_text(f"something {name} to look at")
    directory = tmp_path_factory.mktemp("collections") / "small"
    with Collection.create(directory, ToyEncoder().spec) as collection:
        ingest([media], collection, ToyEncoder())
    return directory


@pytest.fixture
def painter() -> Painter:
    return Painter()


@pytest.fixture
def retriever(directory: Path, painter: Painter) -> Iterator[Retriever]:
    opened = Retriever.open(directory, encoder=ToyEncoder(), load_drawer=lambda: painter)
    with opened as retriever:
        yield retriever


def asked(weight: float, **options: object) -> Query:
    imagine = Imagine(Modality.IMAGE, weight=weight)
    return Query((Term.text("anything"),), (Modality.IMAGE,), imagine=imagine, **options)


def names(retriever: Retriever, query: Query) -> list[str]:
    return [hit.record.paths[0].stem for hit in retriever.search(query)]


def test_with_all_the_weight_what_was_drawn_decides_and_with_none_nothing_is_drawn(
    retriever: Retriever, painter: Painter
) -> None:
    plain = Query((Term.text("anything"),), (Modality.IMAGE,))

    assert names(retriever, asked(0)) == names(retriever, plain)
    assert not painter.prompts
    assert names(retriever, asked(1000))[0] == "blue"
    assert retriever.imagination.last is not None
    assert retriever.imagination.last.weight == 1000


def test_scores_stay_those_of_the_query_for_hits_that_only_the_drawing_found(
    retriever: Retriever,
) -> None:
    plain = {hit.record.id: hit for hit in retriever.search(Query((Term.text("anything"),)))}

    for hit in retriever.search(asked(0.5)):
        assert hit.score == pytest.approx(plain[hit.record.id].score, abs=1e-3)
        assert hit.imagined_rank in (1, 2, 3)
    few = retriever.search(asked(1000, k=1))
    assert few[0].score == pytest.approx(plain[few[0].record.id].score, abs=1e-3)


def test_each_thing_is_drawn_once_and_other_words_and_seeds_are_other_things(
    retriever: Retriever, painter: Painter
) -> None:
    query = asked(1)
    retriever.search(query)
    retriever.search(asked(2))
    assert len(painter.prompts) == 1
    retriever.search(Query(query.terms, imagine=Imagine(Modality.IMAGE, weight=1, seed=1)))
    retriever.search(Query((Term.text("else"),), imagine=Imagine(Modality.IMAGE, weight=1)))
    assert len(painter.prompts) == 3


def test_the_prompt_is_every_wanted_part_decoded_and_no_other(
    retriever: Retriever, painter: Painter, tmp_path: Path
) -> None:
    Image.new("RGB", (9, 9), "red").save(tmp_path / "red.png")
    known = {hit.record.paths[0].name: hit.record.id for hit in retriever.search(asked(0))}
    about = retriever.search(Query((Term.text("something green to look at"),), (Modality.TEXT,)))
    terms = (
        Term.text('so "very red"'),
        Term.file(Modality.IMAGE, tmp_path / "red.png"),
        Term.like(known["green.png"]),
        Term.like(about[0].record.id),
        Term.text("people", weight=-0.3),
    )

    hits = retriever.search(Query(terms, imagine=Imagine(Modality.IMAGE, weight=1)))

    (prompt,) = painter.prompts
    kinds = [item.modality for item in prompt]
    assert kinds == [Modality.TEXT, Modality.IMAGE, Modality.IMAGE, Modality.TEXT]
    assert prompt[0].content == "so very red"
    assert prompt[3].content == "something green to look at"
    assert np.asarray(prompt[2].content)[5, 5, 1] == 200
    # What is named isn't found, by what was drawn neither.
    assert known["green.png"] not in {hit.record.id for hit in hits}


def test_what_cannot_be_drawn_is_said(directory: Path, painter: Painter) -> None:
    class Deaf(ToyEncoder):
        def __init__(self) -> None:
            super().__init__()
            object.__setattr__(self.spec, "modalities", (Modality.TEXT, Modality.IMAGE))

    with Retriever.open(directory, encoder=Deaf(), load_drawer=lambda: painter) as retriever:
        imagine = Imagine(Modality.AUDIO, weight=1)
        with pytest.raises(EncoderError, match="can't search by audio"):
            retriever.search(Query((Term.text("a"),), imagine=imagine))
        unwanted = Query((Term.text("a", weight=-1),))
        with pytest.raises(QueryError, match="what to draw"):
            retriever.imagination.draw(unwanted, Modality.IMAGE, count=1, seed=0)
    with pytest.raises(ValueError, match="weight"):
        Imagine(Modality.AUDIO, weight=-1)


orders = st.lists(st.integers(0, 30), max_size=20, unique=True)


@given(plain=orders, drawn=orders, weight=st.floats(0, 5))
def test_fusion_follows_its_formula_and_holds_everything_once(
    plain: list[int], drawn: list[int], weight: float
) -> None:
    found = fused(plain, drawn, weight=weight, constant=7)

    def gain(key: int) -> float:
        by_query = 1 / (8 + plain.index(key)) if key in plain else 0.0
        return by_query + (weight / (8 + drawn.index(key)) if key in drawn else 0.0)

    assert sorted(found) == sorted({*plain, *drawn})
    gains = [gain(key) for key in found]
    assert gains == sorted(gains, reverse=True)
    assert fused(plain, drawn, weight=0)[: len(plain)] == plain
    with pytest.raises(ValueError, match="weight"):
        fused(plain, drawn, weight=-weight - 1)


def test_the_useful_kind_is_that_of_most_items_which_is_not_the_querys_own() -> None:
    counts = {Modality.TEXT: 90, Modality.IMAGE: 50, Modality.AUDIO: 60, Modality.VIDEO: 0}

    def chosen(*own: Modality, only: tuple[Modality, ...] | None = None) -> Modality:
        return useful_modality(Query((Term.text("a"),), only), counts, own=own)

    assert chosen(Modality.TEXT) is Modality.AUDIO
    assert chosen(Modality.AUDIO) is Modality.TEXT
    assert chosen(Modality.TEXT, only=(Modality.IMAGE, Modality.VIDEO)) is Modality.IMAGE
    assert chosen(Modality.TEXT, only=(Modality.TEXT,)) is Modality.TEXT
    assert chosen(Modality.TEXT, only=(Modality.VIDEO,)) is Modality.VIDEO
    assert useful_modality(Query((Term.text("a"),)), {}, own=()) is Modality.IMAGE
