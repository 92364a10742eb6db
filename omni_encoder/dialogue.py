"""Conversations: turns of media said and media answered, kept so that they can be replayed exactly.

A session is a JSON file. It holds the codes of everything that was said and answered, and the
search vectors of what was said, but no media: it replays without the files it was held over. A
turn's answer depends on what came before, its rule and its number alone. History is cut from the
front, by whole turns, when it grows too long.
"""

# What JSON holds is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from .errors import OmniError, QueryError
from .flow_generate import GenerateRule
from .generator import OmniGenerator, Request
from .patches import BLOCK_SECONDS
from .prompt import Coded, is_too_long
from .types import MediaItem, Modality

FORMAT = "omnidex-chat-1"


class SessionError(OmniError):
    """A session can't be read, or was held with another model."""


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One exchange.

    Attributes:
        said: What the user gave, in order.
        answer: What the model gave.
        rule: How it was drawn.
        seconds: The length of sound that was asked for.
        dropped: How many of the turns before had to be left out.
        sources: Where what was said came from: its text, or the name of its file.
        shown: The answer's text, or the name of the file it was written to.
    """

    said: tuple[Coded, ...]
    answer: Coded
    rule: GenerateRule
    seconds: float
    dropped: int = 0
    sources: tuple[str, ...] = ()
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """What replaying a turn showed.

    Attributes:
        number: Of the turn, from 1.
        kept: Digest of the answer that the session holds.
        drawn: Digest of the answer that was drawn again.
    """

    number: int
    kept: str
    drawn: str

    @property
    def agrees(self) -> bool:
        """Whether the answers are equal, code by code."""
        return self.kept == self.drawn


class Dialogue:
    """A conversation with a model.

    Attributes:
        generator: The model.
        turns: What was said and answered so far.
    """

    def __init__(self, generator: OmniGenerator, turns: Sequence[Turn] = ()) -> None:
        self.generator = generator
        self.turns = list(turns)

    def ask(
        self,
        said: Sequence[MediaItem],
        modality: Modality,
        *,
        rule: GenerateRule | None = None,
        seconds: float = BLOCK_SECONDS,
        sources: Sequence[str] = (),
    ) -> Turn:
        """Say something, and have it answered; the turn joins the conversation.

        Args:
            said: At least one item.
            modality: Of the answer.
            rule: How to draw.
            seconds: Length of a sound.
            sources: See `Turn`.

        Raises:
            QueryError: Nothing is said, or more than the model takes at once.
            EncoderError: The model can't read or draw a kind.
        """
        if not said:
            raise QueryError("there is nothing to answer", hint="say something, or show a file")
        coded = tuple(self.generator.read(item) for item in said)
        rule = rule or GenerateRule()
        request = Request(modality, seconds, rule, (len(self.turns),))
        prompt, dropped = self._prompt(self.turns, coded, request)
        (answer,) = self.generator.draw(prompt, request)
        turn = Turn(coded, answer, rule, seconds, dropped, tuple(sources))
        self.turns.append(turn)
        return turn

    def replay(self) -> list[Checked]:
        """Draw every answer again, each after what the session says came before it."""
        checks: list[Checked] = []
        for number, turn in enumerate(self.turns):
            request = Request(turn.answer.modality, turn.seconds, turn.rule, (number,))
            prompt, _ = self._prompt(self.turns[:number], turn.said, request)
            (drawn,) = self.generator.draw(prompt, request)
            checks.append(Checked(number + 1, turn.answer.digest(), drawn.digest()))
        return checks

    def _prompt(
        self, before: Sequence[Turn], said: Sequence[Coded], request: Request
    ) -> tuple[list[Coded], int]:
        """The messages that the model sees, oldest first, and how many turns were left out."""
        room = self.generator.room_for(request)
        for dropped in range(len(before) + 1):
            messages: list[Sequence[Coded]] = []
            for turn in before[dropped:]:
                messages += [turn.said, (turn.answer,)]
            messages.append(said)
            last = len(messages) - 1
            prompt = [
                replace(coded, turn=last - place)
                for place, message in enumerate(messages)
                for coded in message
            ]
            if not is_too_long(prompt, room):
                return prompt, dropped
        return list(said), len(before)  # `draw` says that this is too long

    def save(self, path: Path) -> None:
        """Write the conversation, whole or not at all."""
        document = {
            "format": FORMAT,
            "model": self.generator.fingerprint(),
            "turns": [_turn_json(turn) for turn in self.turns],
        }
        unfinished = path.with_name(f".{path.name}.partial")
        unfinished.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path, generator: OmniGenerator) -> "Dialogue":
        """Read a conversation.

        Raises:
            SessionError: The file is missing, no session, damaged, or was held with another model.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SessionError(f"{path} can't be read: {error.strerror or error}") from error
        except ValueError as error:
            raise SessionError(
                f"{path} is no session of omnidex chat: {error}", hint="name another file"
            ) from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise SessionError(f"{path} is no session of format {FORMAT}", hint="name another file")
        if document.get("model") != generator.fingerprint():
            raise SessionError(
                f"{path} was held with another model",
                hint="name that model's files: --checkpoint, --tokens and --flow",
            )
        try:
            turns = [_turn(cast("dict[str, object]", row)) for row in document["turns"]]
            _check_range(turns, generator)
        except (KeyError, TypeError, ValueError) as error:
            raise SessionError(
                f"{path} is damaged: {type(error).__name__}: {error}",
                hint="it was altered; start another session",
            ) from error
        return cls(generator, turns)


