"""What a report says: results by benchmark and encoder, as Markdown and as the parts of a page.

The report holds what the result files hold and nothing else. Of several results of one benchmark
by one encoder with the same settings, the newest counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from omni_encoder import OmniError

from . import measured
from .results import read

FIGURES = (
    ("success@1", "S@1"),
    ("success@5", "S@5"),
    ("success@10", "S@10"),
    ("recall@10", "R@10"),
    ("map", "mAP"),
    ("ndcg@10", "nDCG@10"),
    ("median_rank", "MedR"),
)
DEFINITIONS = (
    "S@k is Success@k: the share of queries with an answer among the first k, which papers on "
    "images and text call recall@k. R@10 is true recall: the share of a query's answers among the "
    "first 10. Equal scores count as worst case unless said otherwise. Intervals are bootstrap 95% "
    "over queries. Chance is the Success@1 of a random order. MedR is the median rank of the first "
    "answer."
)
TIMINGS = (
    "Each ratio is to a floor or a peer measured turn about in the same run; the spread is the "
    "least and the greatest of its turns. Seconds are in the result files."
)


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """The results of one benchmark.

    Attributes:
        name: Of the benchmark.
        title: What it measures.
        results: Result documents by a label of encoder and settings, in the order given.
    """

    name: str
    title: str
    results: Mapping[str, Mapping[str, object]] = field(
        default_factory=dict[str, Mapping[str, object]]
    )

    @property
    def is_system(self) -> bool:
        """Whether these have no directions: timings, and what asking is worth."""
        return any(document["kind"] != "retrieval" for document in self.results.values())

    @property
    def directions(self) -> list[str]:
        """All directions that any of the results has, in order."""
        return list(
            dict.fromkeys(
                name for document in self.results.values() for name in directions_of(document)
            )
        )


def collect(paths: Sequence[Path]) -> list[Section]:
    """Sections from result files, and from all results in folders.

    Raises:
        OmniError: There is none, or one can't be read.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += [file for file in sorted(path.rglob("*-*.json")) if _is_result(file)]
        else:
            files.append(path)
    documents = [read(file) for file in files]
    if not documents:
        raise OmniError(
            f"there are no results in {', '.join(map(str, paths))}",
            hint="omnidex bench run writes them; name its --results folder",
        )
    found: dict[str, dict[tuple[str, str, str], Mapping[str, object]]] = {}
    for document in sorted(documents, key=lambda document: str(document["measured"])):
        found.setdefault(str(document["benchmark"]), {})[_identity(document)] = document
    return [
        Section(name, str(next(iter(results.values()))["title"]), _labelled(results))
        for name, results in found.items()
    ]


def _identity(document: Mapping[str, object]) -> tuple[str, str, str]:
    """Label, fingerprint and data: results that have all of them in common replace each other."""
    encoder = cast("Mapping[str, str]", document.get("encoder") or {})
    data = cast("Mapping[str, str]", document.get("data") or {})
    return label_of(document), encoder.get("fingerprint", ""), data.get("digest", "")


def _labelled(
    results: Mapping[tuple[str, str, str], Mapping[str, object]],
) -> dict[str, Mapping[str, object]]:
    """The results by label, with as much of fingerprint and data as tells equal labels apart."""
    labels = [label for label, _, _ in results]
    named: dict[str, Mapping[str, object]] = {}
    for (label, fingerprint, data), document in results.items():
        alike = [identity for identity in results if identity[0] == label]
        more = [fingerprint[:8]] if len({identity[1] for identity in alike}) > 1 else []
        more += [f"data {data[:8]}"] if len({identity[2] for identity in alike}) > 1 else []
        shown = f"{label} [{', '.join(more)}]" if labels.count(label) > 1 else label
        named[shown] = document
    return named


def _is_result(file: Path) -> bool:
    return file.parent.name not in {"clip_benchmark", "trec", "vectors"}


def label_of(document: Mapping[str, object]) -> str:
    """A result's encoder, and the settings that aren't usual."""
    encoder = cast("Mapping[str, str] | None", document.get("encoder"))
    label = "" if encoder is None else _short(encoder["name"])
    protocol = cast("Mapping[str, object]", document.get("protocol") or {})
    more = ["centred"] if protocol.get("centred") else []
    if protocol.get("index", "exact") != "exact":
        more.append(f"index {protocol['index']}")
    rerank = cast("Mapping[str, object] | None", protocol.get("rerank"))
    if rerank:
        more.append(f"re-ranked {rerank['top']}, weight {rerank['weight']}")
    if protocol.get("limit"):
        more.append(f"limit {protocol['limit']}")
    more += ["quick"] if measured.is_quick(document) else []
    if protocol.get("ties", "worst") != "worst":
        more.append(f"ties {protocol['ties']}")
    label = label or str(document["benchmark"])
    return f"{label} ({', '.join(more)})" if more else label


def _short(name: str) -> str:
    """An encoder's name without the folders of its file."""
    family, _, rest = name.partition(":")
    model, _, file = rest.partition("/")
    if Path(rest).suffix not in {".safetensors", ".bin", ".pt"}:
        return name
    if family == "open_clip" and model and file:
        return f"{family}:{model}"
    return f"{family}:{Path(rest).name}"


