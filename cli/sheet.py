"""A contact sheet: hits as one HTML file that needs nothing but the files it links to."""

import base64
import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from . import render
from .plain import printable

if TYPE_CHECKING:
    from indexer import Record
    from retrieval import Hit

    from .synthetic import Drawn

_TEXT_CHARACTERS = 280
_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --card: #f4f5f7; --ink: #1b1d22; --soft: #565b66;
  --line: #d5d8de; --mark: #0a5fb4; }
@media (prefers-color-scheme: dark) { :root { --ground: #14161a; --card: #1f2228; --ink: #eceef2;
  --soft: #a9afbb; --line: #363b45; --mark: #7cb8ff; } }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 90rem;
  padding: 0 1rem; background: var(--ground); color: var(--ink); }
h1 { font-size: 1.3rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }
p { margin: 0 0 1rem; color: var(--soft); }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: .9rem;
  grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); }
li { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .7rem;
  display: flex; flex-direction: column; gap: .5rem; min-width: 0; }
.top { display: flex; justify-content: space-between; gap: .5rem; color: var(--soft);
  font-variant-numeric: tabular-nums; }
.rank { color: var(--ink); font-weight: 650; }
.see { display: flex; align-items: center; justify-content: center; min-height: 12rem;
  background: #16181d; border-radius: .3rem; overflow: hidden; }
.see img, video { width: 100%; height: 12rem; object-fit: contain; display: block; }
.see.strip { min-height: 0; } .see.strip img { height: 5rem; object-fit: fill; }
video { background: #16181d; border-radius: .3rem; } audio { width: 100%; }
blockquote { margin: 0; border-left: 3px solid var(--line); padding-left: .7rem;
  overflow-wrap: anywhere; }
.synthetic { margin-top: 2rem; border-top: 3px double var(--line); }
h2 { font-size: 1.1rem; margin: 1rem 0 .2rem; } .synthetic li { border-style: dashed; }
.none { color: #a9afbb; padding: 1rem; }
a { color: var(--mark); overflow-wrap: anywhere; }
small { color: var(--soft); overflow-wrap: anywhere; }
:focus-visible { outline: 3px solid var(--mark); outline-offset: 2px; }
@media print { li { break-inside: avoid; } audio { display: none; } }
"""
# Nothing may be fetched: not even a file name that looks like markup could change that.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src file:"


def page(
    hits: Sequence["Hit"],
    picture: Callable[["Record"], bytes | None],
    *,
    title: str,
    drawn: Sequence["Drawn"] = (),
) -> str:
    """The whole page.

    Args:
        hits: Best first.
        picture: Gives the WebP picture of an item, or None.
        title: What was asked, in words.
        drawn: What the model drew for it, which is no hit.
    """
    cards = "\n".join(_card(hit, picture(hit.record)) for hit in hits)
    count = "1 hit" if len(hits) == 1 else f"{len(hits)} hits"
    name = _text(title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{name}</h1>\n<p>{count}, best first. Scores order the hits of one query; they are no "
        f"percentages.</p>\n<ol>\n{cards}\n</ol>\n{_synthetic(drawn)}</main>\n</body>\n</html>\n"
    )


def _synthetic(drawn: Sequence["Drawn"]) -> str:
    """What was drawn for the query, in a part of its own."""
    if not drawn:
        return ""
    cards = "\n".join(map(_drawn_card, drawn))
    return (
        '<section class="synthetic">\n<h2>Synthetic</h2>\n<p>Drawn by the model from the query, '
        f"because all hits are weak. In no collection.</p>\n<ol>\n{cards}\n</ol>\n</section>\n"
    )


def _drawn_card(one: "Drawn") -> str:
    top = (
        f'<div class="top"><span class="rank">synthetic</span><span>{one.modality}</span>'
        f"<span>seed {one.seed}, number {one.number}</span></div>"
    )
    uri = html.escape(_file_uri(one.path), quote=True)
    label = html.escape(f"synthetic {one.modality} {one.number}", quote=True)
    if one.text is not None:
        content = f"<blockquote>{_text(one.text)}</blockquote>"
    elif one.modality == "audio":
        content = f'<audio controls preload="none" src="{uri}" aria-label="{label}"></audio>'
    else:
        data = base64.b64encode(one.path.read_bytes()).decode()
        kind = one.path.suffix.removeprefix(".")
        content = (
            f'<div class="see"><img src="data:image/{kind};base64,{data}" alt="{label}"></div>'
        )
    return f"<li>{top}{content}{_link(one.path)}</li>"


def _card(hit: "Hit", picture: bytes | None) -> str:
    record = hit.record
    path = record.paths[0] if record.paths else None
    at = render.span_text(record.span)
    top = (
        f'<div class="top"><span class="rank">{hit.rank}</span><span>{record.modality}</span>'
        f"<span>{_text(at)}</span><span>score {hit.score:.3f}{_weak(hit)}</span></div>"
    )
    what = next(filter(None, (record.caption, record.title)), None)
    about = f"<small>{_text(what)}</small>" if what and record.modality != "text" else ""
    link = _link(path) if path else "<span>no file holds it any more</span>"
    others = [f"<small>also {_link(other)}</small>" for other in record.paths[1:]]
    inner = [top, _content(record, path, picture), link, *others, about]
    return f"<li>{''.join(inner)}<small>id {_text(record.short_id)}</small></li>"


def _weak(hit: "Hit") -> str:
    """A mark for what unrelated things would score as well."""
    return ", weak" if hit.judgement is not None and hit.judgement.weak else ""


def _content(record: "Record", path: Path | None, picture: bytes | None) -> str:
    """What is seen of an item, and what plays it from where the hit begins to where it ends."""
    if record.modality == "text":
        text = record.text or ""
        more = " …" if len(text) > _TEXT_CHARACTERS else ""
        return f"<blockquote>{_text(text[:_TEXT_CHARACTERS])}{more}</blockquote>"
    name = path.name if path else "no file"
    label = html.escape(printable(f"{record.modality}: {name}"), quote=True)
    data = "" if picture is None else base64.b64encode(picture).decode()
    shown = '<span class="none">no picture</span>'
    if data:
        shown = f'<img src="data:image/webp;base64,{data}" alt="{label}">'
    source = _uri(path, record) if path else ""
    if record.modality == "video" and source and not record.mime.startswith("image/"):
        poster = f' poster="data:image/webp;base64,{data}"' if data else ""
        return (
            f'<video controls preload="none" src="{source}"{poster} aria-label="{label}"></video>'
        )
    if record.modality != "audio":
        return f'<div class="see">{shown}</div>'
    player = f'<audio controls preload="none" src="{source}" aria-label="{label}"></audio>'
    return f'<div class="see strip">{shown}</div>{player if source else ""}'


def _uri(path: Path, record: "Record") -> str:
    span = record.span
    at = "" if span is None else f"#t={span.start:g},{span.end:g}"
    return html.escape(_file_uri(path) + at, quote=True)


def _link(path: Path) -> str:
    return f'<a href="{html.escape(_file_uri(path), quote=True)}">{_text(str(path))}</a>'


def _file_uri(path: Path) -> str:
    """A URI of any name, those that are not UTF-8 too."""
    try:
        return path.absolute().as_uri()
    except ValueError:  # a drive without a root
        return "file:" + quote(str(path), errors="surrogateescape")


def _text(text: str) -> str:
    """Text of any origin, on one line and escaped."""
    return html.escape(render.one_line(text), quote=True)
