import json
import re
import time
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from omni_encoder import MediaError, MediaLayout, Modality
from omni_encoder import media_html as media_html_module
from omni_encoder.media import MediaInfo, open_media
from omni_encoder.media_html import html_text
from omni_encoder.media_passages import count_words, passages

LAYOUT = MediaLayout(passage_words=8)
TEXTS = st.text(
    st.one_of(
        st.sampled_from(list("abc .!?\n\t\r\"')»\u00a0\u3002\uff01\u300d\u6f22\u5b57\u304b\u00e9")),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=300,
)


def read(path: Path, layout: MediaLayout = LAYOUT) -> tuple[MediaInfo, list[str]]:
    info, items = open_media(path, layout)
    parts = list(items)
    assert all(item.modality is info.modality is Modality.TEXT for item in parts)
    assert [item.part for item in parts] == list(range(len(parts)))
    assert all(item.span is None for item in parts)
    return info, [str(item.content) for item in parts]


def reason(path: Path) -> str:
    with pytest.raises(MediaError) as caught:
        read(path)
    return caught.value.reason


@settings(deadline=None)
@given(text=TEXTS, words=st.integers(1, 12), cuts=st.lists(st.integers(0, 300), max_size=6))
@example(text="x" * 200 + " y", words=2, cuts=[64, 70])
@example(text="a\n" + " " * 50 + "\nb. c", words=3, cuts=[1, 2, 3, 20])
def test_passages_lose_no_word_keep_the_order_and_are_never_too_long(
    text: str, words: int, cuts: list[int]
) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    chunks = [text[start:end] for start, end in pairwise(edges)]

    found = list(passages(chunks, words=words))

    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(1 <= count_words(passage) <= words for passage in found)
    assert all(passage == passage.strip() for passage in found)
    assert found == list(passages([text], words=words))
    if all(len(word) <= 64 and word.isascii() for word in text.split()):
        assert " ".join(found).split() == text.split()


def test_passages_hold_whole_sentences_where_they_fit() -> None:
    text = "One two three. Four five six seven! Eight? Nine ten eleven twelve. Thirteen"

    assert list(passages([text], words=8)) == [
        "One two three. Four five six seven! Eight?",
        "Nine ten eleven twelve. Thirteen",
    ]


def test_a_sentence_that_is_too_long_is_cut_between_words() -> None:
    assert list(passages(["one two three four five six seven. Eight nine."], words=3)) == [
        "one two three",
        "four five six",
        "seven. Eight nine.",
    ]


def test_a_blank_line_ends_a_sentence_and_a_line_break_does_not() -> None:
    heading = "A heading\n\nand then some\ntext that goes on"

    assert list(passages([heading], words=7)) == ["A heading", "and then some text that goes on"]


def test_ideographs_count_as_words_and_their_full_stops_end_sentences() -> None:
    text = "\u6771\u4eac\u3078\u884c\u304f\u3002\u96e8\u3067\u3059\u3002"

    assert list(passages([text], words=7)) == [text[:6], text[6:]]


def test_passages_need_room_for_a_word() -> None:
    with pytest.raises(ValueError, match="words"):
        list(passages(["a"], words=0))


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "iso-8859-1"]
)
@pytest.mark.parametrize("suffix", [".txt", ".md", ".html"])
def test_every_usual_encoding_is_read(tmp_path: Path, encoding: str, suffix: str) -> None:
    text = "Grüße aus Köln, très bien, mañana."
    path = tmp_path / f"a{suffix}"
    path.write_bytes(text.encode(encoding))

    assert read(path)[1] == [text]


