"""`--imagine` and `--fill`, with a tiny random model that draws."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from omni_encoder import Modality
from retrieval.reference import Cohort, Reference
from tests.tiny_generator import TinyFiles, write_tiny_generator

from .conftest import Ended

Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TinyFiles:
    return write_tiny_generator(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def _tiny(files: TinyFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = files.load()
    monkeypatch.setattr("omni_encoder.generator.OmniGenerator.load", lambda: generator)


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference by which texts are always weak, and everything else never is."""
    generator = np.random.default_rng(0)
    cohorts = {
        kind: Cohort(generator.standard_normal((40, 32)).astype(np.float32), np.arange(40))
        for kind in Modality
    }
    limits = {f"text->{kind}": -1.0 if kind is Modality.TEXT else 1e9 for kind in Modality}
    monkeypatch.setattr(
        "retrieval.retriever.find_reference", lambda *_: Reference("toy", cohorts, limits)
    )


def document(ended: Ended) -> dict[str, object]:
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def test_what_is_imagined_is_searched_by_and_named(
    indexed: Path, tmp_path: Path, omnidex: Run
) -> None:
    ask = ("search", "dogs", "--imagine", "image:0.5", "--json")
    found = document(omnidex(*ask, "--keep", tmp_path / "kept"))
    ended = omnidex(*ask)
    again = document(ended)

    imagined = found["imagined"]
    assert (imagined["modality"], imagined["weight"], imagined["seed"]) == ("image", 0.5, 0)
    name = Path(imagined["file"]).name
    assert re.fullmatch(r"imagined-dogs-[0-9a-f]{6}-seed0-1\.png", name)
    assert Path(imagined["file"]).parent == tmp_path / "kept"
    assert Path(imagined["file"]).read_bytes().startswith(b"\x89PNG")
    assert imagined["seconds"] > 0
    assert again["imagined"]["file"] is None
    assert "Imagined: image, in " in ended.err
    assert again["hits"] == found["hits"]  # the same seed draws the same
    assert sorted(hit["imagined_rank"] for hit in found["hits"]) == [1, 2, 3, 4]
    assert found["synthetic"] == []


def test_without_a_weight_nothing_is_drawn_and_the_order_stays(indexed: Path, omnidex: Run) -> None:
    plain = document(omnidex("search", "dogs", "--json"))
    ended = omnidex("search", "dogs", "--json", "--imagine", "auto")

    assert document(ended)["hits"] == plain["hits"]
    assert document(ended)["imagined"] is None
    assert "doesn't pay" in ended.err
    assert "--imagine image:0.2" in ended.err  # two images are more than any other kind


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ("--imagine smell", "doesn't know 'smell'", "text, image"),
        ("--imagine imgae", "doesn't know 'imgae'", "did you mean image?"),
        ("--imagine image:much", "not 'much'", "--imagine image:0.2"),
        ("--imagine image:-1", "not '-1'", "--imagine image:0.2"),
        ("--keep kept", "nothing to keep", "--fill N"),
        ("--fill many", "doesn't know 'many'", "--fill image:2"),
        ("--fill 17", "doesn't know '17'", "at most 16"),
        ("--fill image:0", "doesn't know 'image:0'", "at most 16"),
        ("--fill sound:2", "doesn't know 'sound:2'", "--fill image:2"),
        ("--fill 2 --session s.json", "can't be filled", "leave --fill"),
        ("--fill 2 --keep {media}/red.png", "is no folder", "takes a folder"),
        ("--fill 2 --keep {media}/red.png/kept", "can't be made", "takes a folder"),
    ],
)
def test_wrong_wishes_are_one_message(
    indexed: Path, omnidex: Run, arguments: str, message: str, hint: str
) -> None:
    ended = omnidex("search", "dogs", *arguments.format(media=indexed).split())

    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert hint in ended.err


@pytest.mark.usefixtures("reference")
def test_where_all_hits_are_weak_answers_are_drawn_apart_and_not_stored(
    indexed: Path, tmp_path: Path, omnidex: Run
) -> None:
    ask = ("search", "dogs", "--no-hybrid", "--to", "text", "--fill")
    before = omnidex("status", "--json").out
    ended = omnidex(*ask, "image:2", "--keep", tmp_path / "kept", "--json")
    found = document(ended)
    rows = [line.split("\t") for line in omnidex(*ask, 2, "--seed", 7).out.splitlines()]

    assert [hit["weak"] for hit in found["hits"]] == [True]
    assert all("synthetic" not in hit for hit in found["hits"])
    made = found["synthetic"]
    assert [(one["synthetic"], one["modality"], one["number"]) for one in made] == [
        (True, "image", 1),
        (True, "image", 2),
    ]
    names = [re.sub(r"-[0-9a-f]{6}-", "-HASH-", Path(one["file"]).name) for one in made]
    assert names == ["synthetic-dogs-HASH-seed0-1.png", "synthetic-dogs-HASH-seed0-2.png"]
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {
        Path(one["file"]).name for one in made
    }
    assert "Drawn: 2 of image" in ended.err
    assert [row[0] for row in rows] == ["1", "synthetic", "synthetic"]
    assert rows[1][1] == "text"  # the only kind that may be found
    assert Path(rows[1][2]).read_text() == rows[1][3] + "\n"
    assert json.loads(omnidex("status", "--json").out) == json.loads(before)


