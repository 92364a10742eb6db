"""Hits that people can look at: `--html`, `--open` and `--thumbs`."""

import base64
import io
import os
import re
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from zlib import decompress

import numpy as np
import pytest
from omnidex_cli import opening, pictures
from omnidex_cli.errors import UsageProblem
from PIL import Image

from .conftest import Ended

Run = Callable[..., Ended]


class Page(HTMLParser):
    """Every tag with its attributes, and the text between."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def picture(width: int = 40, height: int = 20) -> bytes:
    buffer = io.BytesIO()
    image = Image.new("RGB", (width, height), (200, 30, 30))
    image.paste((20, 20, 220), (0, 0, width // 2, height))
    image.save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def test_a_page_has_pictures_players_and_links(media: Path, tmp_path: Path, omnidex: Run) -> None:
    name = '<img src=x onerror="alert(1)"> & co.png'
    (media / "red.png").rename(media / name)
    assert omnidex("index", media).code == 0

    ended = omnidex("search", "a <b>dog</b>", "--html", tmp_path / "page.html", "-k", 9)

    page = Page((tmp_path / "page.html").read_text())
    assert ended.code == 0
    assert "page.html" in ended.err
    assert page.all("b") == []
    assert "a <b>dog</b>" in page.text
    images = page.all("img")
    assert {image["alt"] for image in images} == {
        *("image: blue.jpg", f"image: {name}", "audio: tone.wav")
    }
    assert all((image["src"] or "").startswith("data:image/webp;base64,") for image in images)
    (audio,) = page.all("audio")
    source = audio["src"] or ""
    assert source.startswith((media / "tone.wav").as_uri())
    assert re.search(r"#t=[\d.]+,[\d.]+$", source)
    assert (media / name).as_uri() in [link["href"] for link in page.all("a")]
    assert "dogs run along the beach" in page.text
    assert page.all("script") == page.all("link") == []


def test_a_page_of_nothing_is_a_page(indexed: Path, tmp_path: Path, omnidex: Run) -> None:
    where = ("--where", "width > 99999")
    assert omnidex("search", "x", *where, "--html", tmp_path / "page.html").code == 1
    assert "0 hits" in (tmp_path / "page.html").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
def test_a_name_of_any_bytes_gets_a_link(media: Path, tmp_path: Path, omnidex: Run) -> None:
    odd = os.fsdecode(bytes(media) + b"/caf\xe9.png")
    (media / "red.png").rename(odd)
    assert omnidex("index", media).code == 0

    assert omnidex("search", "a", "--to", "image", "--html", tmp_path / "p.html").code == 0

    assert "/caf%E9.png" in (tmp_path / "p.html").read_text()


def test_open_starts_the_systems_opener_without_a_shell(
    indexed: Path, tmp_path: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = indexed / "-x; touch gone.txt"
    (indexed / "note.txt").rename(odd.with_suffix(".txt"))
    omnidex("index", indexed)
    tools, told = tmp_path / "tools", tmp_path / "told"
    tools.mkdir()
    for name in ("xdg-open", "open"):
        script = tools / name
        script.write_text(f'#!/bin/sh\nprintf %s "$1" > {told}.part; mv {told}.part {told}\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")

    ended = omnidex("search", "dogs run along the beach", "--to", "text", "--open", 1)

    assert ended.code == 0
    until = time.monotonic() + 30
    while not told.exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert Path(told.read_text()) == odd.with_suffix(".txt")


def test_open_says_that_the_opener_failed(
    indexed: Path, tmp_path: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("xdg-open", "open"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 3\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    ended = omnidex("search", "dogs", "--open", 1)

    assert ended.code == 2
    assert "the system knows nothing that opens" in ended.err


def test_open_says_what_is_missing(
    indexed: Path, tmp_path: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there is no hit 50" in omnidex("search", "dogs", "--open", 50).err
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = omnidex("search", "dogs", "--open", 1)

    assert ended.code == 2
    assert "nothing here opens files" in ended.err
    with pytest.raises(UsageProblem, match="isn't there any more"):
        opening.open_file(tmp_path / "gone")


@pytest.mark.parametrize(
    ("environment", "sixel", "how"),
    [
        ({}, True, "never"),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, True, "never"),
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, True, "never"),
        ({"TERM": "xterm-kitty"}, False, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, False, "kitty"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "220401"}, False, "kitty"),
        ({"TERM": "foot"}, False, "sixel"),
        ({"TERM": "xterm-256color"}, True, "sixel"),
        ({"TERM": "xterm-256color"}, False, "never"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, False, "blocks"),
        ({"TERM": "tmux-256color", "COLORTERM": "24bit", "KITTY_WINDOW_ID": "1"}, True, "blocks"),
    ],
)
def test_the_way_is_chosen_by_what_the_terminal_says(
    environment: dict[str, str], sixel: bool, how: str
) -> None:
    assert pictures.way("auto", environment, asks=lambda: sixel) == how
    assert pictures.way("blocks", environment, asks=lambda: sixel) == "blocks"


def test_a_way_that_is_none_gets_the_nearest_or_all(indexed: Path, omnidex: Run) -> None:
    close, far = (omnidex("search", "dogs", "--thumbs", way) for way in ("Kity", "colours"))

    assert close.code == far.code == 2
    assert close.err == "Error: --thumbs doesn't know 'Kity'\nHint: did you mean kitty?\n"
    assert "Hint: use one of auto, kitty, sixel, blocks, never" in far.err


def test_pictures_never_go_into_a_pipe(indexed: Path, omnidex: Run) -> None:
    for how in ("auto", "kitty", "sixel", "blocks", "never"):
        ended = omnidex("search", "dogs", "--thumbs", how)
        assert ended.code == 0
        assert "\x1b" not in ended.out
    assert omnidex("search", "dogs", "--thumbs", "ascii").code == 2


def test_kitty_gets_the_pixels_in_chunks() -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, size=(40, 60, 3), dtype=np.uint8)

    text = pictures.kitty(pixels, columns=6, rows=2)

    chunks = re.findall(r"\x1b_G(.*?);(.*?)\x1b\\", text)
    assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in chunks) == text
    assert all(len(data) <= 4096 for _, data in chunks)
    assert [keys[-3:] for keys, _ in chunks[:-1]] == ["m=1"] * (len(chunks) - 1)
    assert chunks[-1][0].endswith("m=0")
    assert {"s=60", "v=40", "c=6", "r=2", "C=1"} <= set(chunks[0][0].split(","))
    data = decompress(base64.b64decode("".join(data for _, data in chunks)))
    np.testing.assert_array_equal(np.frombuffer(data, np.uint8).reshape(40, 60, 3), pixels)


def test_sixel_draws_the_pixels() -> None:
    pixels = np.zeros((15, 20, 3), np.uint8)
    pixels[4:, 5:] = (255, 102, 0)
    pixels[:, 12] = (0, 255, 255)

    np.testing.assert_allclose(drawn_by_sixel(pictures.sixel(pixels)), pixels, atol=2)


def test_blocks_hold_two_pixels_each() -> None:
    entry = pictures.Entry(["one", "two \x1b[31m"], picture())
    text = pictures.entry_text(entry, "blocks", width=80, cell=(10, 20))

    lines = text.splitlines()
    cells = re.findall(r"\x1b\[38;2;(\d+);(\d+);(\d+)m(?:\x1b\[48;2;[\d;]+m)?▀", lines[0])
    assert len(cells) == pictures.COLUMNS
    assert (int(cells[0][2]) > 150, int(cells[-1][0]) > 150) == (True, True)
    assert lines[0].endswith("  one")
    assert "\x1b[31m" not in text
    assert "\\x1b[31m" in text


def test_text_and_what_has_no_picture_stand_where_others_have_theirs() -> None:
    for broken in (None, b"nonsense"):
        entry = pictures.Entry(["a line"], broken)
        for how in ("kitty", "sixel", "blocks"):
            text = pictures.entry_text(entry, how, width=80, cell=(10, 20))
            assert text == " " * (pictures.COLUMNS + 2) + "a line\n\n"


def drawn_by_sixel(text: str) -> np.ndarray:
    """A decoder of its own."""
    match = re.fullmatch(r'\x1bP0;1q"1;1;(\d+);(\d+)(.*)\x1b\\', text, re.DOTALL)
    assert match is not None
    pixels = np.full((int(match[2]) + 6, int(match[1]), 3), 77.0)
    colours: dict[int, list[float]] = {}
    x = y = colour = 0
    tokens = r"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|(?:!(\d+))?([?-~])|([$-])"
    for token in re.finditer(tokens, match[3]):
        if token[1]:
            colour = int(token[1])
            if token[2]:
                colours[colour] = [int(value) * 2.55 for value in token.group(2, 3, 4)]
        elif token[6]:
            count, bits = int(token[5] or 1), ord(token[6]) - 63
            for row in range(6):
                if bits >> row & 1:
                    pixels[y + row, x : x + count] = colours[colour]
            x += count
        else:
            x = 0
            y += 6 * (token[7] == "-")
    return pixels[: int(match[2])]
