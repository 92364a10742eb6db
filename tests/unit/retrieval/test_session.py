"""Sessions: what several turns mean together, and that they replay."""

import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer import Collection, FileFilter, Merge, SearchMode, ingest
from omni_encoder import EncoderMismatchError, Modality, QueryError
from retrieval import Query, Retriever, Term
from retrieval.feedback import Feedback, Method, State, advance, query_terms
from retrieval.session import Frame, Session
from retrieval.session_file import bare_query, load, save
from retrieval.turns import Turn, parse
from tests.toy import ToyEncoder

NOTES = ("red dog", "red cat", "blue dog", "blue cat", "green bird", "a dog at night", "night sky")
SHOWN = {1: "a", 2: "b", 3: "c"}


@pytest.fixture
def retriever(tmp_path: Path) -> Generator[Retriever]:
    folder = tmp_path / "notes"
    folder.mkdir()
    for number, text in enumerate(NOTES):
        (folder / f"{number}.txt").write_text(text)
    encoder = ToyEncoder()
    with Collection.create(tmp_path / "collection", encoder.spec) as collection:
        ingest([folder], collection, encoder)
    with Retriever.open(tmp_path / "collection", encoder=encoder) as opened:
        yield opened


def frame(k: int = 3) -> Frame:
    return Frame(bare_query(k=k))


def said(*turns: str) -> State:
    state = State()
    for words in turns:
        state = advance(state, parse(words, first=state == State()), SHOWN)
    return state


def test_what_is_said_adds_up_until_it_is_forgotten() -> None:
    state = said("a dog", "more like 2 but outdoors", "less like 1, not people, only photos")

    assert state == State(
        texts=("a dog", "outdoors"),
        more=("b",),
        less=("a",),
        nots=("people",),
        kinds=(Modality.IMAGE,),
    )
    assert said("a dog", "only photos", "new: rain") == State(texts=("rain",))
    assert said("a dog", "only photos", "everything").kinds is None


def test_a_hit_is_good_or_bad_but_never_both() -> None:
    assert said("a dog", "more like 1 and 2", "less like 1") == State(
        texts=("a dog",), more=("b",), less=("a",)
    )


def test_weights_follow_rocchio() -> None:
    state = said("a dog", "at night", "more like 1 and 2, less like 3, not people")
    rocchio = query_terms(state, Feedback(Method.ROCCHIO, alpha=2, beta=0.5, gamma=0.25))
    dialogue = query_terms(state, Feedback(Method.DIALOGUE, alpha=2, beta=0.5, gamma=0.25))

    assert rocchio == (
        Term.text("a dog", weight=2),
        Term.text("at night", weight=2),
        Term.like("a", weight=0.25),
        Term.like("b", weight=0.25),
        Term.like("c", weight=-0.125),
        Term.text("people", weight=-0.125),
    )
    assert dialogue == (Term.text("a dog, at night", weight=2), *rocchio[2:])


