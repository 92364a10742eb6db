"""What `--imagine` and `--fill` say: answers that the model draws, to search by or to look at."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import render, showing
from .errors import UsageProblem
from .plain import counted
from .synthetic import SUFFIXES, Drawn

if TYPE_CHECKING:
    from omni_encoder import MediaItem, Modality
    from retrieval import Hit, Query, Retriever

ImagineOption = Annotated[
    str | None,
    typer.Option(
        "--imagine",
        metavar="KIND[:W]",
        help="Draw an answer (text, image, audio, video; auto picks one) and search by it too, "
        "with weight W beside the query.",
        show_default=False,
    ),
]
FillOption = Annotated[
    str | None,
    typer.Option(
        "--fill",
        metavar="[KIND:]N",
        help="Where all hits are weak, draw N answers; they are in no collection.",
        show_default=False,
    ),
]
KeepOption = Annotated[
    Path | None,
    typer.Option(
        "--keep",
        metavar="DIR",
        help="Write what is drawn into this folder, not a temporary one.",
        show_default=False,
    ),
]

_AUTO = "auto"
_KINDS = (_AUTO, *SUFFIXES)
_HINT = f"say a kind and how much it counts: --imagine image:0.2; kinds are {', '.join(_KINDS)}"
_MOST = 16  # a wait of a minute
_LONGEST_NAME = 40
_LONGEST_NOTE = 80


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `--imagine` says.

    Attributes:
        kind: A kind of media, or `auto`.
        weight: How much what it finds counts; None if that isn't said.
    """

    kind: str
    weight: float | None = None


def wanted(given: str | None) -> Wanted | None:
    """What `KIND` or `KIND:W` stands for.

    Raises:
        UsageProblem: It is neither.
    """
    if given is None:
        return None
    kind, colon, number = given.partition(":")
    kind = _known(kind, given, option="--imagine", hint=_HINT)
    if not colon:
        return Wanted(kind)
    try:
        weight = float(number)
    except ValueError:
        weight = -1.0
    if not 0 <= weight <= 1000:
        raise UsageProblem(f"--imagine takes a weight from 0 to 1000, not {number!r}", hint=_HINT)
    return Wanted(kind, weight)


def filling(given: str | None, *, seed: int, keep: Path | None) -> "Fill | None":
    """What `N` or `KIND:N` stands for.

    Raises:
        UsageProblem: It is neither.
    """
    if given is None:
        return None
    before, _, number = given.rpartition(":")
    hint = f"say how many, and of which kind if you like: --fill 2, --fill image:2; at most {_MOST}"
    kind = _known(before or _AUTO, given, option="--fill", hint=hint)
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= _MOST):
        raise UsageProblem(f"--fill doesn't know {given!r}", hint=hint)
    return Fill(kind, int(number), seed, keep)


def _known(kind: str, given: str, *, option: str, hint: str) -> str:
    kind = kind.strip().lower()
    if kind not in _KINDS:
        close = get_close_matches(kind, _KINDS, n=1)
        raise UsageProblem(
            f"{option} doesn't know {given!r}",
            hint=f"did you mean {close[0]}?" if close else hint,
        )
    return kind


def check(fill: "Fill | None", keep: Path | None, wished: Wanted | None, *, session: bool) -> None:
    """Look at what can be seen before anything is opened.

    Raises:
        UsageProblem: The options contradict each other.
    """
    if keep is not None and fill is None and wished is None:
        raise UsageProblem("--keep has nothing to keep", hint="say --fill N or --imagine KIND too")
    if fill is not None and session:
        raise UsageProblem("a session can't be filled", hint="leave --fill or --session out")
    if keep is not None:
        _check_folder(keep)


def _check_folder(keep: Path) -> None:
    """Make the folder if it isn't there.

    Raises:
        UsageProblem: Nothing can be written there.
    """
    if os.path.lexists(keep) and not keep.is_dir():
        raise UsageProblem(f"{keep} is no folder", hint="--keep takes a folder")
    try:
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageProblem(
            f"{keep} can't be made: {error.strerror}", hint="--keep takes a folder"
        ) from error
    if not os.access(keep, os.W_OK | os.X_OK):
        raise UsageProblem(f"nothing can be written into {keep}", hint="name another folder")


def imagining(query: "Query", wished: Wanted | None, retriever: "Retriever", seed: int) -> "Query":
    """The query with what is to be imagined for it; says so if that changes nothing."""
    if wished is None:
        return query
    from retrieval import Imagine

    kind = _kind(query, wished.kind, retriever)
    imagine = Imagine(kind, seed=seed)
    if wished.weight is not None:
        imagine = replace(imagine, weight=wished.weight)
    elif not imagine.weight:
        render.note(
            "Searching by what the shipped model imagines doesn't pay, so nothing is drawn "
            f"(docs/results.md); --imagine {kind}:0.2 gives it a fifth of the query's say."
        )
    return replace(query, imagine=imagine)


def _kind(query: "Query", named: str, retriever: "Retriever") -> "Modality":
    """The kind to draw: that which is named, or the most useful one."""
    from omni_encoder import Modality
    from retrieval.imagine import useful_modality

    if named != _AUTO:
        return Modality(named)
    collection = retriever.collection
    own = [
        collection.get(str(term.content)).modality if term.modality is None else term.modality
        for term in query.terms
        if term.weight > 0
    ]
    return useful_modality(query, collection.counts(), own=own)