@pytest.mark.usefixtures("reference")
def test_what_was_drawn_has_a_part_of_its_own_in_pages_and_terminals(
    indexed: Path, tmp_path: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omnidex_cli.render.on_terminal", lambda: True)
    page = tmp_path / "page.html"
    ask = ("search", "dogs", "--no-hybrid", "--to", "text", "--html", page, "--fill")

    for kind, tag in (("image", "data:image/png"), ("audio", "<audio"), ("text", "<blockquote>")):
        ended = omnidex(*ask, f"{kind}:1")
        synthetic = page.read_text().partition("<h2>Synthetic</h2>")[2]
        assert tag in synthetic
        lines = ended.out.splitlines()
        place = lines.index("-- synthetic: drawn from the query, in no collection --")
        assert "-- weak below --" in "".join(lines[:place])
        assert kind in "".join(lines[place:])
    paths = omnidex(*ask, 1, "-l")
    assert paths.out == f"{indexed / 'note.txt'}\n"
    assert "Drawn: 1 of text" in paths.err


@pytest.mark.usefixtures("reference")
def test_where_a_hit_is_not_weak_nothing_is_drawn(indexed: Path, omnidex: Run) -> None:
    ended = omnidex("search", "dogs", "--no-hybrid", "--fill", 2, "--json")

    assert document(ended)["synthetic"] == []
    assert "Nothing is drawn: 3 of 4 hits are not weak." in ended.err


def test_without_a_reference_nobody_can_tell(indexed: Path, omnidex: Run) -> None:
    assert "has no reference" in omnidex("search", "dogs", "--fill", 1).err


@pytest.mark.usefixtures("reference")
def test_finding_nothing_is_still_nothing_found(indexed: Path, omnidex: Run) -> None:
    ended = omnidex("search", "dogs", "--after", "2090", "--fill", 1, "--json")

    assert ended.code == 1
    assert len(json.loads(ended.out)["synthetic"]) == 1


@pytest.mark.usefixtures("reference")
def test_where_all_folders_are_absent_no_model_is_loaded_and_nothing_drawn(
    indexed: Path, tmp_path: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load() -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("omni_encoder.generator.OmniGenerator.load", load)
    draw = ("--fill", 1, "--imagine", "text:1")
    ended = omnidex("search", "dogs", "--in", tmp_path / "nowhere", *draw)

    assert (ended.code, ended.out) == (1, "")
    assert "Nothing is drawn: none of the folders" in ended.err
    assert f"there is no folder {tmp_path / 'nowhere'}" in ended.err


@pytest.mark.usefixtures("reference")
def test_hits_are_printed_although_nothing_can_be_drawn(indexed: Path, omnidex: Run) -> None:
    ask = ("search", "dog " * 300, "--no-hybrid", "--to", "text", "--fill", "image:1")

    plain, as_json = omnidex(*ask), omnidex(*ask, "--json")

    assert plain.code == as_json.code == 2
    assert str(indexed / "note.txt") in plain.out
    assert plain.err.count("Error: ") == 1
    found = json.loads(as_json.out)
    assert [len(found["hits"]), found["synthetic"]] == [1, []]
    message = json.loads(as_json.err.splitlines()[-1])["error"]["message"]
    assert f"Error: {message}" in plain.err


def test_turns_imagine_and_a_session_replays(
    indexed: Path, tmp_path: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("dogs\nmore like 2\n"))
    session = tmp_path / "s.json"

    ended = omnidex("ask", "--imagine", "text:1", "--seed", 3, "--session", session, "--json")

    turns = [json.loads(line) for line in ended.out.splitlines()]
    assert [turn["imagined"]["modality"] for turn in turns] == ["text", "text"]
    assert ended.err.count("Imagined: text") == 2
    kept = json.loads(session.read_text())["turns"]
    assert kept[0]["imagine"] == {"modality": "text", "weight": 1.0, "seed": 3}
    assert "2 of 2 turns find the same" in omnidex("ask", "--replay", session).err
    one_more = document(omnidex("search", "cats", "--session", session, "--json"))
    assert one_more["imagined"] is None


def test_what_is_kept_replaces_no_drawing_of_another_query(
    indexed: Path, tmp_path: Path, omnidex: Run
) -> None:
    kept = tmp_path / "kept"

    def draw(words: str, kind: str = "text") -> Path:
        ask = ("search", words, "--imagine", f"{kind}:1", "--keep", kept, "--json")
        return Path(document(omnidex(*ask))["imagined"]["file"])

    cats, dogs = (
        draw("\u043a\u043e\u0448\u043a\u0438"),
        draw("\u0441\u043e\u0431\u0430\u043a\u0438"),
    )
    long = [draw("a very long question about many things " + end) for end in ("here", "there")]

    assert cats.name.startswith("imagined-\u043a\u043e\u0448\u043a\u0438-")
    assert len({cats, dogs, *long, draw("dogs"), draw("dogs", "image")}) == 6
    first = cats.read_bytes()
    assert draw("\u043a\u043e\u0448\u043a\u0438") == cats
    cats.write_text("my own")
    other = draw("\u043a\u043e\u0448\u043a\u0438")
    assert (cats.read_text(), other.read_bytes()) == ("my own", first)
    assert len(list(kept.iterdir())) == 7
