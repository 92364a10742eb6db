import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from omni_encoder.splits import (
    difference_hash,
    group_key,
    make_split,
    near_duplicates,
    read_manifest,
    split_ids,
)


def _row(i: int, source: str, label: str = "", pair: str = "") -> dict[str, object]:
    return {"id": f"i{i}", "source": source, "label": label, "pair_id": pair}


_ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["", "x", "y", "z"]), st.sampled_from(" pq")),
    max_size=40,
).map(
    lambda drawn: [
        _row(i, source, label, pair.strip()) for i, (source, label, pair) in enumerate(drawn)
    ]
)


@given(rows=_ROWS, seed=st.integers(0, 5), data=st.data())
def test_groups_and_joined_rows_never_straddle_the_split(
    rows: list[dict[str, object]], seed: int, data: st.DataObject
) -> None:
    at = st.integers(0, max(0, len(rows) - 1))
    joined = data.draw(st.lists(st.tuples(at, at), max_size=5)) if rows else []

    held = set(split_ids(rows, joined=joined, seed=seed))

    for row in rows:
        for other in rows:
            if group_key(row) == group_key(other):
                assert (row["id"] in held) == (other["id"] in held)
    for i, j in joined:
        assert (rows[i]["id"] in held) == (rows[j]["id"] in held)


def test_equal_seeds_hold_out_equal_items_and_other_seeds_others() -> None:
    rows = [_row(i, "a") for i in range(60)]

    assert split_ids(rows, seed=3) == split_ids(rows, seed=3)
    assert split_ids(rows, seed=3) != split_ids(rows, seed=4)


def test_about_the_wanted_share_of_every_source_is_held_out() -> None:
    rows = [_row(i, "a" if i < 40 else "b", label=f"l{i // 2}") for i in range(100)]

    held = {int(name[1:]) for name in split_ids(rows, fraction=0.3)}

    assert abs(sum(i < 40 for i in held) - 12) <= 1
    assert abs(sum(i >= 40 for i in held) - 18) <= 1


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, 2.0])
def test_a_fraction_outside_zero_to_one_is_a_value_error(fraction: float) -> None:
    with pytest.raises(ValueError, match="fraction must be between 0 and 1"):
        split_ids([], fraction=fraction)


@given(st.lists(st.integers(0, 63).map(lambda bit: 1 << bit) | st.integers(0, 2**64 - 1)))
def test_near_duplicates_are_all_pairs_within_the_bits_but_flat_ones(hashes: list[int]) -> None:
    expected = [
        [i, j]
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if hashes[i] and hashes[j] and (hashes[i] ^ hashes[j]).bit_count() <= 3
    ]

    assert near_duplicates(hashes) == expected


def _save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def test_a_difference_hash_says_where_an_image_brightens(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 255, 90)[None, :, None], (80, 1, 3))

    assert difference_hash(_save(tmp_path / "up.png", ramp)) == 2**64 - 1
    assert difference_hash(_save(tmp_path / "down.png", ramp[:, ::-1])) == 0


def test_a_manifest_is_split_with_its_near_duplicate_images_together(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for i in range(12):
        pixels = generator.integers(0, 256, (8, 9, 3)).repeat(8, axis=0).repeat(8, axis=1)
        for copy in range(2):
            name = f"{i}-{copy}.png"
            _save(tmp_path / name, pixels // (copy + 1))
            rows.append({"id": name, "source": "s", "modality": "image", "file": name})
    rows.append({"id": "dull", "source": "s", "modality": "image", "low_content": True})
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")

    split = make_split(manifest)

    assert len(read_manifest(manifest)) == 24
    held = split["validation"]
    assert isinstance(held, list)
    assert len(held) == 6
    assert {f"{i}-{copy}.png" for i in range(12) for copy in range(2)} > set(held)
    assert all(f"{name.split('-')[0]}-{copy}.png" in held for name in held for copy in (0, 1))
