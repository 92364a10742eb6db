import json
from pathlib import Path

import pytest
from omnidex_benchmarks.manifest import load_items

from omni_encoder import Modality, OmniError


def write(folder: Path, rows: list[dict[str, object]]) -> Path:
    for row in rows:
        if "file" in row and not row.get("lost"):
            (folder / str(row["file"])).write_bytes(b"x")
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def image(number: int, **more: object) -> dict[str, object]:
    return {"id": f"i{number}", "modality": "image", "file": f"i{number}.png", **more}


def test_a_row_becomes_an_item_and_what_is_not_said_gets_a_default(tmp_path: Path) -> None:
    full = image(0, captions=["a", " "], source="s", label="l", pair_id="p", caption_kind="k")

    items = load_items(write(tmp_path, [full, image(1)]))

    assert items[0].modality is Modality.IMAGE
    assert items[0].path == tmp_path / "i0.png"
    assert (items[0].captions, items[0].source) == (("a",), "s")
    assert (items[0].label, items[0].pair_id, items[0].caption_kind) == ("l", "p", "k")
    assert (items[1].captions, items[1].label, items[1].pair_id) == ((), None, None)
    assert items[1].source == items[1].caption_kind == "unknown"


def test_items_of_low_content_and_items_outside_the_split_are_left_out(tmp_path: Path) -> None:
    manifest = write(tmp_path, [image(0), image(1, low_content=True), image(2)])
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"validation": ["i1", "i2", "unheard-of"]}))

    assert [item.id for item in load_items(manifest)] == ["i0", "i2"]
    assert [item.id for item in load_items(manifest, split=split)] == ["i2"]


def test_a_limit_spreads_over_the_manifest_for_each_modality(tmp_path: Path) -> None:
    sounds = [{"id": f"a{i}", "modality": "audio", "file": f"a{i}.wav"} for i in range(2)]
    manifest = write(tmp_path, [image(i) for i in range(9)] + sounds)

    ids = [item.id for item in load_items(manifest, limit=3)]

    assert ids == ["i0", "i3", "i6", "a0", "a1"]
    with pytest.raises(ValueError, match="limit must be at least 1"):
        load_items(manifest, limit=0)


def test_missing_files_are_one_error_that_counts_them_and_shows_one(tmp_path: Path) -> None:
    manifest = write(tmp_path, [image(0), image(1, lost=True), image(2, lost=True)])

    with pytest.raises(OmniError, match=r"2 of 3 files .* missing, such as .*i1\.png") as caught:
        load_items(manifest)

    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "can't be read as a manifest"),
        ("[1]\n", "can't be read as a manifest"),
        ('{"id": "x", "modality": "image"}\n', "isn't complete: 'file'"),
        ('{"id": "x", "modality": "smell", "file": "x"}\n', "'smell'"),
        ('{"id": "x", "modality": "image", "file": "x", "captions": "no"}\n', "must be a list"),
        ("", "no item is in"),
    ],
)
def test_a_broken_manifest_is_explained(tmp_path: Path, text: str, message: str) -> None:
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text(text)

    with pytest.raises(OmniError, match=message):
        load_items(manifest)


@pytest.mark.parametrize("text", ["{", "[]", '{"training": []}', '{"validation": 3}'])
def test_a_broken_split_is_explained(tmp_path: Path, text: str) -> None:
    split = tmp_path / "split.json"
    split.write_text(text)

    with pytest.raises(OmniError, match="split"):
        load_items(write(tmp_path, [image(0)]), split=split)


def test_a_split_of_another_manifest_is_explained(tmp_path: Path) -> None:
    split = tmp_path / "split.json"
    split.write_text('{"validation": ["z"]}')

    with pytest.raises(OmniError, match=r"no item is in .* and in the split"):
        load_items(write(tmp_path, [image(0)]), split=split)


def test_an_absent_manifest_or_split_is_explained(tmp_path: Path) -> None:
    with pytest.raises(OmniError, match="can't be read as a manifest"):
        load_items(tmp_path / "none.jsonl")
    with pytest.raises(OmniError, match="can't be read as a split"):
        load_items(write(tmp_path, [image(0)]), split=tmp_path / "none.json")
