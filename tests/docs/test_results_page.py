"""docs/results.md holds what the raw results beside it say."""

import re
from pathlib import Path

import pytest
from omnidex_benchmarks.measured import names, newest, table_of
from omnidex_benchmarks.tables import TRAINING, kept_tables, marked, training_table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "results.md"
RAW = ROOT / "docs" / "results"
MEASURED = [name for name in marked(PAGE) if name in names() and newest(RAW, name)]


@pytest.mark.parametrize("name", MEASURED)
def test_a_table_of_the_page_is_that_of_its_raw_result(name: str) -> None:
    (table,) = kept_tables([name], RAW).values()

    assert f"<!-- table: {name} -->\n\n{table}\n\n<!-- end -->" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MEASURED)
def test_every_row_has_a_cell_for_each_heading_and_no_raw_result_names_a_folder(name: str) -> None:
    document = newest(RAW, name)
    assert document is not None
    table = table_of(document)
    assert table is not None

    headings, rows = table
    assert rows
    assert {len(row) for row in rows} == {len(headings)}
    for file in RAW.glob(f"*/{name}-*.json"):
        assert not re.search(r'"(?:\w+:)?[/~\\]', file.read_text(encoding="utf-8"))


def test_what_the_generating_half_is_worth_is_what_its_file_says() -> None:
    assert f"<!-- table: {TRAINING} -->\n\n{training_table()}\n" in PAGE.read_text(encoding="utf-8")
