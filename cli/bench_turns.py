"""`omnidex bench turns`: whether a person who says more finds more."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from . import render
from .bench_options import (
    EncoderOption,
    LimitOption,
    ManifestArgument,
    ResultsOption,
    SplitOption,
    load_once,
    must_be_manifest,
)
from .options import JsonOption, ThreadsOption

_METHODS = ("first", "rocchio", "dialogue")


def turns(
    manifest: ManifestArgument,
    *,
    split: SplitOption = None,
    limit: LimitOption = None,
    encoder: EncoderOption = "omni",
    results: ResultsOption = Path("omnidex-results"),
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let simulated users look for one item over three turns, as omnidex ask has them.

    first is the encoder alone: what the first turn found. rocchio and dialogue
    are two ways to put words together. S@k is the share of items among the
    first k hits, with a 95% interval of its gain over first.

    Example:
    omnidex bench turns manifest.jsonl --split split.json
    """
    from omnidex_benchmarks import results as store
    from omnidex_benchmarks.protocol import Request
    from omnidex_benchmarks.turns import TURNS_BENCHMARK

    must_be_manifest(manifest)
    with render.progress() as advance:
        request = Request(
            encoder=load_once(encoder, threads),
            data=manifest,
            split=split,
            limit=limit,
            cache=results / "vectors",
            progress=advance,
        )
        stored = store.run(TURNS_BENCHMARK, request, folder=results)
    if as_json:
        render.write_json({**stored.document, "file": str(stored.path)})
        return
    _print(stored.document)
    render.note(f"  kept in {render.short_path(stored.path)}")


def _print(document: Mapping[str, object]) -> None:
    columns = [
        render.Column(title, align="left" if number < 3 else "right")
        for number, title in enumerate(
            ("user", "turn", "method", "S@1", "S@5", "S@10", "S@10 - first", "95%", "found@10")
        )
    ]
    rows: list[list[str]] = []
    users = cast("Mapping[str, list[Mapping[str, Mapping[str, object]]]]", document["by_user"])
    for user, figures in users.items():
        for number, turn in enumerate(figures, start=1):
            for method in _METHODS:
                rows.append([user, str(number), method, *_cells(turn, method)])  # noqa: PERF401
    render.table(columns, rows)


def _cells(turn: Mapping[str, Mapping[str, object]], method: str) -> list[str]:
    figures = turn[method]
    cells = [f"{cast('float', figures[f'success@{k}']):.3f}" for k in (1, 5, 10)]
    if method == "first":
        return [*cells, "", "", f"{cast('float', turn['paging']['found@10']):.3f} by paging"]
    above = cast("Mapping[str, object]", figures["above_first"])
    low, high = cast("list[float]", above["success@10_interval"])
    gain = cast("float", above["success@10"])
    found = cast("float", figures["found@10"])
    return [*cells, f"{gain:+.3f}", f"{low:+.3f} to {high:+.3f}", f"{found:.3f}"]
