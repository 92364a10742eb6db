"""`omnidex search`: ask with words, files or known items, get what is nearest."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import render, showing, turning
from .errors import NOTHING_FOUND, UsageProblem
from .narrowing import file_filter, search_mode
from .options import CollectionOption, JsonOption, collection_directory, item_id

if TYPE_CHECKING:
    from indexer import Collection, Record
    from omni_encoder import Modality
    from retrieval import Hit, Query, Term

_COLUMNS = (
    render.Column("#", align="right"),
    render.Column("score", align="right"),
    render.Column("kind"),
    render.Column("path", overflow="fold"),
    render.Column("at"),
    render.Column("what", overflow="ellipsis", movable=True),
    render.Column("id"),
)
_SNIPPET_CHARACTERS = 120
_KINDS = ("text", "image", "audio", "video")


def search(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY",
            help="Words to search for, joined to one text; - reads them from stdin.",
            show_default=False,
        ),
    ] = None,
    *,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", metavar="TEXT", help="A text to search for.", show_default=False),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option("--image", metavar="FILE", help="An image file.", show_default=False),
    ] = None,
    audio: Annotated[
        list[Path] | None,
        typer.Option("--audio", metavar="FILE", help="An audio file.", show_default=False),
    ] = None,
    video: Annotated[
        list[Path] | None,
        typer.Option("--video", metavar="FILE", help="A video file.", show_default=False),
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(
            "--like",
            metavar="ID-or-FILE",
            help="An item of the collection, by its id or an indexed file.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="KINDS",
            help="What to find: any of text, image, audio, video, with commas between.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, metavar="N", help="How many hits.")] = 10,
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="SQL",
            help="Only items that fulfil this, such as width > 1000.",
            show_default=False,
        ),
    ] = None,
    within: Annotated[
        list[Path] | None,
        typer.Option(
            "--in", metavar="DIR", help="Only what lies in this folder.", show_default=False
        ),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(
            "--after",
            metavar="DATE",
            help="Only files changed then or later, such as 2024-06 or 2024-06-30T18:00.",
            show_default=False,
        ),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(
            "--before", metavar="DATE", help="Only files changed earlier.", show_default=False
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="TYPES",
            help="Only such files: suffixes or media types, such as jpg,image/png.",
            show_default=False,
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Compare every item; large collections take longer."),
    ] = False,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="DEVICE",
            help="auto, cpu or cuda: where every item is compared. cuda implies --exact.",
        ),
    ] = "cpu",
    merge: Annotated[
        str,
        typer.Option(
            "--merge",
            metavar="HOW",
            help="How kinds of media are ordered: cosine, standard (by how far a score stands out "
            "among its kind) or rank.",
        ),
    ] = "cosine",
    paths_only: Annotated[
        bool, typer.Option("--paths", "-l", help="Print only the paths, one a line.")
    ] = False,
    null: Annotated[
        bool, typer.Option("-0", help="Print only the paths, each ended by a NUL byte.")
    ] = False,
    all_parts: Annotated[
        bool,
        typer.Option("--all-parts", help="Give every part of a file, not only its best."),
    ] = False,
    html_file: showing.HtmlOption = None,
    open_rank: showing.OpenOption = None,
    thumbs: showing.ThumbsOption = "auto",
    session: turning.SessionOption = None,
    as_json: JsonOption = False,
    collection: CollectionOption = None,
) -> None:
    """Print what is nearest to a query of words, files or items, best first.

    Parts may be repeated and combined; they are searched for together.
    Scores compare the hits of one query; they are no percentages.
    Exits with 1 when nothing is found.

    Example:
    omnidex search a dog on a beach --to image,video -k 20
    omnidex search --image cat.jpg --text "at night" --where "width >= 1024"
    omnidex search sunset --in ~/Pictures/2024 --after 2024-06 --type jpg
    omnidex search thunder --html found.html --open 1
    """
    if as_json and (paths_only or null):
        raise UsageProblem("--json and --paths can't be combined", hint="--json holds the paths")
    showing.check_thumbs(thumbs)
    texts = _texts(words or [], text or [])
    files = {"image": image or [], "audio": audio or [], "video": video or []}
    if not texts and not any(files.values()) and not like:
        raise UsageProblem(
            "there is nothing to search for",
            hint='give words or a file: omnidex search "a dog", omnidex search --image dog.jpg',
        )
    kinds = kinds_of(to or [])
    if where is not None and not _utf8(where, what="--where").strip():
        raise UsageProblem("--where is empty", hint='leave it out, or say: --where "width > 1000"')
    directory = collection_directory(collection)
    files_filter = file_filter(within or [], kind or [], after=after, before=before)
    mode = search_mode(merge, device, exact=exact)

    from omni_encoder import Modality
    from retrieval import Query, Retriever, Term

    query = Query(
        terms=(
            *map(Term.text, texts),
            *(_file_term(Modality(kind), file) for kind in files for file in files[kind]),
            *map(Term.like, like or []),
        ),
        modalities=tuple(map(Modality, kinds)) or None,
        k=k,
        where=where,
        all_parts=all_parts,
        files=files_filter,
        mode=mode,
    )
    with Retriever.open(directory) as retriever:
        query = _with_ids(query, retriever.collection)
        if session is None:
            hits: Sequence[Hit] = retriever.search(query)
        else:
            hits = turning.session_hits(query, session, retriever, words=" ".join(texts))
    if as_json:
        render.write_json(
            {
                "schema": render.SCHEMA,
                "query": _query_json(query),
                "hits": list(map(hit_json, hits)),
            }
        )
    elif paths_only or null:
        showing.write_paths(hits, end="\0" if null else "\n")
    else:
        print_hits(hits, thumbs=thumbs, collection=directory)
    if html_file is not None:
        showing.write_sheet(hits, html_file, title=showing.asked(query), collection=directory)
    if open_rank is not None:
        showing.open_hit(hits, open_rank)
    if not hits:
        if not as_json:
            render.note("Nothing found.")
        raise typer.Exit(NOTHING_FOUND)


def print_hits(hits: Sequence["Hit"], *, thumbs: str, collection: Path) -> None:
    """Write hits for people: a table, with pictures on a terminal that can show them."""
    rows = [_row(hit) for hit in hits]
    showing.print_hits(hits, _COLUMNS, rows, thumbs=thumbs, collection=collection)


def hit_json(hit: "Hit") -> dict[str, object]:
    """One hit as it stands in JSON."""
    return {"rank": hit.rank, "score": hit.score} | record_json(hit.record)


def record_json(record: "Record") -> dict[str, object]:
    """What is known of an item, as it stands in JSON."""
    span = record.span
    return {
        "id": record.id,
        "path": str(record.paths[0]) if record.paths else None,
        "paths": [str(path) for path in record.paths],
        "modality": str(record.modality),
        "span": None if span is None else {"start_s": span.start, "end_s": span.end},
        "mime": record.mime,
        "title": record.title,
        "caption": record.caption,
        "text": record.text,
        "width": record.width,
        "height": record.height,
        "duration_s": record.duration,
    }


def kinds_of(given: Sequence[str]) -> list[str]:
    """The kinds of media in `--to`, which takes commas and may be repeated."""
    kinds = [kind.strip().lower() for value in given for kind in value.split(",")]
    kinds = list(dict.fromkeys(kind for kind in kinds if kind))
    for kind in kinds:
        if kind not in _KINDS:
            close = get_close_matches(kind, _KINDS, n=1)
            raise UsageProblem(
                f"--to doesn't know {kind!r}",
                hint=f"did you mean {close[0]}?" if close else f"use any of {', '.join(_KINDS)}",
            )
    if given and not kinds:
        raise UsageProblem("--to is empty", hint=f"use any of {', '.join(_KINDS)}")
    return kinds


def _texts(words: Sequence[str], texts: Sequence[str]) -> list[str]:
    """The texts of a query; `-` stands for what stdin holds."""
    found = [*([" ".join(words)] if words else []), *texts]
    if len(words) == 1 and words[0] != "-" and _is_file(words[0]):
        render.note(f"Searching for these words; to search by the file: --image {words[0]}")
    if found.count("-") > 1:
        raise UsageProblem("stdin can be read only once", hint="use - for one part of the query")
    read = [_utf8(_stdin() if text == "-" else text, what="the query").strip() for text in found]
    if not all(read):
        raise UsageProblem("a part of the query is an empty text", hint="leave it out")
    return read


def _stdin() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise _not_utf8("stdin") from error


def _utf8(text: str, *, what: str) -> str:
    """The text, unless it holds bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _not_utf8(what) from error
    return text


