"""Explaining hits, over a real collection with the toy encoder."""

import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import Collection, ingest
from omni_encoder import Modality, QueryError, Span
from retrieval import Hybrid, Query, Retriever, Term
from retrieval.explain import explain, sentences_of
from tests.toy import ToyEncoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for name, place in (("corner", (0, 0)), ("middle", (14, 14))):
        pixels = np.full((40, 40, 3), 30, np.uint8)
        pixels[place[0] : place[0] + 12, place[1] : place[1] + 12] = (250, 40, 10)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "middle.txt").write_text("a red square in the middle")
    filler = " ".join(f"Line {n} is filler of no interest." for n in range(60))
    (folder / "letter.md").write_text(f"{filler} The heron stood by the lake. {filler}")
    (folder / "list.jsonl").write_text('{"text": "a grey wall"}\n{"text": "the green heron"}\n')
    samples = (9000 * np.sin(np.arange(17 * 8000) / 9)).astype("<i2")
    beat = (9000 * np.sin(np.arange(8000) / 2)).astype("<i2")
    samples[8 * 8000 : 9 * 8000] = beat  # one second of another pitch
    with wave.open(str(folder / "tone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())
    return folder


@pytest.fixture(scope="module")
def directory(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoder = ToyEncoder()
    directory = tmp_path_factory.mktemp("collections") / "small"
    with Collection.create(directory, encoder.spec) as collection:
        assert not ingest([folder], collection, encoder).failed
    return directory


@pytest.fixture
def retriever(directory: Path) -> Iterator[Retriever]:
    with Retriever.open(directory, encoder=ToyEncoder()) as retriever:
        yield retriever


def query(*terms: Term) -> Query:
    return Query(terms, k=100, hybrid=Hybrid())


def id_of(retriever: Retriever, name: str) -> str:
    hits = retriever.search(query(Term.text("x")))
    record = next(hit.record for hit in hits if hit.record.paths[0].name == name)
    return f"{record.content}.{record.modality}"


def test_contributions_add_up_to_the_score_that_search_gives(
    retriever: Retriever, folder: Path
) -> None:
    asked = query(
        Term.text("the heron by the lake", weight=1.5),
        Term.file(Modality.IMAGE, folder / "corner.png"),
        Term.text("a wall", weight=-0.7),
        Term.like(id_of(retriever, "tone.wav"), weight=0.3),
    )
    found = {hit.record.id: hit.score for hit in retriever.search(asked)}

    for name in ("corner.png", "middle.png", "letter.md"):
        explained = explain(retriever, asked, id_of(retriever, name))
        assert explained.contributions is not None
        assert [one.term for one in explained.contributions] == list(asked.terms)
        total = sum(one.amount for one in explained.contributions)
        # The stored vector is in half precision, and so is what is compared here.
        assert total == pytest.approx(explained.score, abs=1e-5)
        assert explained.score == pytest.approx(found[explained.record.id], abs=1e-6)


def test_of_several_parts_the_best_is_explained_unless_one_is_named(
    retriever: Retriever,
) -> None:
    asked = query(Term.text("The heron stood by the lake."))
    id = id_of(retriever, "letter.md")

    best = explain(retriever, asked, id)
    first = explain(retriever, asked, f"{id}.0")

    assert "heron" in (best.record.text or "")
    assert best.matched.sentence == "The heron stood by the lake."
    assert best.matched.sentence_score == pytest.approx(1.0, abs=0.2)
    assert first.record.part == 0
    assert best.record.part != 0
    assert best.score > first.score


def test_the_lines_of_a_list_are_items_of_their_own(retriever: Retriever) -> None:
    asked = query(Term.text("the green heron"))
    whole = id_of(retriever, "list.jsonl")
    digits = whole.split(".", maxsplit=1)[0]

    assert explain(retriever, asked, whole).record.text == "the green heron"
    assert explain(retriever, asked, digits).record.text == "a grey wall"
    assert explain(retriever, asked, f"{digits}.1").record.text == "the green heron"


def test_words_are_told_with_where_they_stand(retriever: Retriever) -> None:
    asked = query(Term.text('middle "red square" zebra'))

    found = explain(retriever, asked, id_of(retriever, "middle.png"))

    assert {one.words: one.fields for one in found.words} == {
        "red squar": ("caption",),
        "middl": ("caption", "name"),
    }


def test_the_nearest_caption_is_that_of_another_item(retriever: Retriever) -> None:
    asked = query(Term.text("red"))

    corner = explain(retriever, asked, id_of(retriever, "corner.png"))
    middle = explain(retriever, asked, id_of(retriever, "middle.png"))

    assert corner.caption is not None
    assert corner.caption.text
    assert middle.caption is not None
    assert middle.caption.record.content != middle.record.content
    assert corner.judgement is None  # the toy has no reference


def test_the_region_of_a_picture_is_where_the_query_lies(
    retriever: Retriever, folder: Path
) -> None:
    asked = query(Term.file(Modality.IMAGE, folder / "corner.png"))

    found = explain(retriever, asked, id_of(retriever, "corner.png"), picture_pixels=40)

    assert found.matched.region is not None
    assert (found.matched.region.left, found.matched.region.top) == (0, 0)
    assert found.matched.region.right < 0.8
    assert found.picture is not None
    assert np.asarray(found.picture.content).shape == (40, 40, 3)
    assert found.matched.unread is None


def test_a_sound_is_explained_by_its_window_and_second(retriever: Retriever, folder: Path) -> None:
    beat = folder / "beat.wav"
    with wave.open(str(folder / "tone.wav"), "rb") as whole, wave.open(str(beat), "wb") as file:
        file.setparams(whole.getparams())
        whole.setpos(8 * 8000)
        file.writeframes(whole.readframes(8000))
    asked = query(Term.file(Modality.AUDIO, beat))

    found = explain(retriever, asked, id_of(retriever, "tone.wav"))

    assert found.matched.span == found.record.span
    assert found.matched.span is not None
    assert found.matched.span.start <= 8 < found.matched.span.end
    assert found.matched.moment == Span(8, 9)
    assert found.picture is None


def test_a_file_that_is_gone_is_explained_as_far_as_its_vector_goes(
    retriever: Retriever, folder: Path
) -> None:
    asked = query(Term.text("red square"))
    id = id_of(retriever, "middle.png")
    (folder / "middle.png").rename(folder / "away")
    try:
        found = explain(retriever, asked, id)
    finally:
        (folder / "away").rename(folder / "middle.png")

    assert found.matched.unread
    assert found.matched.region is None
    assert found.picture is None
    assert found.contributions is not None
    with pytest.raises(QueryError, match="no item"):
        explain(retriever, asked, "ffff")


def test_sentences_end_where_they_end() -> None:
    assert sentences_of("One. Two!  Three?\n\nA heading\n\n四。五") == [
        *("One.", "Two!", "Three?", "A heading", "四。", "五"),
    ]
    assert sentences_of("  ") == []
