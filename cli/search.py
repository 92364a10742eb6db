"""`omnidex search`: ask with words, files or known items, get what is nearest."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import parts, render
from .errors import NOTHING_FOUND, UsageProblem
from .hybrid import HybridOption, TextWeightOption, hybrid_json, hybrid_mode, ranks_json
from .narrowing import file_filter, search_mode
from .options import CollectionOption, JsonOption, collection_directory, item_id
from .reranking import rerank_rule, reranked

if TYPE_CHECKING:
    from indexer import Collection, Record
    from omni_encoder import Span
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
_WEAK_LINE = "-- weak below --"
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
    unwanted: Annotated[
        list[str] | None,
        typer.Option(
            "--not",
            metavar="TEXT",
            help="What hits should not be like: a text, or image:FILE, audio:FILE, video:FILE, "
            "like:ID.",
            show_default=False,
        ),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            "--weight",
            metavar="KIND=W",
            help="How much parts of a kind count: text, image, audio, video, like (1 if not said) "
            "or not (0.3).",
            show_default=False,
        ),
    ] = None,
    compose: Annotated[
        str,
        typer.Option(
            "--compose",
            metavar="HOW",
            help="How parts become one query: arithmetic adds their vectors, joint lets the model "
            "read them together.",
        ),
    ] = "arithmetic",
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
    rerank: Annotated[
        str | None,
        typer.Option(
            "--rerank",
            metavar="flow[:K]",
            help="Read the query again beside each of the first K hits (20) and order them anew.",
            show_default=False,
        ),
    ] = None,
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
    hybrid: HybridOption = True,
    text_weight: TextWeightOption = None,
    as_json: JsonOption = False,
    collection: CollectionOption = None,
) -> None:
    """Print what is nearest to a query of words, files or items, best first.

    Parts may be repeated and combined; they are searched for together.
    Scores compare the hits of one query; they are no percentages. Weak hits, such as
    unrelated things would give as well, come last, below a line (piped: a last column).
    Exits with 1 when nothing is found.

    Example:
    omnidex search a dog on a beach --to image,video -k 20
    omnidex search --image cat.jpg --text "at night" --where "width >= 1024"
    omnidex search beach --image sea.jpg --not people --weight image=2
    omnidex search 'receipt "Hotel Adler"' --to text,image
    omnidex search sunset --in ~/Pictures/2024 --after 2024-06 --type jpg
    omnidex search --audio bark.wav -0 | xargs -0 ls -l
    """
    if as_json and (paths_only or null):
        raise UsageProblem("--json and --paths can't be combined", hint="--json holds the paths")
    files = {"image": image or [], "audio": audio or [], "video": video or []}
    given = parts.Given(words or (), text or (), files, like or (), unwanted or (), weight or ())
    parts.check(given, compose)
    kinds = _kinds(to or [])
    if where is not None and not parts.utf8(where, what="--where").strip():
        raise UsageProblem("--where is empty", hint='leave it out, or say: --where "width > 1000"')
    directory = collection_directory(collection)
    files_filter = file_filter(within or [], kind or [], after=after, before=before)
    mode = search_mode(merge, device, exact=exact)
    rule = rerank_rule(rerank)

    from omni_encoder import Modality
    from retrieval import Query, Retriever

    query = Query(
        terms=parts.terms(given),
        modalities=tuple(map(Modality, kinds)) or None,
        k=k,
        where=where,
        all_parts=all_parts,
        files=files_filter,
        mode=mode,
        compose=parts.composer(compose),
        hybrid=hybrid_mode(hybrid, text_weight),
    )
    with Retriever.open(directory) as retriever:
        query = with_ids(query, retriever.collection)
        wanted = query if rule is None else replace(query, k=max(query.k, rule.top))
        hits = retriever.search(wanted)
        if rule is not None:
            hits = reranked(hits, query, retriever.collection, rule)
    if as_json:
        render.write_json(
            {
                "schema": render.SCHEMA,
                "query": _query_json(query),
                "hits": list(map(hit_json, hits)),
            }
        )
    elif paths_only or null:
        _write_paths(hits, end="\0" if null else "\n")
    else:
        _write_table(hits)
    if not hits:
        if not as_json:
            render.note("Nothing found.")
        raise typer.Exit(NOTHING_FOUND)


def hit_json(hit: "Hit") -> dict[str, object]:
    """One hit as it stands in JSON."""
    judged = hit.judgement
    meaning = {
        "percentile": None if judged is None else judged.percentile,
        "expected": None if judged is None else judged.expected,
        "weak": None if judged is None else judged.weak,
    }
    ranks = {"rank": hit.rank, "score": hit.score} | ranks_json(hit)
    return ranks | meaning | record_json(hit.record)


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


def span_text(span: "Span | None") -> str:
    """A span as `m:ss-m:ss`, its end rounded up, or nothing."""
    return "" if span is None else f"{render.clock(span.start)}-{render.clock(ceil(span.end))}"


def _kinds(given: Sequence[str]) -> list[str]:
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


def with_ids(query: "Query", collection: "Collection") -> "Query":
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
        "terms": [term_json(term) for term in query.terms],
        "compose": query.compose,
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
    } | hybrid_json(query)


def term_json(term: "Term") -> dict[str, object]:
    """A part of a query as it stands in JSON."""
    weight: dict[str, object] = {} if term.weight == 1 else {"weight": term.weight}
    if term.modality is None:
        return {"like": term.content} | weight
    kind = str(term.modality)
    if isinstance(term.content, str):
        return {"modality": kind, "text": term.content} | weight
    return {"modality": kind, "file": str(term.content)} | weight


def _write_paths(hits: Sequence["Hit"], *, end: str) -> None:
    """Write the path of each hit, each path once."""
    paths = dict.fromkeys(str(path) for hit in hits for path in hit.record.paths[:1])
    for path in paths:
        render.write(path + end)


def _write_table(hits: Sequence["Hit"]) -> None:
    """Write the hits; what is weak comes last, and a line (or, in a pipe, a column) says so."""
    rows = [_row(hit) for hit in hits]
    weak = [hit.judgement is not None and hit.judgement.weak for hit in hits]
    if any(weak) and render.on_terminal():
        rows.insert(weak.index(True), ["", "", "", _WEAK_LINE, "", "", ""])
    elif any(hit.judgement is not None for hit in hits):
        rows = [[*row, "weak" if mark else ""] for row, mark in zip(rows, weak, strict=True)]
    render.table(_COLUMNS, rows)
    if all(weak) and weak:
        render.note("All of this is weak: unrelated things would score as high.")


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
        span_text(record.span),
        render.one_line(what)[:_SNIPPET_CHARACTERS],
        record.short_id,
    ]