@given(more=st.integers(1, 5), less=st.integers(0, 5))
def test_the_mixture_is_rocchios_formula(more: int, less: int) -> None:
    generator = np.random.default_rng([more, less])
    rows = {str(n): generator.standard_normal(8) for n in range(more + less)}
    query = generator.standard_normal(8)
    ids = list(rows)
    state = State(texts=("q",), more=tuple(ids[:more]), less=tuple(ids[more:]))
    feedback = Feedback(Method.ROCCHIO, beta=0.7, gamma=0.2)

    mixed = sum(
        term.weight * (rows[str(term.content)] if term.modality is None else query)
        for term in query_terms(state, feedback)
    )

    good = np.mean([rows[id] for id in ids[:more]], axis=0)
    bad = np.mean([rows[id] for id in ids[more:]], axis=0) if less else 0
    np.testing.assert_allclose(mixed, query + 0.7 * good - 0.2 * bad)


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        (("a dog", "more like 9"), "there is no hit 9"),
        (("only sounds",), "nothing to search for yet"),
        (("a dog", "only photos", "no photos"), "no kind of media is left"),
    ],
)
def test_what_makes_no_sense_is_an_error(turns: tuple[str, ...], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        said(*turns)


def test_next_goes_on_and_back_undoes(retriever: Retriever) -> None:
    session = Session()
    first = session.say("dog", retriever, frame()).hits
    second = session.say("next", retriever, frame()).hits
    liked = session.say("more like 4", retriever, frame())
    again = session.say("back", retriever, frame(6)).hits

    every = retriever.search(Query((Term.text("dog"),), k=6))
    assert [hit.record.id for hit in (*first, *second)] == [hit.record.id for hit in every]
    assert [hit.rank for hit in second] == [4, 5, 6]
    assert liked.state.more == (second[0].record.id,)
    assert second[0].record.id not in [hit.record.id for hit in liked.hits]
    assert again == tuple(every)
    assert session.state == State(texts=("dog",))


def test_a_turn_that_fails_is_not_remembered(retriever: Retriever) -> None:
    session = Session()
    session.say("dog", retriever, frame())
    with pytest.raises(QueryError):
        session.say("more like 8", retriever, frame())
    with pytest.raises(QueryError, match="no turn to go back to"):
        session.say("back", retriever, frame())

    assert [step.words for step in session.steps] == ["dog"]


TURNS = ("dog", "more like 2", "next", "same but at night, not blue", "open 1", "back", "new: cat")


def test_a_saved_session_is_the_same_and_replays_exactly(
    retriever: Retriever, tmp_path: Path
) -> None:
    session = Session(feedback=Feedback(Method.ROCCHIO, gamma=0.5))
    query = bare_query(
        modalities=(Modality.TEXT,),
        k=2,
        where="part = 0",
        files=FileFilter(folders=(tmp_path,), types=("txt",), after=1.5),
        mode=SearchMode(exact=True, merge=Merge.STANDARD),
    )
    for words in TURNS:
        session.say(words, retriever, Frame(query))
    like = Term.like(session.steps[0].hits[0], weight=0.5)
    session.say("", retriever, Frame(query, (like,)))
    save(session, tmp_path / "s.json", retriever.collection)

    saved = load(tmp_path / "s.json")

    saved.check(retriever.collection)
    assert saved.session.steps == session.steps
    assert saved.session.feedback == session.feedback
    assert (saved.session.state, saved.session.shown) == (session.state, session.shown)
    replay = saved.session.replay(retriever)
    assert (replay.turns, replay.changed, replay.differences) == (len(TURNS) + 1, 0, ())
    assert {path.name for path in tmp_path.glob("*s.json*")} == {"s.json"}


def test_a_replay_says_where_other_hits_come(retriever: Retriever, tmp_path: Path) -> None:
    session = Session()
    for words in ("blue cat", "more like 2", "green bird"):
        session.say(words, retriever, frame(2))
    liked = session.steps[0].hits[1]
    (tmp_path / "notes" / "new.txt").write_text("blue cat green bird")
    ingest([tmp_path / "notes"], retriever.collection, ToyEncoder())

    replay = session.replay(retriever)

    assert replay.changed == 3
    assert replay.differences
    assert all(one.rank and one.expected != one.found for one in replay.differences)
    retriever.collection.remove([liked])
    gone = session.replay(retriever).differences
    assert next(one for one in gone if one.turn == 2).message.startswith("no item has the id")


def test_another_encoders_collection_is_refused(retriever: Retriever, tmp_path: Path) -> None:
    session = Session()
    session.say("dog", retriever, frame())
    save(session, tmp_path / "s.json", retriever.collection)
    saved = replace(load(tmp_path / "s.json"), fingerprint="0" * 32)

    with pytest.raises(EncoderMismatchError):
        saved.check(retriever.collection)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 2}', '{"schema": 1}', "\x00"])
def test_what_is_no_session_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(QueryError, match=r"s\.json is"):
        load(tmp_path / "s.json")


def test_a_damaged_turn_is_an_error(retriever: Retriever, tmp_path: Path) -> None:
    session = Session()
    session.say("dog", retriever, frame())
    save(session, tmp_path / "s.json", retriever.collection)
    document = json.loads((tmp_path / "s.json").read_text())
    document["turns"][0]["k"] = 0
    (tmp_path / "s.json").write_text(json.dumps(document))

    with pytest.raises(QueryError, match="is no session"):
        load(tmp_path / "s.json")


def test_files_and_items_come_with_a_turn() -> None:
    like = Term.like("abcd", weight=0.5)
    state = advance(State(), Turn(text="a dog"), {}, terms=(like,))

    assert query_terms(state, Feedback(alpha=2))[0] == Term.like("abcd", weight=1.0)
