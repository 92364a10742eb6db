"""`omnidex dupes`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from .conftest import Ended

Run = Callable[..., Ended]


def test_duplicates_are_listed_in_lines_in_json_and_on_a_page(
    media: Path, tmp_path: Path, omnidex: Run
) -> None:
    shutil.copy2(media / "red.png", media / "<copy>.png")
    assert omnidex("index", media).code == 0

    plain = omnidex("dupes", "--html", tmp_path / "sheet.html")
    as_json = json.loads(omnidex("dupes", "--exact", "--json").out)

    assert plain.code == 0
    lines = [line.split("\t") for line in plain.out.splitlines()]
    assert {(number, alike, Path(path).name) for number, alike, _, path in lines} == {
        ("1", "exact", "red.png"),
        ("1", "exact", "<copy>.png"),
    }
    (group,) = as_json["groups"]
    assert (group["likeness"], group["modality"], len(group["copies"])) == ("exact", "image", 2)
    page = (tmp_path / "sheet.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2
    assert "&lt;copy&gt;.png" in page
    assert "<copy>" not in page


def test_no_duplicates_is_nothing_found(indexed: Path, omnidex: Run) -> None:
    ended = omnidex("dupes", "--exact")

    assert (ended.code, ended.out) == (1, "")
    assert "No duplicates" in ended.err
