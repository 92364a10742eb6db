"""`omnidex bench rerank`: what re-ranking by the flow is worth."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from . import render
from .bench_options import CacheOption, ManifestArgument, SplitOption, must_be_manifest
from .bench_output import figure
from .options import FlowOption, JsonOption, TokensOption

if TYPE_CHECKING:
    from omnidex_benchmarks.rerank import Seeded

_COLUMNS = ("queries", "reachable", "cosine", "flow", "blend", "difference", "seconds_a_query")


def rerank(
    manifest: ManifestArgument,
    *,
    split: SplitOption = None,
    cache: CacheOption = None,
    tokens: TokensOption = None,
    flow: FlowOption = None,
    top: Annotated[
        int, typer.Option("--top", min=2, metavar="N", help="How many of the first are re-ranked.")
    ] = 20,
    queries: Annotated[
        int | None,
        typer.Option(
            "--queries",
            min=2,
            metavar="N",
            help="At most so many a direction, spread evenly.",
            show_default=False,
        ),
    ] = None,
    rule: Annotated[
        Literal["s1", "s2", "s3"],
        typer.Option(
            "--rule",
            help="s1: the query's words beside a candidate's vector; s2 and s3: the candidate's "
            "codes beside the query.",
        ),
    ] = "s1",
    draws: Annotated[
        int, typer.Option("--draws", min=1, metavar="N", help="Noise draws a candidate.")
    ] = 2,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, metavar="N", help="How often halves are drawn.")
    ] = 3,
    as_json: JsonOption = False,
) -> None:
    """Measure the first hits with re-ranking by the flow and without.

    The weight of the flow is chosen on the other half of the queries.

    Example:
    omnidex bench rerank manifest.jsonl --split split.json --queries 200
    omnidex bench rerank manifest.jsonl --split split.json --queries 50 --rule s2
    """
    must_be_manifest(manifest)

    from omnidex_benchmarks.rerank import RerankOptions, run

    from omni_encoder import load_encoder

    with render.progress() as advance:
        options = RerankOptions(
            top=top,
            queries=queries,
            seeds=seeds,
            progress=advance,
        )
        result = run(
            manifest,
            encoder=load_encoder(),
            judge=_judge(rule, (tokens, flow), draws=draws),
            split=split,
            cache=cache,
            options=options,
        )
    if not as_json:
        _print(result)
    render.write_json(result)


def _judge(
    rule: Literal["s1", "s2", "s3"], files: tuple[Path | None, Path | None], *, draws: int
) -> "Seeded":
    """What judges by a rule, with a seed."""
    from omnidex_benchmarks.rerank import ByCodes

    from retrieval.rerank import load_coder_and_judge, load_flow

    tokens, flow = files
    if rule == "s1":
        return lambda seed: load_flow(draws=draws, seed=seed, tokens=tokens, flow=flow).judge
    return lambda seed: ByCodes(
        *load_coder_and_judge(rule, draws=draws, seed=seed, tokens=tokens, flow=flow)
    )


def _print(result: Mapping[str, object]) -> None:
    columns = [
        render.Column("direction"),
        *(render.Column(name.replace("_", " "), align="right") for name in _COLUMNS),
        render.Column("95%", align="right"),
    ]
    rows: list[list[str]] = []
    for name, found in cast("Mapping[str, Mapping[str, object]]", result["directions"]).items():
        low, high = cast("list[float]", found["interval"])
        shown = [figure(found[key]) for key in _COLUMNS]
        rows.append([name, *shown, f"{low:+.3f} to {high:+.3f}"])
    render.table(columns, rows)
