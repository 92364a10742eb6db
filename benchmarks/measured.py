"""The tables of what is measured anew: one small function for each benchmark, from its raw result.

Each takes a document that `bench run` has kept and gives headings and rows; nothing in a table is
from elsewhere. Rows of timings are medians over turns with the least and the greatest.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from omni_encoder import OmniError

from .results import read

Document = Mapping[str, object]
Table = tuple[list[str], list[list[str]]]

LIMITS: Mapping[str, int] = {"reranking": 150, "imagine": 40, "drawing": 40}
"""How many queries a direction docs/results.md has of what takes long."""

OWN_DATA = frozenset({"ablation"})
"""Benchmarks whose data is a file of their own, not the manifest of the others."""

_TIMED = ["what", "median; least to greatest", "wanted"]


def table_of(document: Document) -> Table | None:
    """Headings and rows of a result; None if there is no table for its benchmark.

    Raises:
        OmniError: It isn't as this version's benchmark gives it.
    """
    make = _TABLES.get(str(document["benchmark"]))
    try:
        return None if make is None else make(document)
    except (KeyError, TypeError, ValueError) as error:
        raise OmniError(
            f"the result of {document['benchmark']} of {document['measured']} has another form "
            f"than this version gives it: {error!r}",
            hint=f"measure it again: omnidex bench run {document['benchmark']}",
        ) from error


def names() -> list[str]:
    """The benchmarks that have a table."""
    return list(_TABLES)


def newest(folder: Path, name: str, *, data: str = "") -> Document | None:
    """The newest whole result of a benchmark under a results folder; None if it has none.

    Args:
        folder: Where results are kept.
        name: Of the benchmark.
        data: A digest; results on data of another one are passed over.

    Raises:
        OmniError: A result can't be read.
    """
    found = [
        file
        for kind in ("asking", "system")
        for file in (folder / kind).glob(f"{name}-[0-9]*.json")
    ]
    for file in sorted(found, key=lambda file: file.name, reverse=True):
        document = read(file)
        same = not data or _part(document.get("data") or {}).get("digest", data) == data
        if same and not is_quick(document):
            return document
    return None


def is_quick(document: Document) -> bool:
    """Whether a result was measured with `--quick`, so that its figures say little."""
    return "--quick" in str(document.get("command", "")).split()


def origin(document: Document) -> str:
    """Where a table is from: the command, the encoder, when, and on what machine."""
    encoder = cast("Mapping[str, str]", document.get("encoder") or {})
    machine = cast("Mapping[str, object]", document.get("machine") or {})
    fingerprint = encoder.get("fingerprint", "")
    parts = [
        f"`{_command(document)}`",
        str(document["measured"])[:10],
        *([f"{encoder['name']} {fingerprint[:8]}"] if fingerprint else []),
        *([f"threads {document['threads']}"] if document.get("threads") else []),
        *([f"{machine['cores']} cores, load {machine['load_1min']:.0f}"] if machine else []),
    ]
    return ", ".join(parts) + "."


def _command(document: Document) -> str:
    return str(document.get("command") or f"omnidex bench run {document['benchmark']}")


def _part(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"an object was expected, not {value!r:.40}")
    return cast("dict[str, object]", value)


def _parts(document: Document, key: str) -> list[tuple[str, Mapping[str, object]]]:
    return [(name, _part(value)) for name, value in _part(document[key]).items()]


def _number(value: object, digits: int = 3) -> str:
    return "" if value is None else f"{cast('float', value):.{digits}f}"


def _gain(figures: Document) -> list[str]:
    """A difference and its interval."""
    low, high = cast("Sequence[float]", figures["interval"])
    return [f"{figures['difference']:+.3f}", f"{low:+.3f} to {high:+.3f}"]


def _weights(figures: Document) -> str:
    return ", ".join(f"{weight:g}" for weight in cast("Sequence[float]", figures["weights"]))


def _spread(value: object) -> str:
    spread = cast("Mapping[str, float]", value)
    return f"{spread['median']:.2f}; {spread['min']:.2f} to {spread['max']:.2f}"


def _reranking(document: Document) -> Table:
    keys = ("reachable", "cosine", "flow", "blend")
    headings = ["direction", "queries / candidates", "answer among the first", "cosine S@1"]
    headings += ["flow alone", "blend", "blend less cosine", "95%", "weights chosen"]
    rows = [
        [
            name,
            f"{found['queries']} / {found['candidates']}",
            *(_number(found[key]) for key in keys),
            *_gain(found),
            _weights(found),
        ]
        for name, found in _parts(document, "directions")
    ]
    return headings, rows


def _imagine(document: Document) -> Table:
    shown = ("query", "drawn", "another", "fused")
    headings = ["direction", "queries / candidates"]
    headings += [f"{name} S@1 / S@10 / MRR" for name in shown]
    headings += ["fused less query, MRR", "95%", "weights chosen"]
    rows: list[list[str]] = []
    for name, found in _parts(document, "cases"):
        figures = [_part(found[one]) for one in shown]
        cells = [
            " / ".join(_number(one[key]) for key in ("success@1", "success@10", "mrr"))
            for one in figures
        ]
        gain = _gain(_part(_part(found["differences"])["mrr"]))
        asked = f"{found['queries']} / {found['candidates']}"
        rows.append([name, asked, *cells, *gain, _weights(found)])
    return headings, rows


def _drawing(document: Document) -> Table:
    headings = ["direction", "items", "steps", "finds its prompt", "without a prompt"]
    headings += ["rebuilt from true codes", "true answers", "chance"]
    headings += ["distance", "without a prompt"]
    headings += ["nats a slot", "another's prompt", "without a prompt"]
    keys = ["success@1", "success@1 unconditional", "success@1 of rebuilt answers"]
    keys += ["success@1 of true answers", "chance"]
    rows = [
        [
            name,
            str(found["items"]),
            str(document["steps"]),
            *(_number(found[key]) for key in keys),
            *(_number(found[key], 0) for key in ("distance", "distance unconditional")),
            *(_number(found[key], 2) for key in ("nats", "nats shuffled", "nats unconditional")),
        ]
        for name, found in _parts(document, "directions")
    ]
    return headings, rows


def _composed(document: Document) -> Table:
    headings = ["query", "answered by", "nDCG@10", "S@1", "not wanted among ten"]
    headings += ["queries", "candidates"]
    rows = [
        [
            task,
            row,
            *(_number(_part(found).get(key)) for key in ("ndcg@10", "success@1", "unwanted@10")),
            f"{figures['queries']:,}",
            f"{figures['candidates']:,}",
        ]
        for task, figures in _parts(document, "tasks")
        for row, found in _part(figures["rows"]).items()
    ]
    return headings, rows


def _mixed(document: Document) -> Table:
    headings = ["query", "queries", "raw nDCG@10", "centred", "difference", "95%"]
    headings += ["own kind among ten, raw", "centred"]
    rows: list[list[str]] = []
    for name, found in _parts(document, "queries"):
        raw, centred = _part(found["raw"]), _part(found["centred"])
        scores = [_number(one["ndcg@10"]) for one in (raw, centred)]
        own = [_number(one["same_kind@10"]) for one in (raw, centred)]
        rows.append([name, f"{found['queries']:,}", *scores, *_gain(found), *own])
    return headings, rows


def _weak(document: Document) -> Table:
    headings = ["direction", "results of nonsense", "of these weak", "true first hits"]
    headings += ["of these not weak", "wrong first hits that are weak"]
    rows = [
        [
            name,
            str(found.get("nonsense_results", "")),
            _number(found.get("nonsense_weak")),
            str(found.get("true_first_hits", "")),
            _number(found.get("true_kept")),
            _number(found.get("wrong_weak")),
        ]
        for name, found in _parts(document, "directions")
    ]
    return headings, rows


def _turns(document: Document) -> Table:
    methods = ("rocchio", "dialogue")
    headings = ["user", "turn", "first turn's hits S@10", "found by paging"]
    headings += [f"{method} S@1 / S@10" for method in methods]
    headings += ["dialogue less first, S@10", "95%", "found in any turn"]
    rows: list[list[str]] = []
    for user, turns in _part(document["by_user"]).items():
        for number, turn in enumerate(cast("Sequence[Mapping[str, object]]", turns), start=1):
            last = _part(turn["dialogue"])
            above = _part(last["above_first"])
            gain = {"difference": above["success@10"], "interval": above["success@10_interval"]}
            figures = [_part(turn[method]) for method in methods]
            rows.append(
                [
                    user,
                    str(number),
                    _number(_part(turn["first"])["success@10"]),
                    _number(_part(turn["paging"])["found@10"]),
                    *(
                        f"{_number(one['success@1'])} / {_number(one['success@10'])}"
                        for one in figures
                    ),
                    *_gain(gain),
                    _number(last["found@10"]),
                ]
            )
    return headings, rows


def _ablation(document: Document) -> Table:
    figures = {
        "text->image map": "text->image mAP",
        "image->text map": "image->text mAP",
        "drawn success@1": "drawn S@1",
        "written success@1": "written S@1",
    }
    headings = ["variant"]
    headings += [cell for title in figures.values() for cell in (title, "less the one above")]
    rows: list[list[str]] = []
    for name, found in _parts(document, "variants"):
        row = [name]
        for figure in figures:
            value, less = _part(found[figure]), found.get(f"{figure} less")
            row.append(f"{_number(value['mean'])} ± {_number(value['spread'])}")
            gain = None if less is None else _part(less)
            row.append("" if gain is None else f"{gain['mean']:+.3f} ± {_number(gain['error'])}")
        rows.append(row)
    return headings, rows


def _ratio(document: Document) -> Table:
    """One figure: a ratio, its spread and what is wanted."""
    target = document.get("target_ratio")
    ratios = document.get("ratios")
    shown = _spread(ratios) if ratios else _number(document["ratio"], 2)
    wanted = "" if target is None else f"at most {target:g}"
    return list(_TIMED), [[str(document["unit"]), shown, wanted]]


def _memory(document: Document) -> Table:
    headings, ((unit, ratio, wanted),) = _ratio(document)
    peaks = ", ".join(f"{mb:.0f} MB at {n}" for n, mb in _part(document["peak_mb"]).items())
    return headings, [[f"{unit} ({peaks})", ratio, wanted]]


def _cold_start(document: Document) -> Table:
    headings, rows = _ratio(document)
    what = (
        f"CPU time of `search --like` over {document['items']:,} items / of `{document['imports']}`"
    )
    wanted = f"at most {document['cached_like_target']:g}"
    return headings, [*rows, [what, _spread(document["cached_like_ratios"]), wanted]]


def _ingest(document: Document) -> Table:
    second = _part(document["second_run"])
    target, speed_up = document["target_ratio"], second["target_speed_up"]
    first = "first run / second run of the unchanged folder, as whole commands"
    rows = [
        [str(document["unit"]), _spread(document["ratios"]), f"at least {target:g}"],
        [first, _number(second["command_speed_up"], 0), f"at least {speed_up:g}"],
    ]
    return list(_TIMED), rows


def _rescan(document: Document) -> Table:
    files = f"{document['files']:,} notes, {_part(document['encoder'])['name']}"
    changed = f"at most {document['target_change_ratio']:g}"
    again = f"at least {document['target_speed_up']:g}"
    rows = [
        [f"an unchanged tree / a bare walk ({files})", _spread(document["again_ratio"]), ""],
        [
            "one changed note, less its encoding / a walk",
            _spread(document["change_ratio"]),
            changed,
        ],
        ["first run / unchanged run", _number(document["speed_up"], 0), again],
    ]
    return list(_TIMED), rows


def _speedup(document: Document) -> Table:
    kinds = _part(document["kinds"])
    titles = {
        "image": "images",
        "text": "short texts, naive padded to the limit",
        "text_unpadded": "short texts, naive padded to the batch",
        "audio": "sounds",
    }
    rows: list[list[str]] = []
    for kind, title in titles.items():
        found, target = _part(kinds[kind]), kinds.get(f"target_{kind}")
        times = f"{found['naive_ms']:.1f} and {found['ms']:.1f} ms; cosine {found['cosine']:.4f}"
        wanted = "" if target is None else f"at least {target:g}"
        rows.append([f"{title} ({times})", _spread(found["ratio"]), wanted])
    return list(_TIMED), rows


def _generate(document: Document) -> Table:
    headings = ["sampler", "calls", "CPU s, median", "times faster than slot after slot"]
    rows: list[list[str]] = []
    for name, found in _parts(document, "samplers"):
        seconds = _number(_part(found["cpu_seconds"])["median"], 2)
        faster = _number(found["cpu_times_faster_than_in_order"], 2)
        rows.append([f"{name}: {found['what']}", str(found["calls"]), seconds, faster])
    return headings, rows


_TABLES: Mapping[str, Callable[[Document], Table]] = {
    "composed": _composed,
    "mixed": _mixed,
    "weak": _weak,
    "turns": _turns,
    "reranking": _reranking,
    "imagine": _imagine,
    "drawing": _drawing,
    "ablation": _ablation,
    "ingest": _ingest,
    "startup": _ratio,
    "rescan": _rescan,
    "speedup": _speedup,
    "memory": _memory,
    "encode": _ratio,
    "rerank": _ratio,
    "cold-start": _cold_start,
    "generate": _generate,
}
