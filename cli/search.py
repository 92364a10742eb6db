"""`omnidex search`: ask with words, files or known items, get what is nearest."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import imagining, parts, query_options, render, showing, synthetic, turning
from .answers import hit_json, query_json
from .errors import NOTHING_FOUND, UsageProblem
from .hybrid import HybridOption, TextWeightOption, hybrid_mode
from .narrowing import absent_folders, file_filter, search_mode
from .options import CollectionOption, JsonOption, SeedOption, collection_directory, item_id
from .reranking import rerank_rule, reranked

if TYPE_CHECKING:
    from indexer import Collection, FileFilter
    from retrieval import Hit, Query

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
    words: query_options.WordsArgument = None,
    *,
    text: query_options.TextOption = None,
    image: query_options.ImageOption = None,
    audio: query_options.AudioOption = None,
    video: query_options.VideoOption = None,
    like: query_options.LikeOption = None,
    unwanted: query_options.NotOption = None,
    weight: query_options.WeightOption = None,
    compose: query_options.ComposeOption = "arithmetic",
    to: query_options.ToOption = None,
    k: Annotated[int, typer.Option("-k", min=1, metavar="N", help="How many hits.")] = 10,
    where: query_options.WhereOption = None,
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
    exact: query_options.ExactOption = False,
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
            metavar="flow[:K:W:RULE]",
            help="Judge each of the K nearest by the flow, and order these anew with weight W for "
            "what it says; what words find is fused in afterwards, as always. RULE is s1, the "
            "query beside the item's vector, or s2 or s3, the item's codes beside the query "
            "(index --codes; texts need none, and s3 can't judge them).",
            show_default=False,
        ),
    ] = None,
    imagine: imagining.ImagineOption = None,
    fill: imagining.FillOption = None,
    keep: imagining.KeepOption = None,
    seed: SeedOption = 0,
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
    html_file: showing.HtmlOption = None,
    open_rank: showing.OpenOption = None,
    thumbs: showing.ThumbsOption = "auto",
    session: turning.SessionOption = None,
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
    omnidex search thunder --html found.html --open 1
    omnidex search "a purple giraffe" --imagine image:0.2 --fill 3
    """
    if as_json and (paths_only or null):
        raise UsageProblem("--json and --paths can't be combined", hint="--json holds the paths")
    showing.check_thumbs(thumbs)
    files = {"image": image or [], "audio": audio or [], "video": video or []}
    given = parts.Given(words or (), text or (), files, like or (), unwanted or (), weight or ())
    parts.check(given, compose)
    kinds = kinds_of(to or [])
    if where is not None and not parts.utf8(where, what="--where").strip():
        raise UsageProblem("--where is empty", hint='leave it out, or say: --where "width > 1000"')
    directory = collection_directory(collection)
    files_filter = file_filter(within or [], kind or [], after=after, before=before)
    mode = search_mode(merge, device, exact=exact)
    rule = rerank_rule(rerank, alone=session is None)
    wished = imagining.wanted(imagine)
    filling = imagining.filling(fill, seed=seed, keep=keep)
    imagining.check(filling, keep, wished, session=session is not None)

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
        if (wished or filling) and _all_absent(files_filter, directory):
            wished, filling = None, None
        query = imagining.imagining(query, wished, retriever, seed)
        judged: dict[str, object] | None = None
        if session is not None:
            hits: Sequence[Hit] = turning.session_hits(
                query, session, retriever, words=_words_of(query)
            )
        elif rule is not None:
            hits, judged = reranked(retriever, query, rule)
        else:
            hits = retriever.search(query)
        drawing = imagining.after_search(hits, query, filling, retriever, keep)
    if as_json:
        render.write_json(_document(query, drawing, hits) | {"rerank": judged})
    elif paths_only or null:
        showing.write_paths(hits, end="\0" if null else "\n")
    else:
        print_hits(hits, thumbs=thumbs, collection=directory)
        synthetic.print_drawn(drawing.drawn)
    if html_file is not None:
        showing.write_sheet(
            hits, html_file, title=showing.asked(query), collection=directory, drawn=drawing.drawn
        )
    if open_rank is not None:
        showing.open_hit(hits, open_rank)
    if not hits and not as_json:
        _say_nothing_found(files_filter, directory)
    _end(hits, drawing.problem)


def _document(
    query: "Query", drawing: imagining.Drawing, hits: Sequence["Hit"]
) -> dict[str, object]:
    return {
        "schema": render.SCHEMA,
        "query": query_json(query),
        "imagined": drawing.imagined,
        "hits": list(map(hit_json, hits)),
        "synthetic": [one.as_json() for one in drawing.drawn],
    }


def _all_absent(chosen: "FileFilter", directory: Path) -> bool:
    """Whether no folder that was asked for can hold a hit; says that nothing is drawn then."""
    absent = bool(chosen.folders) and len(absent_folders(chosen, directory)) == len(chosen.folders)
    if absent:
        render.note("Nothing is drawn: none of the folders of --in is indexed.")
    return absent


def _end(hits: Sequence["Hit"], problem: Exception | None) -> None:
    """End with what went wrong beside the search, now that what was found is printed."""
    if problem is not None:
        raise problem
    if not hits:
        raise typer.Exit(NOTHING_FOUND)


def _say_nothing_found(chosen: "FileFilter", directory: Path) -> None:
    render.note("Nothing found.")
    for reason in absent_folders(chosen, directory):
        render.note(f"--in: {reason}")


def print_hits(hits: Sequence["Hit"], *, thumbs: str, collection: Path) -> None:
    """Write hits for people: a table, with pictures on a terminal that can show them."""
    rows = [_row(hit) for hit in hits]
    showing.print_hits(hits, _COLUMNS, rows, thumbs=thumbs, collection=collection)


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


def _words_of(query: "Query") -> str:
    """The wanted texts of a query, in one."""
    contents = (term.content for term in query.terms if term.modality and term.weight > 0)
    return " ".join(content for content in contents if isinstance(content, str))


def with_ids(query: "Query", collection: "Collection") -> "Query":
    """The query with the ids of indexed files that `--like` names by their paths."""
    terms = (
        replace(term, content=item_id(str(term.content), collection))
        if term.modality is None
        else term
        for term in query.terms
    )
    return replace(query, terms=tuple(terms))


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
