"""`omnidex bench composed|weak|mixed|reference`: what asking is worth beyond plain search."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import render
from .bench_options import (
    CacheOption,
    EncoderOption,
    ManifestArgument,
    SplitOption,
    load_once,
    must_be_manifest,
)
from .bench_output import figure, mapping
from .errors import UsageProblem
from .options import JsonOption, ThreadsOption

if TYPE_CHECKING:
    from omni_encoder import Encoder
    from retrieval.reference import Reference


def composed(
    manifest: ManifestArgument,
    *,
    encoder: EncoderOption = "omni",
    split: SplitOption = None,
    cache: CacheOption = None,
    unwanted: Annotated[
        float, typer.Option("--unwanted", metavar="W", help="The weight of what is not wanted.")
    ] = 0.3,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure queries of several parts by each composer, beside each part alone.

    The queries are made of shared pair ids and of tags; three seeds draw them.

    Example:
    omnidex bench composed manifest.jsonl --split split.json
    """
    must_be_manifest(manifest)

    from omnidex_benchmarks.composed import ComposedOptions, run

    with render.progress() as advance:
        options = ComposedOptions(
            unwanted=unwanted,
            progress=advance,
        )
        result = run(
            manifest,
            encoder=load_once(encoder, threads)(),
            split=split,
            cache=cache,
            options=options,
        )
    if not as_json:
        columns = [
            render.Column("task"),
            render.Column("row"),
            *(render.Column(title, align="right") for title in ("nDCG@10", "S@1", "queries", "of")),
        ]
        rows: list[list[str]] = []
        for name, found in mapping(result["tasks"]).items():
            task = mapping(found)
            for row, values in mapping(task["rows"]).items():
                shown = [figure(mapping(values)[key]) for key in ("ndcg@10", "success@1")]
                rows.append([name, row, *shown, str(task["queries"]), str(task["candidates"])])
        render.table(columns, rows)
    render.write_json(result)


def mixed(
    manifest: ManifestArgument,
    *,
    encoder: EncoderOption = "omni",
    split: SplitOption = None,
    cache: CacheOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a collection of all kinds of media, with and without the modality means.

    Example:
    omnidex bench mixed manifest.jsonl --split split.json
    """
    must_be_manifest(manifest)

    from omnidex_benchmarks.mixed import run

    with render.progress() as advance:
        result = run(
            manifest,
            encoder=load_once(encoder, threads)(),
            split=split,
            cache=cache,
            progress=advance,
        )
    if not as_json:
        columns = [
            render.Column("query"),
            *(
                render.Column(title, align="right")
                for title in (
                    "raw",
                    "centred",
                    "difference",
                    "same kind, raw",
                    "centred",
                    "queries",
                )
            ),
        ]
        rows: list[list[str]] = []
        for name, found in mapping(result["queries"]).items():
            row = mapping(found)
            raw, centred = mapping(row["raw"]), mapping(row["centred"])
            rows.append(
                [
                    name,
                    figure(raw["ndcg@10"]),
                    figure(centred["ndcg@10"]),
                    f"{row['difference']:+.3f}",
                    figure(raw["same_kind@10"]),
                    figure(centred["same_kind@10"]),
                    str(row["queries"]),
                ]
            )
        render.table(columns, rows)
    render.write_json(result)


def weak(
    manifest: ManifestArgument,
    *,
    encoder: EncoderOption = "omni",
    split: SplitOption = None,
    cache: CacheOption = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            metavar="FILE",
            help="Made by `bench reference`; without it, the one beside the encoder.",
            show_default=False,
        ),
    ] = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how well the weak mark tells nonsense from true first hits.

    Example:
    omnidex bench weak manifest.jsonl --split split.json
    """
    must_be_manifest(manifest)

    from omnidex_benchmarks.weak import run

    loaded = load_once(encoder, threads)()
    with render.progress() as advance:
        result = run(
            manifest,
            encoder=loaded,
            reference=_reference(reference, loaded),
            split=split,
            cache=cache,
            progress=advance,
        )
    if not as_json:
        columns = [
            render.Column("direction"),
            *(
                render.Column(title, align="right")
                for title in ("nonsense weak", "results", "true first not weak", "first hits")
            ),
        ]
        rows: list[list[str]] = []
        for name, found in mapping(result["directions"]).items():
            row = mapping(found)
            keys = ("nonsense_weak", "nonsense_results", "true_kept", "true_first_hits")
            rows.append([name, *(figure(row.get(key)) for key in keys)])
        render.table(columns, rows)
    render.write_json(result)


def reference(
    manifest: ManifestArgument,
    *,
    split: Annotated[
        Path,
        typer.Option(
            "--split",
            metavar="FILE",
            help="A JSON file; the ids under `validation` are left out.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to.", show_default=False)
    ],
    encoder: EncoderOption = "omni",
    cache: CacheOption = None,
    items: Annotated[
        int, typer.Option("--items", min=2, metavar="N", help="At most so many of each modality.")
    ] = 512,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the reference that an encoder's scores are compared with, of training items.

    It belongs beside the checkpoint, as STEM-reference.npz.

    Example:
    omnidex bench reference manifest.jsonl --split split.json -o nano-reference.npz
    """
    must_be_manifest(manifest)

    from omnidex_benchmarks.reference import ReferenceOptions, make_reference

    from retrieval.reference import save_reference

    with render.progress() as advance:
        made = make_reference(
            manifest,
            encoder=load_once(encoder, threads)(),
            split=split,
            cache=cache,
            options=ReferenceOptions(items=items, progress=advance),
        )
    save_reference(made, output)
    if as_json:
        counts = {str(m): len(cohort.groups) for m, cohort in made.cohorts.items()}
        render.write_json({"schema": render.SCHEMA, "file": str(output), "items": counts})
    else:
        render.write(f"{output}\n")


def _reference(path: Path | None, encoder: "Encoder") -> "Reference":
    from retrieval.reference import find_reference, read_reference

    found = (
        find_reference(encoder.spec.name, encoder.spec.fingerprint)
        if path is None
        else read_reference(path)
    )
    if found is None or found.fingerprint != encoder.spec.fingerprint:
        raise UsageProblem(
            f"there is no reference of {encoder.spec.name}",
            hint="make one: omnidex bench reference MANIFEST --split FILE -o FILE",
        )
    return found