def test_utf_16_without_a_usual_order_is_read_by_its_mark(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xfe\xff" + "höher".encode("utf-16-be"))

    assert read(tmp_path / "a.txt")[1] == ["höher"]


def test_a_character_cut_in_two_at_the_end_spoils_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("word für".encode()[:-2])

    assert read(tmp_path / "a.txt")[1] == ["word f\ufffd"]


@pytest.mark.parametrize("suffix", [".txt", ".md", ".html"])
@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)) * 4,
        np.random.default_rng(0).bytes(5000),
        b"text at first\n" * 2000 + bytes(4000),
        b"\xff\xfe" + np.random.default_rng(1).bytes(4001),
        "Русский текст в старой кодировке".encode("cp1251"),
        b"\x81\x8d\x8f" * 30,
    ],
    ids=["all bytes", "random", "zeros far in", "marked", "another alphabet", "unused"],
)
def test_binary_data_are_no_text(tmp_path: Path, suffix: str, data: bytes) -> None:
    (tmp_path / f"a{suffix}").write_bytes(data)

    assert reason(tmp_path / f"a{suffix}") == "not_text"


def test_a_stray_control_character_does_not_make_a_text_binary(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"A log line\x00 and another one\x01\n" * 9 + b"word " * 900)

    found = read(tmp_path / "a.txt")[1]

    assert found[0] == "A log line and another one A log"
    assert not any(re.search(r"[\x00-\x08]", passage) for passage in found)


@pytest.mark.parametrize("suffix", [".txt", ".md", ".html", ".jsonl"])
@pytest.mark.parametrize("data", [b" \n\t \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
def test_nothing_but_blanks_is_empty(tmp_path: Path, suffix: str, data: bytes) -> None:
    (tmp_path / f"a{suffix}").write_bytes(data)

    assert reason(tmp_path / f"a{suffix}") == "empty"


def test_texts_that_begin_like_another_format_are_texts(tmp_path: Path) -> None:
    for number, start in enumerate(("BM", "GIF89a", "RIFF", "ID3", "OggS", "fLaC", "The free é")):
        path = tmp_path / f"{number}.txt"
        path.write_bytes(f"{start} is how this begins".encode("cp1252"))
        assert read(path)[1] == [f"{start} is how this begins"]


def test_markdown_has_its_first_heading_for_a_title(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("---\nx: 1\n---\n\n## Not *that*\n# The title #\n", "utf-8")

    assert read(tmp_path / "a.md")[0].title == "The title"


PAGE = """<!DOCTYPE html><html><head><title> Birds &amp;\n bees </title>
<style>p { color: red }</style><script>if (a < b) { document.write("<p>no</p>") }</script></head>
<body><!-- not this --><h1>Gar<b>den</b></h1><p>A robin&nbsp;sings.<br>Loudly &#38; long.</p>
<ul><li>one</li><li>two</li></ul><template><p>never</p></template>
<noscript>Turn scripts on</noscript><table><tr><td>a</td><td>b</td></tr></table>
<img alt="no" src="x"></body></html>"""


def test_a_page_gives_its_words_without_markup_scripts_and_styles(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(PAGE, encoding="utf-8")

    info, found = read(tmp_path / "a.html", MediaLayout(passage_words=80))

    assert info.title == "Birds & bees"
    assert found == ["Birds & bees Garden A robin sings. Loudly & long. one two a b"]


@settings(deadline=None)
@given(cuts=st.lists(st.integers(0, len(PAGE)), max_size=8))
def test_a_page_reads_the_same_however_it_arrives(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(PAGE)]
    chunks = [PAGE[start:end] for start, end in pairwise(edges)]

    assert "".join(html_text(chunks)).split() == "".join(html_text([PAGE])).split()


def test_a_heading_that_repeats_the_title_is_read_once(tmp_path: Path) -> None:
    page = "<title>Garden\n birds</title><body><h1>Garden birds</h1><p>Garden birds</p><p>sing"
    (tmp_path / "a.html").write_text(page)
    (tmp_path / "b.html").write_text("<p>ding</p><p>ding</p><title>late</title><p>dong")
    (tmp_path / "c.html").write_text("<title>Birds</title>")

    found = [read(tmp_path / name)[1] for name in ("a.html", "b.html", "c.html")]

    assert found == [["Garden birds Garden birds sing"], ["ding ding late dong"], ["Birds"]]
    for size in range(1, len(page)):
        cut = [page[at : at + size] for at in range(0, len(page), size)]
        assert "".join(html_text(cut)).split() == found[0][0].split()


def test_a_page_says_its_own_encoding(tmp_path: Path) -> None:
    page = '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251"><p>Привет'
    (tmp_path / "a.html").write_bytes(page.encode("cp1251"))

    assert read(tmp_path / "a.html")[1] == ["Привет"]


@pytest.mark.parametrize("piece", ["<!--", "<a ", "<?", "</a ", "<![CDATA[", "<", "&", "<script>"])
def test_hostile_markup_takes_no_quadratic_time(tmp_path: Path, piece: str) -> None:
    (tmp_path / "a.html").write_text("<p>words</p>" + piece * 100_000, encoding="utf-8")

    before = time.process_time()
    found = read(tmp_path / "a.html")[1]

    assert found[0].startswith("words")
    assert time.process_time() - before < 3


def test_a_tag_that_never_ends_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_html_module, "MAX_OPEN_CHARS", 1000)
    (tmp_path / "a.html").write_text("<p>words<p x='" + "y" * 3_000_000, encoding="utf-8")

    assert reason(tmp_path / "a.html") == "damaged"


def test_each_line_of_captions_is_a_part(tmp_path: Path) -> None:
    rows: list[object] = [
        {"text": "A red bus"},
        {"caption": "A boat"},
        {"captions": ["A cat", "A pet"]},
        "A plain string",
        {"text": "  ", "caption": "Not blank"},
        {"other": 1},
        {"text": "lone \ud800 surrogate"},
    ]
    lines = "\r\n".join(json.dumps(row) for row in rows)
    (tmp_path / "a.jsonl").write_text("\ufeff" + lines + "\n\n", encoding="utf-8")

    info, found = read(tmp_path / "a.jsonl")

    assert info.mime == "application/jsonl"
    assert found == [
        "A red bus",
        "A boat",
        "A cat",
        "A plain string",
        "Not blank",
        "lone ? surrogate",
    ]


def test_a_long_caption_has_several_parts(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "word " * 20}), encoding="utf-8")

    assert [len(part.split()) for part in read(tmp_path / "a.jsonl")[1]] == [8, 8, 4]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("not json", "damaged"),
        ('\n{"text": "b', "truncated"),
        ('not json\n{"other": 1}\n', "damaged"),
        ('{"other": 1}\n[]\n3\n', "empty"),
        ("[" * 100_000, "damaged"),
        ('{"text": "' + "a" * 1_100_000 + '"}', "too_large"),
    ],
)
def test_captions_that_cannot_be_read_say_why(tmp_path: Path, lines: str, expected: str) -> None:
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")

    assert reason(tmp_path / "a.jsonl") == expected