def report(
    retriever: "Retriever", query: "Query", keep: Path | None = None
) -> dict[str, object] | None:
    """Say what was imagined since the last time, if anything was; as it stands in JSON, or None."""
    done = retriever.imagination.last
    if done is None:
        return None
    retriever.imagination.last = None
    path = None
    if keep is not None:
        name = f"imagined-{_slug(query, done.item.modality)}-seed{done.seed}"
        path = _write([done.item], keep, name)[0]
    text = done.item.content if isinstance(done.item.content, str) else None
    what = str(done.item.modality)
    if text is not None:
        said = render.one_line(text)
        what = f"text {said[:_LONGEST_NOTE] + ('...' if len(said) > _LONGEST_NOTE else '')!r}"
    where = "" if path is None else f": {render.short_path(path)}"
    loading = f", after {done.loading:.1f} s of loading" if done.loading else ""
    render.note(f"Imagined: {what}, in {done.seconds:.1f} s{loading}{where}")
    return {
        "modality": str(done.item.modality),
        "weight": done.weight,
        "seed": done.seed,
        "seconds": round(done.seconds, 3),
        "text": text,
        "file": None if path is None else str(path),
    }


@dataclass(frozen=True, slots=True)
class Fill:
    """What `--fill` says.

    Attributes:
        kind: A kind of media, or `auto`.
        count: How many.
        seed: Of what is drawn.
        keep: Where to; None for a temporary folder.
    """

    kind: str
    count: int
    seed: int
    keep: Path | None


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a search drew.

    Attributes:
        imagined: What was searched by, as it stands in JSON; None without.
        drawn: What `--fill` drew.
        problem: Why the rest couldn't be drawn or written.
    """

    imagined: dict[str, object] | None = None
    drawn: Sequence[Drawn] = ()
    problem: Exception | None = None


def after_search(
    hits: Sequence["Hit"],
    query: "Query",
    fill: Fill | None,
    retriever: "Retriever",
    keep: Path | None,
) -> Drawing:
    """`report` and `filled`; a problem with either is no reason to lose the hits."""
    from omni_encoder import OmniError

    imagined: dict[str, object] | None = None
    try:
        imagined = report(retriever, query, keep)
        return Drawing(imagined, filled(hits, query, fill, retriever))
    except (OmniError, OSError, UsageProblem) as problem:
        return Drawing(imagined, problem=problem)


def filled(
    hits: Sequence["Hit"], query: "Query", fill: Fill | None, retriever: "Retriever"
) -> list[Drawn]:
    """Draw answers where all hits are weak, and write them; else say why not."""
    if fill is None or not _all_weak(hits):
        return []
    import tempfile  # late, as `omnidex --help` doesn't need it

    kind = _kind(query, fill.kind, retriever)
    items = retriever.imagination.draw(query, kind, count=fill.count, seed=fill.seed)
    folder = fill.keep or Path(tempfile.mkdtemp(prefix="omnidex-"))
    paths = _write(items, folder, f"synthetic-{_slug(query, kind)}-seed{fill.seed}")
    seconds = retriever.imagination.drawing_seconds
    render.note(f"Drawn: {len(items)} of {kind}, in {seconds:.1f} s, in {folder}")
    return [
        Drawn(
            str(item.modality),
            path,
            item.content if isinstance(item.content, str) else None,
            fill.seed,
            number,
        )
        for number, (item, path) in enumerate(zip(items, paths, strict=True), start=1)
    ]


def _all_weak(hits: Sequence["Hit"]) -> bool:
    """Whether nothing good was found; says so if something was, or nobody can tell."""
    judged = [hit.judgement for hit in hits]
    strong = sum(one is not None and not one.weak for one in judged)
    if strong:
        found = f"{strong} of {counted(len(hits), 'hit')} {'is' if strong == 1 else 'are'}"
        render.note(f"Nothing is drawn: {found} not weak.")
        return False
    if None in judged:
        render.note("Nothing is drawn: this encoder has no reference that tells weak hits.")
        return False
    return True


def _write(items: "Sequence[MediaItem]", folder: Path, name: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _write_apart(item, folder.absolute(), f"{name}-{number}", SUFFIXES[item.modality])
        for number, item in enumerate(items, start=1)
    ]


def _write_apart(item: "MediaItem", folder: Path, stem: str, suffix: str) -> Path:
    """Write an item under that name, or under another where a file holds something else."""
    from omni_encoder.media_writing import write_item

    fresh = folder / f".{stem}.{os.getpid()}{suffix}"
    write_item(item, fresh)
    try:
        again = 1
        path = folder / f"{stem}{suffix}"
        while os.path.lexists(path):
            if path.is_file() and path.read_bytes() == fresh.read_bytes():
                return path
            again += 1
            path = folder / f"{stem}.{again}{suffix}"
        return fresh.rename(path)
    finally:
        fresh.unlink(missing_ok=True)


def _slug(query: "Query", kind: "Modality") -> str:
    """A part of a file name that says what was asked; other queries and kinds have another."""
    from blake3 import blake3

    words = "-".join(re.findall(r"\w+", showing.asked(query).lower()))
    asked = [(term.modality, str(term.content), term.weight) for term in query.terms]
    digest = blake3(repr((str(kind), asked)).encode(errors="surrogateescape")).hexdigest(3)
    return f"{words[:_LONGEST_NAME].strip('-') or 'query'}-{digest}"
