"""Sessions on the command line: where they are kept, and one turn of one by `omnidex search`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import opening, render
from .errors import UsageProblem

if TYPE_CHECKING:
    from retrieval import Hit, Query, Retriever
    from retrieval.feedback import State
    from retrieval.session import Answer, Session

SessionOption = Annotated[
    Path | None,
    typer.Option(
        "--session",
        metavar="FILE",
        help="Keep turns in this file, and go on with those in it.",
        show_default=False,
    ),
]


def load_session(file: Path | None, retriever: "Retriever") -> "Session":
    """The session in a file, or a new one.

    Raises:
        QueryError: The file is no session.
        EncoderMismatchError: It was held with another encoder's collection.
    """
    from retrieval.session import Session
    from retrieval.session_file import load

    if file is None or not file.exists():
        return Session()
    saved = load(file)
    saved.check(retriever.collection)
    return saved.session


def keep_session(session: "Session", file: Path | None, retriever: "Retriever") -> None:
    """Write a session into its file, if it has one."""
    from retrieval.session_file import save

    if file is not None:
        save(session, file, retriever.collection)


def open_turn(session: "Session", answer: "Answer", retriever: "Retriever") -> None:
    """Open the file that a turn asks for.

    Raises:
        UsageProblem: No file holds the hit any more, or nothing opens files here.
    """
    from retrieval.session import open_path

    rank = answer.turn.rank
    path = open_path(retriever, session.shown[rank])
    if path is None:
        raise UsageProblem(f"no file holds hit {rank} any more", hint="omnidex index finds moves")
    opening.open_file(path)
    render.note(f"Opened: {render.short_path(path)}")


def tell_state(state: "State", retriever: "Retriever") -> None:
    """Say what is searched for, for a turn may be understood in another way than it was meant."""

    def name(id: str) -> str:
        record = retriever.collection.get(id)
        return record.paths[0].name if record.paths else record.short_id

    render.note(f"Searching for: {render.one_line(state.words(name))}")


def session_hits(query: "Query", file: Path, retriever: "Retriever", *, words: str) -> "list[Hit]":
    """Take the words of a search as one more turn of a session; its files count in this turn too.

    Raises:
        QueryError: The turn means nothing there, or the file is no session.
        UsageProblem: A part is unwanted or weighted, which a session doesn't keep.
        Exit: The turn opened a file, so there are no hits to show.
    """
    from retrieval import Term
    from retrieval.session import Frame
    from retrieval.turns import Act

    if any(term.weight != 1 for term in query.terms):
        raise UsageProblem(
            "a session takes no --not and no --weight",
            hint='say it as a turn of its own: omnidex search "not people" --session FILE',
        )
    # A session is gone on with from any folder.
    folders = tuple(folder.absolute() for folder in query.files.folders)
    query = replace(query, files=replace(query.files, folders=folders))
    session = load_session(file, retriever)
    terms: list[Term] = []
    for term in query.terms:
        if isinstance(term.content, Path):
            terms.append(replace(term, content=term.content.absolute()))
        elif term.modality is None:
            terms.append(term)
    answer = session.say(words, retriever, Frame(query, tuple(terms)))
    keep_session(session, file, retriever)
    if answer.turn.act is Act.OPEN:
        open_turn(session, answer, retriever)
        raise typer.Exit
    tell_state(answer.state, retriever)
    return list(answer.hits)
