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


def test_the_readme_has_the_figures_of_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8").split("<!-- table: directions -->")[1]
    measured = {row[0]: row for row in _rows(page.split("<!-- end -->")[0])}
    readme = (ROOT / "README.md").read_text(encoding="utf-8").split("## Numbers")[1]
    rows = _rows(readme.split("\n## ")[0])

    assert len(rows) == 6
    for what, counts, *figures in rows:
        row = measured[what.split(",")[0].replace(" to ", " → ")]
        assert counts.replace(",", "") == f"{row[1]} / {row[2]}"
        wanted = [row[3], row[4].split(" / ")[0], row[6]]
        assert figures == [figure.strip("* ").removeprefix("0") for figure in wanted]


def _rows(page: str) -> list[list[str]]:
    """Cells of a table's rows, without its heading and the stars around the best."""
    lines = [line for line in page.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines[1:]]