def _check_range(turns: Sequence[Turn], generator: OmniGenerator) -> None:
    for turn in turns:
        for coded in (*turn.said, turn.answer):
            kind = Modality.IMAGE if coded.modality is Modality.VIDEO else coded.modality
            paths = generator.flow.paths[kind]
            if coded.codes.shape[1] != len(paths) or (
                len(coded.codes) and coded.codes.max() >= paths[0].size
            ):
                raise ValueError(f"codes of {coded.modality} are out of range")
            dim = generator.codec.encoder.spec.dim
            if coded.vector is not None and (
                coded.vector.shape != (dim,) or not np.isfinite(coded.vector).all()
            ):
                raise ValueError(f"a vector is not {dim} finite numbers")


def _turn_json(turn: Turn) -> dict[str, object]:
    return {
        "said": [
            _coded_json(coded) | {"source": source}
            for coded, source in zip(
                turn.said, (*turn.sources, *[""] * len(turn.said)), strict=False
            )
        ],
        "answer": _coded_json(turn.answer) | {"source": turn.shown},
        "rule": asdict(turn.rule),
        "seconds": turn.seconds,
        "dropped": turn.dropped,
    }


def _coded_json(coded: Coded) -> dict[str, object]:
    # Codes and word ids are below 2 ** 16 in every size; big ones take four bytes.
    kind = "<u2" if not len(coded.codes) or coded.codes.max() < 1 << 16 else "<u4"
    return {
        "modality": str(coded.modality),
        "shape": list(coded.codes.shape),
        "type": kind,
        "codes": b64encode(coded.codes.astype(kind).tobytes()).decode(),
        "digest": coded.digest(),
        "vector": None
        if coded.vector is None
        else b64encode(coded.vector.astype("<f4").tobytes()).decode(),
    }


def _turn(row: Mapping[str, object]) -> Turn:
    said = cast("list[dict[str, object]]", row["said"])
    answer = cast("dict[str, object]", row["answer"])
    return Turn(
        tuple(map(_coded, said)),
        _coded(answer),
        GenerateRule(**cast("dict[str, object]", row["rule"])),  # pyright: ignore[reportArgumentType] - the call checks the names
        float(cast("float", row["seconds"])),
        int(cast("int", row["dropped"])),
        tuple(str(message["source"]) for message in said),
        str(answer["source"]),
    )


def _coded(row: Mapping[str, object]) -> Coded:
    kind = str(row["type"])
    if kind not in ("<u2", "<u4"):
        raise ValueError(f"codes are of type {kind}")
    shape = tuple(cast("list[int]", row["shape"]))
    if len(shape) != 2:
        raise ValueError(f"codes have the shape {shape}")
    data = np.frombuffer(b64decode(str(row["codes"]), validate=True), dtype=kind)
    vector = None
    if row["vector"] is not None:
        # A copy: what is read can't be written to, and torch wants what can.
        vector = np.frombuffer(b64decode(str(row["vector"]), validate=True), dtype="<f4").copy()
    coded = Coded(
        Modality(str(row["modality"])), data.astype(np.int64).reshape(shape), vector=vector
    )
    if coded.digest() != row["digest"]:
        raise ValueError("codes don't match their digest")
    return coded
