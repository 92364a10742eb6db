"""`omnidex explain`, and the options of `omnidex search` for words."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import Ended

Run = Callable[..., Ended]


def explained(omnidex: Run, *arguments: object) -> str:
    ended = omnidex("explain", *arguments, "--json")
    assert ended.code == 0, ended.err
    assert set(json.loads(ended.out)) == {"schema", "query", "hit"}
    return ended.out


def test_json_says_what_matched_and_what_each_part_adds(indexed: Path, omnidex: Run) -> None:
    found = json.loads(
        explained(omnidex, indexed / "red.png", "a red square", "--image", indexed / "red.png")
    )["hit"]

    contributions = found["contributions"]
    assert [set(one) for one in contributions] == [
        {"modality", "text", "amount"},
        {"modality", "file", "amount"},
    ]
    assert sum(one["amount"] for one in contributions) == pytest.approx(found["score"], abs=1e-5)
    assert found["path"] == str(indexed / "red.png")
    assert found["caption"] == "a red square"
    words = found["words"]
    assert {one["words"]: one["in"] for one in words} == {
        "a": ["caption"],
        "red": ["caption", "name"],
        "squar": ["caption"],
    }
    assert set(found["matched"]) == {
        *("span", "moment", "region", "sentence", "sentence_score", "unread")
    }
    nearest = found["nearest_caption"]
    assert set(nearest) == {"id", "score", "text"}


def test_the_table_names_values_and_the_picture_is_written(
    indexed: Path, tmp_path: Path, omnidex: Run
) -> None:
    pixels = np.full((60, 60, 3), 30, np.uint8)
    pixels[:20, :20] = 250
    Image.fromarray(pixels).save(indexed / "corner.png")
    assert omnidex("index", indexed).code == 0
    out = tmp_path / "why.png"

    ended = omnidex(
        *("explain", indexed / "corner.png", "--image", indexed / "corner.png"),
        *("--image-out", out),
    )

    assert ended.code == 0, ended.err
    facts = dict(line.split("\t") for line in ended.out.splitlines())
    assert facts["kind"] == "image"
    assert facts["score"] == "1.000"
    assert facts["  +1.000"] == f"image {indexed / 'corner.png'}"
    assert facts["region"].startswith("0%-")
    with Image.open(out) as written:
        assert written.size == (60, 60)


def test_a_sentence_and_a_time_are_given_where_they_apply(indexed: Path, omnidex: Run) -> None:
    text = json.loads(explained(omnidex, indexed / "note.txt", "dogs"))["hit"]
    sound = json.loads(explained(omnidex, indexed / "tone.wav", "--audio", indexed / "tone.wav"))[
        "hit"
    ]

    assert text["matched"]["sentence"] == "dogs run along the beach"
    span = sound["matched"]["span"]
    assert span == sound["span"]


def test_what_cannot_be_explained_is_said(indexed: Path, tmp_path: Path, omnidex: Run) -> None:
    nothing = omnidex("explain", "ffff", "dogs")
    no_query = omnidex("explain", indexed / "note.txt")
    no_picture = omnidex("explain", indexed / "note.txt", "x", "--image-out", tmp_path / "a.png")
    suffix = omnidex("explain", indexed / "red.png", "x", "--image-out", tmp_path / "a.doc")

    assert (nothing.code, no_query.code, no_picture.code, suffix.code) == (2, 2, 2, 2)
    assert "no item has the id ffff" in nothing.err
    assert "nothing to search for" in no_query.err
    assert "no picture" in no_picture.err
    assert "--image-out can't write a.doc" in suffix.err
    (indexed / "red.png").unlink()
    gone = omnidex("explain", indexed / "red.png", "red")
    assert gone.code == 0, gone.err
    assert "Nobody could look into it" in gone.err


def test_search_by_words_is_on_and_can_be_weighed_and_left_out(indexed: Path, omnidex: Run) -> None:
    on = json.loads(omnidex("search", "red", "square", "--json").out)
    off = json.loads(omnidex("search", "red square", "--no-hybrid", "--json").out)
    weighed = json.loads(omnidex("search", "red square", "--text-weight", 0, "--json").out)

    assert (on["query"]["hybrid"], on["query"]["text_weight"]) == (True, 2.0)
    assert (off["query"]["hybrid"], off["query"]["text_weight"]) == (False, None)
    ranks = {Path(one["path"]).name: one["text_rank"] for one in on["hits"]}
    assert ranks["red.png"] == 1
    assert ranks["blue.jpg"] is None
    assert on["hits"][0]["path"] == str(indexed / "red.png")
    assert [one["id"] for one in weighed["hits"]] == [one["id"] for one in off["hits"]]
    assert [one["vector_rank"] for one in off["hits"]] == [one["rank"] for one in off["hits"]]
    for wrong in (("--text-weight", -1), ("--no-hybrid", "--text-weight", 1)):
        assert omnidex("search", "red", *wrong).code == 2


def test_explain_takes_what_search_takes_of_words(indexed: Path, omnidex: Run) -> None:
    ask = ("explain", indexed / "red.png", "red square", "--json")
    on = json.loads(omnidex(*ask).out)
    off = json.loads(omnidex(*ask, "--no-hybrid").out)
    weighed = json.loads(omnidex(*ask, "--text-weight", 0).out)

    assert [one["words"] for one in on["hit"]["words"]] == ["red", "squar"]
    assert off["hit"]["words"] == weighed["hit"]["words"] == []
    assert (on["query"]["hybrid"], on["query"]["text_weight"]) == (True, 2.0)
    assert (off["query"]["hybrid"], off["query"]["text_weight"]) == (False, None)
    assert omnidex(*ask, "--no-hybrid", "--text-weight", 1).code == 2
