"""`omnidex ask`: search in several turns, each of which builds on the hits before it."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import answers, errors, imagining, parts, query_options, render, search, showing, turning
from .errors import FAILED, NOTHING_FOUND, UsageProblem
from .hybrid import HybridOption, TextWeightOption, hybrid_mode
from .options import CollectionOption, SeedOption, collection_directory
from .plain import counted

if TYPE_CHECKING:
    from retrieval import Retriever
    from retrieval.session import Answer, Frame, Replay

_LEAVE = ("quit", "exit", "q", ":q")
_HELP = """Say what to find, and then what should be different:
  at night / same but outdoors     more words: they add to what was said
  more like 2 / less like 1 and 3  by the numbers of hits
  only sounds / no videos          which kinds are found; `everything` lifts it
  not people                       what hits should not be like
  next / back                      more hits / as before the last turn
  new: a red car                   forget what was said
  open 2                           open that hit's file
  quit                             or Ctrl-D"""


_OF_TURNS = {
    "words": "a question",
    "to": "--to",
    "k": "-k",
    "where": "--where",
    "exact": "--exact",
    "hybrid": "--no-hybrid",
    "text_weight": "--text-weight",
    "imagine": "--imagine",
    "seed": "--seed",
    "session": "--session",
}


def ask(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="QUESTION", help="The first turn.", show_default=False),
    ] = None,
    *,
    to: query_options.ToOption = None,
    k: Annotated[int, typer.Option("-k", min=1, metavar="N", help="Hits for each turn.")] = 10,
    where: query_options.WhereOption = None,
    exact: query_options.ExactOption = False,
    hybrid: HybridOption = True,
    text_weight: TextWeightOption = None,
    imagine: imagining.ImagineOption = None,
    seed: SeedOption = 0,
    session: turning.SessionOption = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            "--replay",
            metavar="FILE",
            help="Ask the turns of a session again, and say where other hits come.",
            show_default=False,
        ),
    ] = None,
    thumbs: showing.ThumbsOption = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document for each turn.")
    ] = False,
    collection: CollectionOption = None,
) -> None:
    """Search in several turns: say what to find, then what should be different.

    Each line is a turn, from the keyboard or from stdin. A plain sentence adds
    to what was said ("a dog", then "at night"); `new: ...` starts over. Besides:
    more like 2, less like 1, only sounds, no videos, not people, next, back,
    open 2, help, quit. A line that can't be answered is told, and the next one is
    taken; where lines don't come from a keyboard, the exit code is 2 then.

    A session file holds every turn and what it found. With --replay the exit
    code is 1 if anything is found differently now.

    Example:
    omnidex ask a dog on a beach --session dogs.json
    omnidex ask -k 5 < turns.txt
    omnidex ask --replay dogs.json
    """
    showing.check_thumbs(thumbs)
    if replay is not None:
        _check_replay(context)
        _replay(replay, collection, as_json=as_json)
        return
    kinds = search.kinds_of(to or [])
    wished = imagining.wanted(imagine)
    from indexer import SearchMode
    from omni_encoder import Modality
    from retrieval import Retriever
    from retrieval.session import Frame
    from retrieval.session_file import bare_query

    query = bare_query(
        modalities=tuple(map(Modality, kinds)) or None,
        k=k,
        where=where,
        mode=SearchMode(exact=exact),
        hybrid=hybrid_mode(hybrid, text_weight),
    )
    with Retriever.open(collection_directory(collection)) as retriever:
        query = imagining.imagining(query, wished, retriever, seed)
        talk = Talk(retriever, Frame(query), session, thumbs=thumbs, as_json=as_json)
        if words:
            talk.take(" ".join(words))
        for line in _lines():
            talk.take(line)
    if talk.failures:
        raise typer.Exit(FAILED)
    if not talk.found_any:
        raise typer.Exit(NOTHING_FOUND)


class Talk:
    """Takes turns, prints what they find, and keeps them."""

    def __init__(
        self,
        retriever: "Retriever",
        frame: "Frame",
        file: Path | None,
        *,
        thumbs: str = "never",
        as_json: bool = False,
    ) -> None:
        """Begin, or go on with the session in `file` if there is one."""
        self.session = turning.load_session(file, retriever)
        self.found_any = False
        self.failures = 0
        self._retriever, self._frame, self._file = retriever, frame, file
        self._thumbs, self._as_json = thumbs, as_json

    def take(self, line: str) -> None:
        """Take one line. One that can't be answered is told, and costs only itself."""
        from omni_encoder import OmniError

        if line.strip().lower() in ("help", "?"):
            render.note(_HELP)
            return
        try:
            self._take(parts.utf8(line, what="the line"))
        except (OmniError, UsageProblem) as error:
            self.failures += errors.tell_line(error, line, as_json=self._as_json)

    def _take(self, line: str) -> None:
        from retrieval.turns import Act

        answer = self.session.say(line, self._retriever, self._frame)
        turning.keep_session(self.session, self._file, self._retriever)
        if answer.turn.act is Act.OPEN:
            turning.open_turn(self.session, answer, self._retriever)
            return
        self.found_any = self.found_any or bool(answer.hits)
        imagined = imagining.report(self._retriever, self._frame.query)
        if self._as_json:
            number = len(self.session.steps)
            render.write_json(answer_json(number, line, answer) | {"imagined": imagined})
            render.flush()
            return
        if not answer.state.says_what:
            render.note("Forgotten. What now?")
            return
        turning.tell_state(answer.state, self._retriever)
        search.print_hits(
            answer.hits, thumbs=self._thumbs, collection=self._retriever.collection.directory
        )
        render.flush()
        if not answer.hits:
            render.note("No more." if answer.turn.act is Act.NEXT else "Nothing found.")


