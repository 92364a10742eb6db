"""The table: what is taken out of it, and how its rows are told apart."""

from pathlib import Path

import numpy as np
import pytest

from indexer.catalogue import ContentKey
from indexer.rows import MODALITIES, ItemRow
from indexer.sums import without
from indexer.table import VectorTable
from omni_encoder import Modality
from omni_encoder.media import MediaInfo
from tests.toy import DIM, ToyEncoder

SPEC = ToyEncoder().spec


def key_of(number: int) -> ContentKey:
    return ContentKey(f"{number:032x}", MODALITIES[number % 2])


def rows_of(number: int, parts: int) -> list[ItemRow]:
    generator = np.random.default_rng(number)
    key = key_of(number)
    return [
        ItemRow(
            key=key,
            part=part,
            last=part == parts - 1,
            span=None,
            text="a text",
            info=MediaInfo(key.modality, f"{key.modality}/x"),
            vector=generator.standard_normal(DIM).astype(np.float32),
        )
        for part in range(parts)
    ]


@pytest.fixture
def table(tmp_path: Path) -> VectorTable:
    """Ten contents of one to ten parts, in as many pieces, and one of 700 parts."""
    table = VectorTable.open(tmp_path, SPEC, create=True)
    for number in range(10):
        table.append(rows_of(number, number + 1))
    table.append(rows_of(10, 700))
    return table


@pytest.mark.parametrize("numbers", [[], [3], [99], [0, 3, 8], [3, 10], list(range(11))])
def test_what_is_taken_out_is_what_is_missing_then(table: VectorTable, numbers: list[int]) -> None:
    before = table.sums()
    gone = table.take_out([key_of(number) for number in numbers])
    sizes = {number: number + 1 for number in range(10)} | {10: 700}
    expected = sum(sizes.get(number, 0) for number in numbers)
    assert sum(items for items, _ in gone.values()) == expected
    assert len(table.row_stamps().rows) == 755 - expected
    after, left = table.sums(), without(before, gone)
    assert after.keys() == left.keys()
    for modality, (items, total) in after.items():
        assert left[modality][0] == items
        np.testing.assert_array_equal(left[modality][1], total)
    complete, broken = table.inventory()
    assert {row.key for row in complete} == {key_of(one) for one in sizes.keys() - set(numbers)}
    assert not broken


def test_a_row_keeps_its_number_and_is_stamped_when_it_changes(table: VectorTable) -> None:
    before = table.row_stamps()
    assert before.in_order
    table.set_captions({key_of(4): "a caption"})
    table.compact(most=1)
    after = table.row_stamps()
    np.testing.assert_array_equal(before.rows, after.rows)
    np.testing.assert_array_equal(before.kinds, after.kinds)
    assert (before.updated != after.updated).sum() == 5
    assert after.updated.max() > before.updated.max()


def test_an_empty_table_has_no_rows(tmp_path: Path) -> None:
    table = VectorTable.open(tmp_path, SPEC, create=True)
    stamps = table.row_stamps()
    assert not len(stamps.rows)
    assert not len(stamps.of(Modality.TEXT))
    assert not table.sums()
    assert not table.take_out([key_of(0)])
