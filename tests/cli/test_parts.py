"""`omnidex search` with parts that are weighted, unwanted or composed, and with weak hits."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from omni_encoder import Modality
from retrieval.reference import Cohort, Reference

from .conftest import Ended

Run = Callable[..., Ended]


def test_unwanted_parts_and_weights_reach_the_query(indexed: Path, omnidex: Run) -> None:
    red = indexed / "red.png"
    ended = omnidex(
        *("search", "dogs", "--image", red, "--not", "people", "--not", f"image:{red}"),
        *("--weight", "image=2,not=0.5", "--weight", "text=3", "--json"),
    )

    assert ended.code == 0, ended.err
    query = json.loads(ended.out)["query"]
    assert query["compose"] == "arithmetic"
    assert query["terms"] == [
        {"modality": "text", "text": "dogs", "weight": 3.0},
        {"modality": "image", "file": str(red), "weight": 2.0},
        {"modality": "text", "text": "people", "weight": -0.5},
        {"modality": "image", "file": str(red), "weight": -0.5},
    ]


def test_what_is_not_wanted_moves_down(indexed: Path, omnidex: Run) -> None:
    blue = f"image:{indexed / 'blue.jpg'}"

    def score(*more: object) -> float:
        ended = omnidex("search", "dogs", "--json", "--to", "image", *more)
        hits = json.loads(ended.out)["hits"]
        return next(hit["score"] for hit in hits if hit["path"].endswith("blue.jpg"))

    assert score("--not", blue) < score() - 0.1
    assert score("--not", blue, "--weight", "not=1") < score("--not", blue)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--not people", "--not alone"),
        ("dogs --weight image", "--weight doesn't understand 'image'"),
        ("dogs --weight cats=2", "--weight doesn't understand"),
        ("dogs --weight image=-1", "--weight doesn't understand"),
        ("dogs --weight image=nan", "--weight doesn't understand"),
        ("dogs --compose magic", "--compose doesn't know 'magic'"),
        ("dogs --not image:absent.png", "there is no file absent.png"),
        ("dogs --text cats --compose joint", "can't read several parts as one"),
    ],
)
def test_wrong_parts_are_one_message(indexed: Path, omnidex: Run, given: str, message: str) -> None:
    ended = omnidex("search", *given.split())

    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference in which texts are unlike everything, and everything else is strong."""
    generator = np.random.default_rng(0)
    cohorts = {
        kind: Cohort(generator.standard_normal((40, 32)).astype(np.float32), np.arange(40))
        for kind in Modality
    }
    limits = {f"text->{kind}": 1e-9 if kind is Modality.TEXT else 1e9 for kind in Modality}
    monkeypatch.setattr(
        "retrieval.retriever.find_reference", lambda *_: Reference("toy", cohorts, limits)
    )


def test_weak_hits_come_last_and_are_marked_in_pipes_and_json(
    indexed: Path, omnidex: Run, reference: None
) -> None:
    ask = ("search", "dogs", "--no-hybrid")
    rows = [line.split("\t") for line in omnidex(*ask).out.splitlines()]
    hits = json.loads(omnidex(*ask, "--json").out)["hits"]

    assert [row[7] for row in rows] == ["", "", "", "weak"]
    assert [row[2] for row in rows][-1] == "text"
    assert [hit["weak"] for hit in hits] == [False, False, False, True]
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4]
    assert all(0 <= hit["percentile"] <= 100 and hit["expected"] >= 0 for hit in hits)


def test_a_line_divides_weak_hits_from_others_on_a_terminal(
    indexed: Path, omnidex: Run, reference: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omnidex_cli.render.on_terminal", lambda: True)
    mixed = omnidex("search", "dogs", "--no-hybrid").out.splitlines()
    weak = omnidex("search", "dogs", "--no-hybrid", "--to", "text")
    strong = omnidex("search", "dogs", "--no-hybrid", "--to", "image").out

    places = [number for number, line in enumerate(mixed) if "-- weak below --" in line]
    assert len(places) == 1
    assert "text" in mixed[places[0] + 1]
    assert "-- weak below --" in weak.out
    assert "All of this is weak" in weak.err
    assert "weak below" not in strong


def test_a_weight_of_a_part_that_is_not_there_is_refused(indexed: Path, omnidex: Run) -> None:
    ended = omnidex("search", "dogs", "--weight", "image=2")

    assert ended.code == 2
    assert "nothing to weigh" in ended.err


def test_a_session_keeps_how_words_count_and_refuses_what_it_would_lose(
    indexed: Path, omnidex: Run, tmp_path: Path
) -> None:
    session = tmp_path / "s.json"
    asked = omnidex("search", "dogs", "--in", indexed, "--session", session)
    replayed = omnidex("ask", "--replay", session)
    unwanted = omnidex("search", "dogs", "--not", "beach", "--session", session)

    assert asked.code == 0
    assert replayed.code == 0, replayed.err
    assert json.loads(session.read_text())["turns"][0]["hybrid"]["weight"] > 0
    assert unwanted.code == 2
    assert "no --not" in unwanted.err


def test_what_holds_the_words_is_never_weak(indexed: Path, omnidex: Run, reference: None) -> None:
    hits = json.loads(omnidex("search", "dogs", "--json").out)["hits"]

    assert not any(hit["weak"] for hit in hits if hit["text_rank"] is not None)


def test_without_a_reference_nothing_is_said_of_weakness(indexed: Path, omnidex: Run) -> None:
    hits = json.loads(omnidex("search", "dogs", "--json").out)["hits"]

    assert {(hit["percentile"], hit["expected"], hit["weak"]) for hit in hits} == {
        (None, None, None)
    }