@pytest.mark.parametrize(
    "bad", ["not json\n", "[" * 100_000 + "\n", "a" * 2_200_000 + "\n", '{"text": "b'], ids=len
)
@pytest.mark.parametrize("is_first", [False, True])
def test_a_bad_line_is_left_out_and_makes_the_file_partial(
    tmp_path: Path, bad: str, *, is_first: bool
) -> None:
    good = ['{"text": "a red bus"}\n', '{"text": "a boat"}\n']
    is_last = not bad.endswith("\n")
    lines = [bad, *good] if is_first and not is_last else [good[0], bad, good[1]]
    if is_last:
        lines = [*good, bad]
    (tmp_path / "a.jsonl").write_text("".join(lines), encoding="utf-8")

    info, found = read(tmp_path / "a.jsonl")

    assert found == ["a red bus", "a boat"]
    assert info.partial


def test_lines_without_a_caption_do_not_make_the_file_partial(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"other": 1}\n"  "\n\n"a bus"', encoding="utf-8")

    info, found = read(tmp_path / "a.jsonl")

    assert found == ["a bus"]
    assert not info.partial


@pytest.mark.parametrize("name", ["a.txt", "a.html"])
def test_a_long_text_is_never_held_as_a_whole(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("w", encoding="utf-8") as file:
        for _ in range(60):
            file.write("Some words of a sentence.\n" * 8000)
    size = path.stat().st_size

    tracemalloc.start()
    _, items = open_media(path, MediaLayout(passage_words=80))
    first = [next(items) for _ in range(300)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(first) == 300
    assert size > 12_000_000
    assert peak < 6_500_000  # a few chunks of a megabyte
