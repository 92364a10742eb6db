"""Sessions as files: one JSON object, written whole.

`schema` 1: the collection's directory, its encoder's name and fingerprint, the weights of feedback,
and the turns. A turn has what was said, how it was searched, the version of the table, and the ids
of the hits that were shown.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast
from uuid import uuid4

from indexer import Collection, FileFilter, Merge, SearchMode
from omni_encoder import EncoderMismatchError, Modality, QueryError

from .feedback import Feedback, Method
from .hybrid import Hybrid
from .query import Imagine, Query, Term
from .session import Frame, Session, Step

SCHEMA = 1

# `Frame.query` needs a term, but never searches by it: each turn brings its own.
_ANY = (Term.text("-"),)


@dataclass(frozen=True, slots=True)
class Saved:
    """A session file.

    Attributes:
        directory: The collection it was held with.
        encoder: The name of that collection's encoder.
        fingerprint: What tells it from any other.
        session: The turns.
    """

    directory: Path
    encoder: str
    fingerprint: str
    session: Session

    def check(self, collection: Collection) -> None:
        """Make sure that a collection can answer it.

        Raises:
            EncoderMismatchError: Another encoder made the collection.
        """
        if collection.spec.fingerprint != self.fingerprint:
            raise EncoderMismatchError(
                f"the session was held with the encoder {self.encoder}, "
                f"and {collection.directory} was made by another: {collection.spec.name}",
                hint=f"it was held with the collection {self.directory}",
            )


def bare_query(
    *,
    modalities: tuple[Modality, ...] | None = None,
    k: int = 10,
    where: str | None = None,
    all_parts: bool = False,
    files: FileFilter | None = None,
    mode: SearchMode | None = None,
    hybrid: Hybrid | None = None,
    imagine: Imagine | None = None,
) -> Query:
    """A query that only says how to search, for a `Frame`."""
    return Query(
        _ANY,
        modalities=modalities,
        k=k,
        where=where,
        all_parts=all_parts,
        files=files or FileFilter(),
        mode=mode or SearchMode(),
        hybrid=hybrid,
        imagine=imagine,
    )


def save(session: Session, path: Path, collection: Collection) -> None:
    """Write a session; a file that is there is replaced in one step."""
    document = {
        "schema": SCHEMA,
        "collection": str(collection.directory),
        "encoder": {"name": collection.spec.name, "fingerprint": collection.spec.fingerprint},
        "feedback": asdict(session.feedback),
        "turns": [_step_json(step) for step in session.steps],
    }
    partial = path.with_name(f".{path.name}-{uuid4().hex[:8]}")
    try:
        # Names that are not UTF-8 stay what they are as escapes.
        partial.write_text(json.dumps(document, indent=1) + "\n", encoding="ascii")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path) -> Saved:
    """Read a session.

    Raises:
        QueryError: It is no session, or of a later omnidex.
    """
    try:
        document = cast("dict[str, object]", json.loads(path.read_text(encoding="utf-8")))
        if document["schema"] != SCHEMA:
            raise QueryError(
                f"{path} is a session of another form: {document['schema']!r}",
                hint="a newer omnidex may read it",
            )
        encoder = cast("dict[str, str]", document["encoder"])
        weights = cast("dict[str, float]", document["feedback"])
        turns = cast("list[dict[str, object]]", document["turns"])
        feedback = Feedback(
            Method(str(weights["method"])),
            alpha=float(weights["alpha"]),
            beta=float(weights["beta"]),
            gamma=float(weights["gamma"]),
        )
        session = Session(feedback=feedback, steps=[_step(turn) for turn in turns])
        return Saved(
            Path(str(document["collection"])), encoder["name"], encoder["fingerprint"], session
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise QueryError(
            f"{path} is no session of `omnidex ask`", hint="name a file that --session has written"
        ) from error


def _step_json(step: Step) -> dict[str, object]:
    query = step.frame.query
    return {
        "words": step.words,
        "terms": [_term_json(term) for term in step.frame.terms],
        "to": None if query.modalities is None else [str(kind) for kind in query.modalities],
        "k": query.k,
        "where": query.where,
        "all_parts": query.all_parts,
        "files": asdict(query.files) | {"folders": [str(path) for path in query.files.folders]},
        "exact": query.mode.exact,
        "merge": str(query.mode.merge),
        "hybrid": None if query.hybrid is None else asdict(query.hybrid),
        "imagine": None if query.imagine is None else asdict(query.imagine),
        "version": step.version,
        "first": step.first,
        "hits": list(step.hits),
    }


def _step(turn: Mapping[str, object]) -> Step:
    files = cast("dict[str, object]", turn["files"])
    kinds = cast("list[str] | None", turn["to"])
    words = cast("dict[str, float] | None", turn.get("hybrid"))
    query = bare_query(
        modalities=None if kinds is None else tuple(map(Modality, kinds)),
        k=int(cast("int", turn["k"])),
        where=cast("str | None", turn["where"]),
        all_parts=bool(turn["all_parts"]),
        files=FileFilter(
            folders=tuple(map(Path, cast("list[str]", files["folders"]))),
            types=tuple(cast("list[str]", files["types"])),
            after=cast("float | None", files["after"]),
            before=cast("float | None", files["before"]),
        ),
        mode=SearchMode(exact=bool(turn["exact"]), merge=Merge(str(turn["merge"]))),
        hybrid=Hybrid(**words) if words else None,
        imagine=_imagine(cast("Mapping[str, object] | None", turn.get("imagine"))),
    )
    terms = cast("list[dict[str, object]]", turn["terms"])
    return Step(
        words=str(turn["words"]),
        frame=Frame(query, tuple(map(_term, terms))),
        version=cast("int | None", turn["version"]),
        hits=tuple(map(str, cast("list[str]", turn["hits"]))),
        first=int(cast("int", turn["first"])),
    )


def _imagine(stored: Mapping[str, object] | None) -> Imagine | None:
    if stored is None:
        return None
    return Imagine(
        Modality(str(stored["modality"])),
        weight=float(cast("float", stored["weight"])),
        seed=int(cast("int", stored["seed"])),
    )


def _term_json(term: Term) -> dict[str, object]:
    kind = "like" if term.modality is None else "file" if isinstance(term.content, Path) else "text"
    return {
        "modality": None if term.modality is None else str(term.modality),
        kind: str(term.content),
        "weight": term.weight,
    }


def _term(stored: Mapping[str, object]) -> Term:
    weight = float(cast("float", stored["weight"]))
    if "like" in stored:
        return Term.like(str(stored["like"]), weight=weight)
    if "file" in stored:
        return Term.file(
            Modality(str(stored["modality"])), Path(str(stored["file"])), weight=weight
        )
    return Term.text(str(stored["text"]), weight=weight)
