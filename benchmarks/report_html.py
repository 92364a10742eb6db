"""A report as one HTML file that needs nothing else: tables, plots, and hits with thumbnails."""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

from omni_encoder.thumbnails import thumbnail

from . import plots
from .report import (
    DEFINITIONS,
    TIMINGS,
    Section,
    asking_tables,
    directions_of,
    parted,
    remarks,
    table_of,
    timings_table,
)

_MODALITIES = ("text", "image", "audio", "video")
_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
  color: #1a1a1a; background: #fff; }
h1 { font-size: 1.6rem; } h2 { border-top: 1px solid #ccc; padding-top: 1rem; font-size: 1.25rem; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
th, td { padding: .2rem .6rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #e2e2e2; }
th { border-bottom: 1px solid #888; } td:nth-child(-n+2), th:nth-child(-n+2) { text-align: left; }
.words { text-align: left; }
tr.first td { border-top: 1px solid #999; }
ul.remarks { font-size: .85rem; color: #444; margin: 0 0 .6rem; }
p.label { margin: .6rem 0 0; font-size: .85rem; font-weight: 600; }
.plots { display: flex; flex-wrap: wrap; gap: 0 1.5rem; align-items: flex-start; margin: 1rem 0; }
figure { margin: 0; max-width: 100%; overflow-x: auto; }
figure svg { max-width: 100%; height: auto; }
summary { cursor: pointer; font-size: .9rem; margin: .3rem 0; }
.example { display: flex; flex-wrap: wrap; gap: .5rem; margin: .5rem 0 1rem; align-items: stretch; }
.card { width: 8.2rem; border: 1px solid #ccc; border-radius: 4px; padding: .3rem;
  font-size: .75rem; overflow-wrap: anywhere; }
.card img { max-width: 100%; height: 6rem; object-fit: contain; display: block; margin: 0 auto; }
.query { border: 2px solid #444; background: #f6f6f6; }
.hit { border: 3px solid #0072B2; } .hit::after { content: "answers"; color: #0072B2;
  font-weight: 600; }
.more { color: #555; }
@media print { body { max-width: none; margin: 0; } .example, figure, tr { break-inside: avoid; } }
"""


def page(sections: Sequence[Section], *, title: str = "omnidex benchmarks") -> str:
    """The whole page."""
    retrieval, asking, timed = parted(sections)
    parts = [f"<h1>{html.escape(title)}</h1>"]
    if retrieval:
        parts.append(f"<p>{html.escape(DEFINITIONS)}</p>")
    if not plots.available():
        parts.append("<p><em>Without plots: matplotlib is not installed (omnidex[bench]).</em></p>")
    pictures: dict[Path, str] = {}
    for section in retrieval:
        parts += _section(section, pictures)
    for section in asking:
        parts += _asking(section)
    if timed:
        parts += _timings(timed)
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _section(section: Section, pictures: dict[Path, str]) -> list[str]:
    parts = [f"<h2>{html.escape(section.name)}</h2>", f"<p>{html.escape(section.title)}.</p>"]
    parts.append(_table(*table_of(section)))
    if plots.available():
        parts.append(_figures(_plots(section)))
    for label, document in section.results.items():
        parts.append(_remarks(label, [*remarks(document), _identity(document)]))
    for number, (label, document) in enumerate(section.results.items()):
        parts += _examples(label, document, pictures, shown=not number)
    return parts


def _asking(section: Section) -> list[str]:
    parts = [f"<h2>{html.escape(section.name)}</h2>", f"<p>{html.escape(section.title)}.</p>"]
    for label, table in asking_tables(section):
        parts += [_remarks(label, [_identity(section.results[label])]), _table(*table)]
    return parts


def _timings(sections: Sequence[Section]) -> list[str]:
    parts = ["<h2>Timings</h2>", f"<p>{html.escape(TIMINGS)}</p>", _table(*timings_table(sections))]
    if plots.available():
        drawn = [(section, _curves(section)) for section in sections]
        parts.append(
            _figures(
                plots.curves(series, title=f"{section.name}: upper right is better")
                for section, series in drawn
                if series
            )
        )
    for section in sections:
        for label, document in section.results.items():
            name = section.name if label == section.name else f"{section.name}, {label}"
            parts.append(_remarks(name, [_identity(document)]))
    return parts


def _figures(drawn: Iterable[str]) -> str:
    return '<div class="plots">' + "".join(f"<figure>{svg}</figure>" for svg in drawn) + "</div>"


def _remarks(label: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<p class="label">{html.escape(label)}</p><ul class="remarks">{items}</ul>'


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    words = [
        all(row[i][:1].isalpha() for row in rows if row[i].strip("`")) for i in range(len(headings))
    ]
    cells = zip(headings, words, strict=True)
    lines = ["<tr>" + "".join(_cell(text, "th", words=left) for text, left in cells) + "</tr>"]
    before = ""
    for row in rows:
        first = ' class="first"' if row[0] != before else ""
        cells = zip([row[0] if row[0] != before else "", *row[1:]], words, strict=True)
        inner = "".join(_cell(text, "td", words=left) for text, left in cells)
        lines.append(f"<tr{first}>{inner}</tr>")
        before = row[0]
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _cell(text: str, tag: str, *, words: bool) -> str:
    """A cell; a column of words stands at the left."""
    shown = html.escape(_arrow(text.strip("*")))
    if text.startswith("**"):
        shown = f"<strong>{shown}</strong>"
    opened = f'{tag} class="words"' if words else tag
    return f"<{opened}>{shown}</{tag}>"


def _arrow(text: str) -> str:
    return text.replace("->", " → ")


def _plots(section: Section) -> list[str]:
    drawn: list[str] = []
    groups: dict[str, dict[str, tuple[float, float, float]]] = {}
    for label, document in section.results.items():
        cells: dict[tuple[str, str], float] = {}
        for name, figures in directions_of(document).items():
            asked, _, found = name.partition("->")
            value = cast("float", figures["success@1"])
            low, high = cast("list[float]", figures["success@1_interval"])
            groups.setdefault(_arrow(name), {})[label] = (value, low, high)
            if found:
                cells[asked, found] = value
        if len(cells) > 1:
            drawn.append(plots.heat_map(cells, title=f"Success@1: {label}", order=_MODALITIES))
    if groups:
        drawn.insert(0, plots.bars(groups, title="Success@1 with 95% intervals", axis="Success@1"))
    return drawn


def _curves(section: Section) -> dict[str, list[tuple[float, float]]]:
    """Curves of results that have `curves`: names of indexes, each with recall and rate points."""
    series: dict[str, list[tuple[float, float]]] = {}
    for label, document in section.results.items():
        curves = cast("Mapping[str, list[Mapping[str, float]]]", document.get("curves") or {})
        for name, points in curves.items():
            title = name if len(section.results) == 1 else f"{label}: {name}"
            series[title] = [(point["recall"], point["queries_per_s"]) for point in points]
    return series


def _identity(document: Mapping[str, object]) -> str:
    encoder = cast("Mapping[str, str]", document.get("encoder") or {})
    machine = cast("Mapping[str, object]", document.get("machine") or {})
    versions = cast("Mapping[str, str | None]", machine.get("versions") or {})
    parts = [
        f"measured {document['measured']}",
        f"protocol version {document['version']}",
        *([f"encoder {encoder['fingerprint'][:16]}"] if encoder.get("fingerprint") else []),
        *(f"{name} {version}" for name, version in versions.items() if version),
        *([f"{machine['cores']} cores, load {machine['load_1min']:.1f}"] if machine else []),
    ]
    return ", ".join(parts)


def _examples(
    label: str, document: Mapping[str, object], pictures: dict[Path, str], *, shown: bool
) -> list[str]:
    """Queries with what they found; `shown` opens them, so that they are printed as well."""
    parts: list[str] = []
    for name, figures in directions_of(document).items():
        examples = cast("list[Mapping[str, object]]", figures.get("examples") or [])
        if not examples:
            continue
        title = html.escape(f"{label}: {_arrow(name)}")
        parts.append(
            f"<details{' open' if shown else ''}><summary>{title}, "
            "queries drawn at random, up to three that went well and three that failed</summary>"
        )
        for example in examples:
            place = cast("float", example["first_relevant_rank"])
            query = cast("Mapping[str, object]", example["query"])
            cards = [_card(query, pictures, kind="query", note=f"first answer at rank {place:.0f}")]
            for hit in cast("list[Mapping[str, object]]", example["hits"]):
                kind = "hit" if hit["relevant"] else ""
                score = f"{cast('float', hit['score']):.3f}"
                cards.append(_card(hit, pictures, kind=kind, note=score))
            parts.append(f'<div class="example">{"".join(cards)}</div>')
        parts.append("</details>")
    return parts


def _card(entry: Mapping[str, object], pictures: dict[Path, str], *, kind: str, note: str) -> str:
    shown: list[str] = []
    for part in cast("list[Mapping[str, str]]", entry["parts"]):
        content = part["content"]
        if part["modality"] == "text":
            shown.append(html.escape(content[:200]))
            continue
        path = Path(content)
        picture = "" if part["modality"] == "audio" else _picture(path, pictures)
        if picture:
            shown.append(f'<img src="{picture}" alt="{html.escape(path.name)}">')
        shown.append(f'<span class="more">{part["modality"]}: {html.escape(path.name)}</span>')
    inner = "<br>".join(shown)
    return f'<div class="card {kind}">{inner}<br><span class="more">{note}</span> </div>'


def _picture(path: Path, pictures: dict[Path, str]) -> str:
    """A data URL of the file's thumbnail, or nothing when there is none."""
    if path not in pictures:
        data = thumbnail(path) if path.is_file() else None
        encoded = "" if data is None else base64.b64encode(data).decode()
        pictures[path] = f"data:image/jpeg;base64,{encoded}" if encoded else ""
    return pictures[path]