def directions_of(document: Mapping[str, object]) -> Mapping[str, Mapping[str, object]]:
    """The figures of a result by direction; a timing has none."""
    return cast("Mapping[str, Mapping[str, object]]", document.get("directions") or {})


def remarks(document: Mapping[str, object]) -> list[str]:
    """What a reader of the figures must know: how many there were, and what was missing."""
    lines: list[str] = []
    counts = cast("Mapping[str, int]", document.get("n") or {})
    if counts:
        lines.append("n: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    differs = cast("Mapping[str, Mapping[str, int]]", document.get("differs_from_published") or {})
    lines += [
        f"{name}: {both['found']} found, {both['published']} published"
        for name, both in differs.items()
    ]
    checksums = cast("Mapping[str, bool]", document.get("checksums") or {})
    lines += [
        f"{name} is {'the published file' if same else 'NOT the published file'}, by its MD5"
        for name, same in checksums.items()
    ]
    missing = cast("Mapping[str, int]", document.get("missing") or {})
    if missing.get("count"):
        lines.append(f"{missing['count']} media are missing and left out")
    failed = cast("list[object]", document.get("failed") or [])
    if failed:
        lines.append(f"{len(failed)} files can't be decoded and are left out")
    lines += cast("list[str]", document.get("notes") or [])
    left_out = cast("Mapping[str, str]", document.get("left_out") or {})
    return [*lines, *(f"{name} was not measured: {why}" for name, why in left_out.items())]


def table_of(section: Section) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of a section's retrieval figures; the best value of a direction is bold."""
    headings = ["direction", "encoder", "queries", "of", "chance"]
    headings += [title for _, title in FIGURES]
    rows: list[list[str]] = []
    for name in section.directions:
        present = {
            label: directions_of(document)[name]
            for label, document in section.results.items()
            if name in directions_of(document)
        }
        best = {key: _best(key, present) for key, _ in FIGURES}
        differs = {key: len({figures[key] for figures in present.values()}) > 1 for key in best}
        for label, figures in present.items():
            cells = [
                name,
                label,
                f"{figures['queries']:.0f}",
                f"{figures['candidates']:.0f}",
                f"{figures['chance_success@1']:.3f}",
            ]
            for key, _ in FIGURES:
                value = cast("float", figures[key])
                shown = f"{value:g}" if key == "median_rank" else f"{value:.3f}"
                if key == "success@1":
                    low, high = cast("list[float]", figures["success@1_interval"])
                    shown += f" ({low:.3f} to {high:.3f})"
                cells.append(f"**{shown}**" if differs[key] and value == best[key] else shown)
            rows.append(cells)
    return headings, rows


def timings_table(sections: Sequence[Section]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of all that is measured anew: ratio, spread, of what, on what and when."""
    rows: list[list[str]] = []
    for section in sections:
        for label, document in section.results.items():
            spread = cast("Mapping[str, float]", document.get("ratios") or {})
            ratio = cast("float | None", document.get("ratio"))
            rows.append(
                [
                    section.name,
                    label.removeprefix(section.name).strip(),
                    "" if ratio is None else f"{ratio:.2f}",
                    f"{spread['min']:.2f} to {spread['max']:.2f}" if spread else "",
                    str(document.get("unit") or section.title),
                    str(document.get("threads", "")),
                    str(document["measured"])[:10],
                ]
            )
    return ["benchmark", "encoder", "ratio", "spread", "of", "threads", "when"], rows


def asking_tables(section: Section) -> list[tuple[str, tuple[list[str], list[list[str]]]]]:
    """What ways to ask are worth: a table for each result of the section, by its label."""
    made = [
        (label, measured.table_of(document))
        for label, document in section.results.items()
        if document["kind"] == "asking"
    ]
    return [(label, table) for label, table in made if table is not None]


def parted(sections: Sequence[Section]) -> tuple[list[Section], list[Section], list[Section]]:
    """Retrieval benchmarks, what ways to ask are worth, and timings."""
    retrieval = [section for section in sections if not section.is_system]
    rest = [section for section in sections if section.is_system]
    asking = [section for section in rest if asking_tables(section)]
    return retrieval, asking, [section for section in rest if section not in asking]


def markdown(sections: Sequence[Section]) -> str:
    """The tables of all sections, for a README."""
    parts: list[str] = []
    retrieval, asking, timed = parted(sections)
    for section in retrieval:
        parts += [f"## {section.name}", section.title + ".", markdown_table(*table_of(section))]
        for label, document in section.results.items():
            parts += [f"- {label}: {line}" for line in remarks(document)[:1]]
    if retrieval:
        parts.append(DEFINITIONS)
    for section in asking:
        parts += [f"## {section.name}", section.title + "."]
        for label, table in asking_tables(section):
            parts += [f"{label}:", markdown_table(*table)]
    if timed:
        parts += ["## Timings", TIMINGS, markdown_table(*timings_table(timed))]
    return "\n\n".join(parts) + "\n"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; bars in cells are escaped."""
    lines = [list(headings), ["---"] * len(headings), *map(list, rows)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _best(key: str, present: Mapping[str, Mapping[str, object]]) -> float:
    values = [cast("float", figures[key]) for figures in present.values()]
    return min(values) if key == "median_rank" else max(values)
