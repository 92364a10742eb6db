import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_encoder import MediaError, MediaLayout, Modality
from omni_encoder import media_vector as vector
from omni_encoder.media import MediaInfo, open_media

LAYOUT = MediaLayout(image_pixels=64)
HEAD = '<svg xmlns="http://www.w3.org/2000/svg"'


def read(path: Path) -> tuple[MediaInfo, np.ndarray]:
    info, (item,) = open_media(path, LAYOUT)
    assert item.modality is Modality.IMAGE
    assert isinstance(item.content, np.ndarray)
    return info, item.content


def write(path: Path, attributes: str, inside: str, *, before: str = "") -> Path:
    path.write_text(f"{before}{HEAD} {attributes}>{inside}</svg>", encoding="utf-8")
    return path


def reason(path: Path) -> str:
    with pytest.raises(MediaError) as caught:
        open_media(path, LAYOUT)
    return caught.value.reason


def test_a_drawing_is_drawn_at_the_wanted_size_on_white(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.svg",
        'viewBox="0 0 40 20"',
        "<title>A red &amp; white flag</title><rect width='20' height='20' fill='#ff0000'/>",
        before='<?xml version="1.0"?><!-- a --><!-- b --><!DOCTYPE svg>\n',
    )

    info, pixels = read(path)

    assert (info.mime, info.width, info.height) == ("image/svg+xml", 40, 20)
    assert info.title == "A red & white flag"
    assert pixels.shape == (64, 128, 3)
    assert pixels[32, 10].tolist() == [255, 0, 0]
    assert pixels[32, 120].tolist() == [255, 255, 255]


def test_a_drawing_is_known_by_its_content(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", 'width="8" height="8"', "<rect width='8' height='8'/>")

    assert read(path)[1].max() == 0


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('width="30" height="60"', (30, 60)),
        ('width="1in" height="25.4mm"', (96, 96)),
        ("width='10' viewBox='0 0 100 50'", (10, 5)),
        ('height="10px" viewBox="0,0,100,50"', (20, 10)),
        ('width="100%" height="100%" viewBox="-5 -5 100 50"', (100, 50)),
        ('stroke-width="3" viewBox="0 0 8 4"', (8, 4)),
        ('width="0" height="50"', None),
        ("", None),
        ('viewBox="0 0 nan 3"', None),
    ],
)
def test_its_size_is_what_its_root_says(attributes: str, expected: tuple[int, int] | None) -> None:
    sheet = vector.measure(f"{HEAD} {attributes}></svg>")

    assert (sheet and (sheet.width, sheet.height)) == (expected and pytest.approx(expected))


@settings(deadline=None)
@given(text=st.text('<svg width="1" height="2e9 viewBox=\'0,0>%/', max_size=120))
def test_measuring_survives_any_text(text: str) -> None:
    sheet = vector.measure(text)

    assert sheet is None or (sheet.width > 0 and sheet.height > 0)


def test_a_drawing_that_claims_to_be_endless_is_drawn_small(tmp_path: Path) -> None:
    wide = write(tmp_path / "wide.svg", 'width="1000000" height="1"', "<rect/>")
    huge = write(tmp_path / "huge.svg", 'width="100000" height="100000"', "<circle r='90000'/>")

    assert read(wide)[1].shape[1] <= 8 * 64
    assert read(huge)[1].shape == (64, 64, 3)
    assert read(huge)[0].width == 100_000


def test_a_drawing_with_words_in_it_draws_them(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.svg", 'width="64" height="64"', "<text y='50' font-size='60'>MM</text>"
    )

    assert read(path)[1].shape == (64, 64, 3)


@pytest.mark.parametrize("inside", ["<rect", "<rect></circle>", "<text>&unknown;</text>"])
def test_a_drawing_that_makes_no_sense_is_damaged(tmp_path: Path, inside: str) -> None:
    assert reason(write(tmp_path / "a.svg", 'width="8" height="8"', inside)) == "damaged"


def test_a_bomb_of_entities_is_damaged(tmp_path: Path) -> None:
    entities = '<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in pairwise("abcdefghij")
    )
    bomb = write(tmp_path / "a.svg", "", "<text>&j;</text>", before=f"<!DOCTYPE svg [{entities}]>")

    assert reason(bomb) == "damaged"


def test_a_drawing_that_was_cut_does_not_decode(tmp_path: Path) -> None:
    path = write(tmp_path / "a.svg", 'width="8" height="8"', "<rect/>" * 50)
    path.write_bytes(path.read_bytes()[:200])

    assert reason(path) == "truncated"


def test_a_renderer_that_dies_or_hangs_takes_nothing_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.svg", 'width="8" height="8"', "<rect/>")
    child = tmp_path / "media_svg.py"
    monkeypatch.setattr(vector, "CHILD", child)
    monkeypatch.setattr(vector, "SECONDS", 0.3)

    child.write_text("import os; os.abort()", encoding="utf-8")
    assert reason(path) == "damaged"
    child.write_text("import sys; sys.exit('memory allocation of 9 bytes failed')", "utf-8")
    assert reason(path) == "too_large"
    child.write_text("import time; time.sleep(30)", encoding="utf-8")
    assert reason(path) == "timed_out"
    child.write_text("import sys; sys.exit(3)", encoding="utf-8")
    assert reason(path) == "unsupported"


def test_a_file_that_is_too_large_to_draw_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector, "MAX_SVG_BYTES", 100)

    assert reason(write(tmp_path / "a.svg", 'width="8"', "<rect/>" * 30)) == "too_large"


def test_the_child_imports_little_beside_the_renderer() -> None:
    code = (
        "import sys; sys.argv = ['x', '8', '8', '5']; import runpy\n"
        f"try:\n    runpy.run_path({str(vector.CHILD)!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'PIL', 'omni_encoder'} & set(sys.modules)), file=sys.stderr)"
    )

    shown = subprocess.run(
        [sys.executable, "-P", "-c", code],
        input=f"{HEAD} width='8' height='8'><rect/></svg>",
        capture_output=True,
        text=True,
        errors="replace",
        check=True,
    )

    assert shown.stderr.strip() == "[]"


@pytest.mark.parametrize("unit", ["mm", "pt", "in"])
def test_sizes_in_print_units_are_drawn(tmp_path: Path, unit: str) -> None:
    path = write(tmp_path / "a.svg", f'width="40{unit}" height="20{unit}"', "<rect width='9'/>")

    info, pixels = read(path)

    assert info.width is not None
    assert pixels.shape[1] == pytest.approx(2 * pixels.shape[0], rel=0.05)
