"""`omnidex chat`: turns of words and media, answered in any kind, kept and replayed."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import render
from .errors import FAILED, NOTHING_FOUND, UsageProblem, tell_line
from .options import (
    CheckpointOption,
    FlowOption,
    GuidanceOption,
    JsonOption,
    SecondsOption,
    SeedOption,
    StepsOption,
    TemperatureOption,
    ThreadsOption,
    TokensOption,
)
from .parts import read_stdin_by_lines
from .prompts import Given, file_item, kind_named, prompt_items
from .synthetic import SUFFIXES

if TYPE_CHECKING:
    from omni_encoder.dialogue import Dialogue, Turn
    from omni_encoder.flow_generate import GenerateRule

_PART = re.compile(r'@"([^"]+)"|(\S+)')
_HELP = """\
words and @FILEs, such as: what is this? @dog.jpg   (@"with spaces.jpg"; @@ is an @)
/to KIND     answer as text, image, audio or video from now on
/undo        take the last turn back
/quit        end; the session is kept"""


@dataclass(frozen=True, slots=True)
class _Talk:
    """What a conversation goes on with."""

    dialogue: "Dialogue"
    session: Path
    rule: "GenerateRule"
    seconds: float
    to: str
    as_json: bool


def chat(
    parts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PARTS]",
            help="Words and @FILEs of one turn; without them, turns are read from stdin.",
            show_default=False,
        ),
    ] = None,
    *,
    image: Annotated[
        list[Path] | None,
        typer.Option("--image", metavar="FILE", help="A picture to show.", show_default=False),
    ] = None,
    audio: Annotated[
        list[Path] | None,
        typer.Option("--audio", metavar="FILE", help="A sound to play.", show_default=False),
    ] = None,
    video: Annotated[
        list[Path] | None,
        typer.Option("--video", metavar="FILE", help="A video to show.", show_default=False),
    ] = None,
    to: Annotated[
        str, typer.Option("--to", help="How to answer: text, image, audio or video.")
    ] = "text",
    session: Annotated[
        Path,
        typer.Option(
            "--session",
            "-s",
            metavar="FILE",
            help="The conversation; it is gone on with, and answers are written beside it.",
        ),
    ] = Path("chat.json"),
    new: Annotated[bool, typer.Option("--new", help="Begin the session anew.")] = False,
    replay: Annotated[
        Path | None,
        typer.Option(
            "--replay",
            metavar="FILE",
            help="Draw the answers of a session again and compare; 1 if one differs.",
            show_default=False,
        ),
    ] = None,
    steps: StepsOption = 16,
    guidance: GuidanceOption = 2.0,
    temperature: TemperatureOption = None,
    seconds: SecondsOption = 2.56,
    seed: SeedOption = 0,
    checkpoint: CheckpointOption = None,
    tokens: TokensOption = None,
    flow: FlowOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Converse with the model in words, pictures, sounds and videos.

    The session holds what was said and answered as the model's codes, so it can be gone on
    with and replayed without the files. When it grows beyond 1,024 positions (a picture takes
    66), the oldest turns are forgotten. Answers that are no text go beside the session, numbered.
    A line that can't be answered is told, and the next one is taken; the exit code is 2 then.
    Answers depend on the seed; another machine may round otherwise, which --replay tells.

    The model is small: it names and draws simple things, and holds no conversation.

    Example:
    omnidex chat "what is this?" --image dog.jpg
    omnidex chat "now draw one" --to image
    omnidex chat --replay chat.json
    """
    kind_named(to)
    path = replay or session
    if replay is not None and not replay.is_file():
        raise UsageProblem(f"there is no session {replay}", hint="name a file that chat wrote")
    if not path.absolute().parent.is_dir():
        raise UsageProblem(f"there is no folder {path.parent}", hint="make it first")
    shown = {"image": image or [], "audio": audio or [], "video": video or []}
    said = [file_item(file, kind) for kind, files in shown.items() for file in files]
    said += prompt_items(parts) if parts else []

    from omni_encoder.dialogue import Dialogue
    from omni_encoder.flow_generate import GenerateRule
    from omni_encoder.generator import OmniGenerator

    generator = OmniGenerator.load(encoder=checkpoint, tokens=tokens, flow=flow, threads=threads)
    if replay is not None:
        _replay(Dialogue.load(replay, generator), as_json=as_json)
        return
    goes_on = session.exists() and not new
    dialogue = Dialogue.load(session, generator) if goes_on else Dialogue(generator)
    rule = GenerateRule(steps=steps, guidance=guidance, temperature=temperature, seed=seed)
    talk = _Talk(dialogue, session, rule, seconds, to, as_json)
    if goes_on and dialogue.turns:
        count = len(dialogue.turns)
        render.note(f"Going on with {session}, turn {count + 1}.")
    if said:
        _take_turn(talk, said)
    else:
        _converse(talk)