def answer_json(number: int, words: str, answer: "Answer") -> dict[str, object]:
    """One turn as it stands in JSON."""
    state = answer.state
    return {
        "schema": render.SCHEMA,
        "turn": number,
        "words": words,
        "act": str(answer.turn.act),
        "searched": {
            "terms": [str(term.content) for term in state.terms],
            "texts": list(state.texts),
            "more_like": list(state.more),
            "less_like": list(state.less),
            "not": list(state.nots),
            "only": None if state.kinds is None else [str(kind) for kind in state.kinds],
        },
        "hits": [answers.hit_json(hit) for hit in answer.hits],
    }


def _lines() -> Iterator[str]:
    """What is said, line by line; with a prompt and a history at a keyboard."""
    parts.read_stdin_by_lines()
    at_keyboard = sys.stdin.isatty()
    if at_keyboard:
        with suppress(ImportError):
            import_module("readline")  # input() uses it once it is there
        render.note("Say what to find; help tells what can be said, Ctrl-D ends.")
    while True:
        try:
            line = input("> ") if at_keyboard else sys.stdin.readline()
        except EOFError:
            render.note("")
            return
        if not at_keyboard and not line:
            return
        if line.strip().lower() in _LEAVE:
            return
        if line.strip():
            yield line.strip()


def _check_replay(context: typer.Context) -> None:
    """Refuse what says how to ask: a session holds it.

    Raises:
        UsageProblem: Some of it was given.
    """
    sources = {name: context.get_parameter_source(name) for name in _OF_TURNS}
    given = [
        _OF_TURNS[name]
        for name, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    ]
    if given:
        raise UsageProblem(
            f"--replay can't be combined with {', '.join(given)}",
            hint="a session is asked again as it was asked; leave the rest out",
        )


def _replay(file: Path, collection: Path | None, *, as_json: bool) -> None:
    from retrieval import Retriever
    from retrieval.session_file import load

    saved = load(file)
    directory = saved.directory if collection is None else collection_directory(collection)
    with Retriever.open(directory) as retriever:
        saved.check(retriever.collection)
        result = saved.session.replay(retriever)
    if as_json:
        render.write_json(_replay_json(result))
    else:
        _print_replay(result)
    if result.differences:
        raise typer.Exit(NOTHING_FOUND)


def _print_replay(result: "Replay") -> None:
    columns = [
        render.Column("turn", align="right"),
        render.Column("said", overflow="fold"),
        render.Column("rank", align="right"),
        render.Column("before", overflow="fold"),
        render.Column("now", overflow="fold"),
    ]
    rows = [
        [str(one.turn), one.words, str(one.rank or ""), one.expected, one.found or one.message]
        for one in result.differences
    ]
    if rows:
        render.table(columns, rows)
    same = result.turns - len(result.differences)
    finds = "finds" if same == 1 else "find"
    render.note(f"{same} of {counted(result.turns, 'turn')} {finds} the same.")
    if result.changed:
        render.note(f"The collection has changed since {result.changed} of them were answered.")


def _replay_json(result: "Replay") -> dict[str, object]:
    from dataclasses import asdict

    return {
        "schema": render.SCHEMA,
        "turns": result.turns,
        "answered_from_another_version": result.changed,
        "differences": [asdict(one) for one in result.differences],
    }