def _not_utf8(what: str) -> UsageProblem:
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


def _file_term(modality: "Modality", path: Path) -> "Term":
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
    return Term.file(modality, path)


def _with_ids(query: "Query", collection: "Collection") -> "Query":
    """The query with the ids of indexed files that `--like` names by their paths."""
    terms = (
        replace(term, content=item_id(str(term.content), collection))
        if term.modality is None
        else term
        for term in query.terms
    )
    return replace(query, terms=tuple(terms))


def _query_json(query: "Query") -> dict[str, object]:
    return {
        "terms": [_term_json(term) for term in query.terms],
        "to": None if query.modalities is None else [str(kind) for kind in query.modalities],
        "k": query.k,
        "where": query.where,
        "all_parts": query.all_parts,
        "in": [str(folder) for folder in query.files.folders],
        "types": list(query.files.types),
        "after": query.files.after,
        "before": query.files.before,
        "exact": query.mode.exact,
        "merge": str(query.mode.merge),
    }


def _term_json(term: "Term") -> dict[str, object]:
    if term.modality is None:
        return {"like": term.content}
    kind = str(term.modality)
    if isinstance(term.content, str):
        return {"modality": kind, "text": term.content}
    return {"modality": kind, "file": str(term.content)}


def _row(hit: "Hit") -> list[str]:
    record = hit.record
    what = record.text or record.caption or ""
    if record.title and record.title not in what:
        what = f"{record.title} - {what}" if what else record.title
    return [
        str(hit.rank),
        f"{hit.score:.3f}",
        str(record.modality),
        render.short_path(record.paths[0]) if record.paths else "",
        render.span_text(record.span),
        render.one_line(what)[:_SNIPPET_CHARACTERS],
        record.short_id,
    ]