def _converse(talk: _Talk) -> None:
    """Read turns from stdin, a line each, until it ends. A line that fails costs only itself.

    Raises:
        Exit: A line failed that nobody typed.
    """
    from omni_encoder import OmniError

    read_stdin_by_lines()
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        render.note(f"{_HELP}\n")
    failures = 0
    while True:
        if is_terminal:
            sys.stderr.write(f"{talk.to}> ")
            sys.stderr.flush()
        line = sys.stdin.readline()
        if not line or line.strip() == "/quit":
            break
        try:
            talk = _line(talk, line.strip())
        except (OmniError, UsageProblem) as error:
            failures += tell_line(error, line.strip(), as_json=talk.as_json)
    if failures:
        raise typer.Exit(FAILED)


def _line(talk: _Talk, line: str) -> _Talk:
    """Do what one line says."""
    command, _, rest = line.partition(" ")
    if command == "/to":
        return replace(talk, to=str(kind_named(rest.strip())))
    if command == "/undo":
        if not talk.dialogue.turns:
            raise UsageProblem("there is no turn to take back")
        talk.dialogue.turns.pop()
        talk.dialogue.save(talk.session)
        return talk
    if command.startswith("/"):
        if command != "/help":
            raise UsageProblem(f"there is no command {command}", hint="/help lists them")
        render.note(_HELP)
        return talk
    if line:
        parts = [f"@{quoted}" if quoted else plain for quoted, plain in _PART.findall(line)]
        _take_turn(talk, prompt_items(parts))
    return talk


def _take_turn(talk: _Talk, said: Sequence[Given]) -> None:
    from omni_encoder import Modality
    from omni_encoder.media_writing import write_item

    dialogue = talk.dialogue
    turn = dialogue.ask(
        [given.item for given in said],
        Modality(talk.to),
        rule=talk.rule,
        seconds=talk.seconds,
        sources=[given.source for given in said],
    )
    item = dialogue.generator.show(turn.answer)
    if isinstance(item.content, str):
        shown = item.content
    else:
        number = len(dialogue.turns)
        out = talk.session.with_name(f"{talk.session.stem}-{number:03d}{SUFFIXES[talk.to]}")
        write_item(item, out)
        shown = str(out)
    turn = replace(turn, shown=shown)
    dialogue.turns[-1] = turn
    dialogue.save(talk.session)
    if turn.dropped:
        first = "turn was" if turn.dropped == 1 else f"{turn.dropped} turns were"
        render.note(f"The first {first} too far back to be seen.")
    if talk.as_json:
        render.write_json(_turn_json(turn, len(dialogue.turns), talk.session))
    else:
        render.write(f"{render.one_line(shown)}\n")


def _turn_json(turn: "Turn", number: int, session: Path) -> dict[str, object]:
    return {
        "schema": render.SCHEMA,
        "turn": number,
        "session": str(session),
        "modality": str(turn.answer.modality),
        "answer": turn.shown,
        "digest": turn.answer.digest(),
        "turns_forgotten": turn.dropped,
    }


def _replay(dialogue: "Dialogue", *, as_json: bool) -> None:
    checks = dialogue.replay()
    different = sum(not check.agrees for check in checks)
    if as_json:
        render.write_json(
            {
                "schema": render.SCHEMA,
                "agrees": not different,
                "turns": [
                    {"turn": c.number, "kept": c.kept, "drawn": c.drawn, "agrees": c.agrees}
                    for c in checks
                ],
            }
        )
    else:
        columns = (
            render.Column("turn", align="right"),
            render.Column("answer"),
            render.Column("drawn again"),
        )
        rows = [
            [str(c.number), c.kept[:12], "the same" if c.agrees else c.drawn[:12]] for c in checks
        ]
        render.table(columns, rows)
    if different:
        raise typer.Exit(NOTHING_FOUND)
