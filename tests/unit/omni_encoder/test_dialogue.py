"""Conversations on a tiny random model: what is kept replays, and old turns are forgotten."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from omni_encoder.dialogue import Dialogue, SessionError
from omni_encoder.errors import QueryError
from omni_encoder.flow_generate import GenerateRule
from omni_encoder.generator import OmniGenerator
from omni_encoder.types import MediaItem, Modality
from tests.tiny_generator import write_tiny_generator

RULE = GenerateRule(steps=1, block=4, most_blocks=2, seed=5)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> OmniGenerator:
    return write_tiny_generator(tmp_path_factory.mktemp("tiny")).load()


def picture(value: int) -> MediaItem:
    return MediaItem(Modality.IMAGE, np.full((20, 30, 3), value, dtype=np.uint8))


def text(words: str) -> MediaItem:
    return MediaItem(Modality.TEXT, words)


def held(generator: OmniGenerator) -> Dialogue:
    """Three turns: a picture named, a sound for it, a picture after both."""
    dialogue = Dialogue(generator)
    dialogue.ask([picture(40), text("what")], Modality.TEXT, rule=RULE, sources=["a.png", "what"])
    dialogue.ask([text("sound")], Modality.AUDIO, rule=RULE)
    dialogue.ask([text("draw")], Modality.IMAGE, rule=RULE)
    return dialogue


def test_a_session_is_read_back_and_replays_exactly(
    generator: OmniGenerator, tmp_path: Path
) -> None:
    dialogue = held(generator)
    dialogue.save(tmp_path / "s.json")

    again = Dialogue.load(tmp_path / "s.json", generator)

    assert [turn.answer.digest() for turn in again.turns] == [
        turn.answer.digest() for turn in dialogue.turns
    ]
    assert again.turns[0].sources == ("a.png", "what")
    assert [turn.rule for turn in again.turns] == [RULE] * 3
    checks = again.replay()
    assert [check.number for check in checks] == [1, 2, 3]
    assert all(check.agrees for check in checks)
    again.save(tmp_path / "t.json")
    assert (tmp_path / "t.json").read_bytes() == (tmp_path / "s.json").read_bytes()


def test_an_answer_depends_on_what_was_said_before(generator: OmniGenerator) -> None:
    digests: set[str] = set()
    for before in (10, 240):
        dialogue = Dialogue(generator)
        dialogue.ask([picture(before)], Modality.IMAGE, rule=RULE)
        turn = dialogue.ask([text("draw")], Modality.IMAGE, rule=RULE)
        digests.add(turn.answer.digest())

    assert len(digests) == 2


def test_a_changed_answer_is_found_and_does_not_spread(
    generator: OmniGenerator, tmp_path: Path
) -> None:
    """Later turns are drawn after what the session says, so one difference stays one."""
    dialogue = held(generator)
    dialogue.turns[2] = type(dialogue.turns[2])(
        dialogue.turns[2].said,
        dialogue.turns[2].answer,
        GenerateRule(steps=1, block=4, most_blocks=2, seed=6),
        dialogue.turns[2].seconds,
    )
    dialogue.save(tmp_path / "s.json")

    checks = Dialogue.load(tmp_path / "s.json", generator).replay()

    assert [check.agrees for check in checks] == [True, True, False]


def test_old_turns_are_forgotten_whole(generator: OmniGenerator) -> None:
    dialogue = Dialogue(generator)
    for value in range(9):
        dialogue.ask([picture(value)], Modality.IMAGE, rule=RULE)

    # A turn is two pictures of 66 positions; 1,024 hold 7 of them and a question with its answer.
    assert [turn.dropped for turn in dialogue.turns] == [*[0] * 7, 1, 2]
    with pytest.raises(QueryError, match="positions"):
        dialogue.ask([picture(0)] * 16, Modality.TEXT, rule=RULE)
    with pytest.raises(QueryError, match="nothing"):
        dialogue.ask([], Modality.TEXT)
    assert len(dialogue.turns) == 9


def _spoil_codes(document: dict[str, object]) -> None:
    document["turns"][0]["answer"]["codes"] = "AAAA"  # type: ignore[index]


def _spoil_kind(document: dict[str, object]) -> None:
    document["turns"][1]["answer"]["modality"] = "smell"  # type: ignore[index]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: d.update(format="other"), "no session of format"),
        (lambda d: d.update(model="0"), "another model"),
        (lambda d: d.pop("turns"), "damaged"),
        (_spoil_codes, "damaged"),
        (_spoil_kind, "damaged"),
    ],
)
def test_what_is_no_session_is_refused(
    generator: OmniGenerator,
    tmp_path: Path,
    spoil: Callable[[dict[str, object]], None],
    message: str,
) -> None:
    path = tmp_path / "s.json"
    held(generator).save(path)
    document = json.loads(path.read_text())
    spoil(document)
    path.write_text(json.dumps(document))

    with pytest.raises(SessionError, match=message):
        Dialogue.load(path, generator)


def test_files_that_are_no_json_are_refused(generator: OmniGenerator, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(b"\xff\x00")
    for given in (path, tmp_path / "none.json"):
        with pytest.raises(SessionError):
            Dialogue.load(given, generator)
