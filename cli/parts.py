"""The parts of a query on the command line: what is wanted, what is not, and their weights."""

import io
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from . import render
from .errors import UsageProblem

if TYPE_CHECKING:
    from omni_encoder import Modality
    from retrieval import Term
    from retrieval.query import Compose

_FILES = ("image", "audio", "video")
WEIGHTED = ("text", *_FILES, "like", "not")
"""What `--weight` can name."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a command line says of a query's parts.

    Attributes:
        words: The free words, which make one text.
        texts: Further texts; `-` stands for stdin.
        files: Files by kind: image, audio, video.
        like: Ids or paths of items of the collection.
        unwanted: What `--not` says: texts, or `KIND:FILE` and `like:ID`.
        weights: What `--weight` says, such as `image=2`.
    """

    words: Sequence[str] = ()
    texts: Sequence[str] = ()
    files: Mapping[str, Sequence[Path]] = field(default_factory=dict[str, Sequence[Path]])
    like: Sequence[str] = ()
    unwanted: Sequence[str] = ()
    weights: Sequence[str] = ()


def check(given: Given, compose: str) -> None:
    """Look at all that can be seen without opening anything.

    Raises:
        UsageProblem: There is nothing to search for, a weight can't be understood, or there is no
            such composer.
    """
    composer(compose)
    there = {
        "text": any((given.words, given.texts)),
        "like": any(given.like),
        "not": any(given.unwanted),
    } | {kind: any(files) for kind, files in given.files.items()}
    for kind in _weights(given.weights):
        if not there.get(kind):
            raise UsageProblem(
                f"--weight {kind}=... has nothing to weigh",
                hint=f"the query has no part of that kind: add one, or leave {kind} out",
            )
    wanted = any((given.words, given.texts, *given.files.values(), given.like))
    if not wanted:
        if given.unwanted:
            raise UsageProblem(
                "--not alone says nothing of what to search for",
                hint='say what is wanted too: omnidex search beach --not "people"',
            )
        raise UsageProblem(
            "there is nothing to search for",
            hint='give words or a file: omnidex search "a dog", omnidex search --image dog.jpg',
        )


def composer(name: str) -> "Compose":
    """The composer of a name.

    Raises:
        UsageProblem: There is none.
    """
    if name == "joint":
        return "joint"
    if name == "arithmetic":
        return "arithmetic"
    raise UsageProblem(f"--compose doesn't know {name!r}", hint="use arithmetic or joint")


def terms(given: Given) -> "tuple[Term, ...]":
    """The terms of a query, in the order texts, images, sounds, videos, items, unwanted ones.

    Raises:
        UsageProblem: A weight can't be understood, or a text is empty or isn't UTF-8.
        QueryError: A file isn't there, or is of another kind.
    """
    from omni_encoder import Modality
    from retrieval import Term
    from retrieval.compose import UNWANTED

    of = dict.fromkeys(WEIGHTED, 1.0) | {"not": UNWANTED} | _weights(given.weights)
    texts = query_texts(given.words, given.texts)
    return (
        *(Term.text(text, weight=of["text"]) for text in texts),
        *(
            file_term(Modality(kind), path, weight=of[kind])
            for kind in _FILES
            for path in given.files.get(kind, ())
        ),
        *(Term.like(id, weight=of["like"]) for id in given.like),
        *(_unwanted(what, weight=-of["not"]) for what in given.unwanted),
    )


def _weights(given: Sequence[str]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for pair in (pair for value in given for pair in value.split(",")):
        kind, equals, number = (part.strip() for part in pair.partition("="))
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if kind not in WEIGHTED or not equals or not 0 < weight < math.inf:
            raise UsageProblem(
                f"--weight doesn't understand {pair!r}",
                hint=f"say how much a kind of part counts, above 0: --weight image=2;"
                f" kinds are {', '.join(WEIGHTED)}",
            )
        weights[kind] = weight
    return weights


def _unwanted(what: str, *, weight: float) -> "Term":
    """A term that pushes hits away: a text, `image:FILE`, `audio:FILE`, `video:FILE`, `like:ID`."""
    from omni_encoder import Modality
    from retrieval import Term

    kind, colon, rest = what.partition(":")
    if colon and rest and kind in _FILES:
        return file_term(Modality(kind), Path(rest).expanduser(), weight=weight)
    if colon and rest and kind == "like":
        return Term.like(rest, weight=weight)
    return Term.text(query_texts((), (what,))[0], weight=weight)


def query_texts(words: Sequence[str], texts: Sequence[str]) -> list[str]:
    """The texts of a query; `-` stands for what stdin holds."""
    found = [*([" ".join(words)] if words else []), *texts]
    if len(words) == 1 and words[0] != "-" and _is_file(words[0]):
        render.note(f"Searching for these words; to search by the file: --image {words[0]}")
    if found.count("-") > 1:
        raise UsageProblem("stdin can be read only once", hint="use - for one part of the query")
    read = [utf8(_stdin() if text == "-" else text, what="the query").strip() for text in found]
    if not all(read):
        raise UsageProblem("a part of the query is an empty text", hint="leave it out")
    return read


def _stdin() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise _notutf8("stdin") from error


def read_stdin_by_lines() -> None:
    """Let `readline` give lines that hold other bytes than UTF-8 too: `utf8` tells each of them."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")


def utf8(text: str, *, what: str) -> str:
    """The text, unless it holds bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _notutf8(what) from error
    return text


def _notutf8(what: str) -> UsageProblem:
    return UsageProblem(
        f"{what} is not valid UTF-8", hint="convert it first: iconv -f latin1 -t utf-8"
    )


def _is_file(path: Path | str) -> bool:
    """Whether there is such a file; a text too long for a name is none."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def file_term(modality: "Modality", path: Path, *, weight: float = 1.0) -> "Term":
    """A term for a file, checked as far as that goes without opening it."""
    from omni_encoder import Modality, QueryError
    from omni_encoder.media import guess_modality
    from retrieval import Term

    if not _is_file(path):
        raise QueryError(
            f"there is no file {path}"
            if not _is_folder(path)
            else f"{path} is a folder, not a file",
            hint=f"--{modality} takes one {modality} file",
        )
    kind = guess_modality(path)
    animation = path.suffix.lower() == ".gif" and modality in (Modality.IMAGE, Modality.VIDEO)
    if kind is not None and kind is not modality and not animation:
        raise QueryError(
            f"{path} holds {kind}, and --{modality} takes {modality} files",
            hint=f"omnidex search --{kind} {path}"
            if kind is not Modality.TEXT
            else f"omnidex search - < {path}",
        )
    return Term.file(modality, path, weight=weight)
