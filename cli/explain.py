"""`omnidex explain`: why an item scores as it does for a query."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import parts, query_options, render
from .answers import record_json, term_json
from .errors import UsageProblem
from .hybrid import HybridOption, TextWeightOption, hybrid_json, hybrid_mode
from .options import CollectionOption, JsonOption, collection_directory, item_id
from .search import with_ids

if TYPE_CHECKING:
    from omni_encoder.attribution import Region
    from retrieval import Term
    from retrieval.explain import Explanation

_PICTURE_PIXELS = 768


def explain(
    id: Annotated[
        str,
        typer.Argument(
            metavar="HIT-ID",
            help="An id as search shows it, or an indexed file; without a part, its best one.",
            show_default=False,
        ),
    ],
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
    hybrid: HybridOption = True,
    text_weight: TextWeightOption = None,
    image_out: Annotated[
        Path | None,
        typer.Option(
            "--image-out",
            metavar="FILE.png",
            help="Write the picture, or the best frame of a video, with its region outlined.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    collection: CollectionOption = None,
) -> None:
    """Say what of an item matches a query, and what each part of the query adds to its score.

    Takes the parts of a query as search does. What parts add sums up to the score.

    Example:
    omnidex explain 3f2a9c01be a dog on a beach
    omnidex explain cat.jpg --text "at night" --not people --image-out why.png
    """
    files = {"image": image or [], "audio": audio or [], "video": video or []}
    given = parts.Given(words or (), text or (), files, like or (), unwanted or (), weight or ())
    parts.check(given, compose)
    if image_out is not None:
        _check_suffix(image_out)
    directory = collection_directory(collection)

    from retrieval import Query, Retriever
    from retrieval.explain import explain as explained

    query = Query(
        parts.terms(given),
        compose=parts.composer(compose),
        hybrid=hybrid_mode(hybrid, text_weight),
    )
    with Retriever.open(directory) as retriever:
        query = with_ids(query, retriever.collection)
        found = explained(
            retriever,
            query,
            item_id(id, retriever.collection, any_part=True),
            picture_pixels=None if image_out is None else _PICTURE_PIXELS,
        )
    if as_json:
        render.write_json(
            {
                "schema": render.SCHEMA,
                "query": {"terms": list(map(term_json, query.terms)), "compose": query.compose}
                | hybrid_json(query),
                "hit": _hit_json(found),
            }
        )
    else:
        render.facts(_facts(found))
    if found.matched.unread:
        render.note(f"Nobody could look into it: {found.matched.unread}")
    if image_out is not None:
        _write_picture(found, image_out)


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise UsageProblem(
            f"--image-out can't write {path.name}", hint="end the name in .png, .jpg or .webp"
        )


def _write_picture(found: "Explanation", path: Path) -> None:
    from omni_encoder import QueryError
    from omni_encoder.attribution import outlined

    if found.picture is None:
        raise QueryError(
            f"there is no picture of {found.record.short_id} to write",
            hint="--image-out is for images and videos whose file is there",
        )
    try:
        outlined(found.picture, found.matched.region, path)
    except OSError as error:
        raise QueryError(f"{path} can't be written: {error.strerror or error}") from error


def _hit_json(found: "Explanation") -> dict[str, object]:
    matched, judged, caption = found.matched, found.judgement, found.caption
    spans = {"span": matched.span, "moment": matched.moment}
    return {
        "score": found.score,
        "percentile": None if judged is None else judged.percentile,
        "weak": None if judged is None else judged.weak,
        "contributions": None
        if found.contributions is None
        else [term_json(one.term) | {"amount": one.amount} for one in found.contributions],
        "matched": {
            name: None if span is None else {"start_s": span.start, "end_s": span.end}
            for name, span in spans.items()
        }
        | {
            "region": _region_json(matched.region),
            "sentence": matched.sentence,
            "sentence_score": matched.sentence_score,
            "unread": matched.unread,
        },
        "words": [{"words": one.words, "in": list(one.fields)} for one in found.words],
        "nearest_caption": None
        if caption is None
        else {"id": caption.record.id, "score": caption.score, "text": caption.text},
    } | record_json(found.record)


def _region_json(region: "Region | None") -> dict[str, float] | None:
    from dataclasses import asdict

    return None if region is None else asdict(region)


def _facts(found: "Explanation") -> Sequence[tuple[str, str]]:
    record, matched, judged = found.record, found.matched, found.judgement
    sentence = matched.sentence_score
    return [
        ("id", record.id),
        ("path", render.short_path(record.paths[0]) if record.paths else ""),
        ("kind", str(record.modality)),
        ("score", f"{found.score:.3f}"),
        ("percentile", "" if judged is None else f"{judged.percentile:.1f}"),
        *((f"  {one.amount:+.3f}", _term(one.term)) for one in found.contributions or ()),
        ("part", render.span_text(matched.span)),
        ("most at", render.span_text(matched.moment)),
        ("region", _region(matched.region)),
        ("sentence", render.one_line(matched.sentence or "")),
        ("", "" if sentence is None else f"which scores {sentence:.3f} by itself"),
        *((f"{one.words!r}", f"in {', '.join(one.fields)}") for one in found.words),
        ("like", "" if found.caption is None else _neighbour(found)),
    ]


def _neighbour(found: "Explanation") -> str:
    assert found.caption is not None  # the caller looked
    one = found.caption
    return f"{one.score:.3f} {one.record.short_id} {render.one_line(one.text)}"


def _region(region: "Region | None") -> str:
    if region is None:
        return ""
    across = f"{region.left:.0%}-{region.right:.0%} from the left"
    return f"{across}, {region.top:.0%}-{region.bottom:.0%} from the top"


def _term(term: "Term") -> str:
    if term.modality is None:
        return f"like {term.content}"
    return f"{term.modality} {render.one_line(str(term.content))}"
