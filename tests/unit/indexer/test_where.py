import os
import sqlite3
from pathlib import Path

import pytest

from indexer.catalogue import Catalogue
from indexer.entries import ContentKey, FileRow, FileStamp
from indexer.facts import FactsFile, write_facts
from indexer.where import COLUMNS, FACTS, Condition, FileFilter
from omni_encoder import Modality, QueryError

VIDEO, IMAGE, TEXT = "aa" * 16, "bb" * 16, "cc" * 16


def facts(content: str, modality: str, **known: object) -> tuple[object, ...]:
    values = {"content": content, "modality": modality, "part": 0, **known}
    return tuple(values.get(name) for name in FACTS)


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> FactsFile:
    directory = tmp_path_factory.mktemp("items")
    catalogue = Catalogue.open_to_write(directory)
    stamps = [
        (b"/media/holiday/beach.mp4", FileStamp(1000, 86_400 * 10**9, 1), VIDEO, Modality.VIDEO),
        (b"/media/sound.mp4", FileStamp(1000, 86_400 * 10**9, 2), VIDEO, Modality.AUDIO),
        (b"/media/holiday/caf\xe9.jpg", FileStamp(50, 0, 3), IMAGE, Modality.IMAGE),
        (b"/media/copy.jpg", FileStamp(50, 0, 4), IMAGE, Modality.IMAGE),
    ]
    catalogue.record([FileRow(p, s, ContentKey(content, m)) for p, s, content, m in stamps], [])
    catalogue.close()
    write_facts(
        [
            facts(VIDEO, "video", duration=12.5, start_s=0.0, end_s=10.0),
            facts(VIDEO, "video", duration=12.5, start_s=10.0, end_s=12.5, part=1),
            facts(IMAGE, "image", width=640, height=480, caption="a dog"),
            facts(TEXT, "text", text="It's a (strange) text"),
        ],
        directory / "facts",
    )
    return FactsFile(directory / "facts", directory)


@pytest.mark.parametrize(
    ("where", "positions"),
    [
        ("modality='video' AND duration<30 AND path LIKE '%holiday%'", [0, 1]),
        ("path LIKE '%holiday%'", [0, 1, 2]),
        ("path LIKE '%copy%' AND width > 600", [2]),
        ("path IS NULL", [3]),
        ("path LIKE '%sound%'", []),
        ("start_s >= 10", [1]),
        ("text LIKE '%(strange)%' -- a comment", [3]),
        ("text = 'It''s a (strange) text'", [3]),
        ("caption GLOB '*dog*' OR part = 1", [1, 2]),
        ("bytes < 100 and lower(modality) in ('image', 'text')", [2]),
        ("date(mtime, 'unixepoch') = '1970-01-02'", [0, 1]),
        ("width / 0 > 1", []),
        ("1", [0, 1, 2, 3]),
    ],
)
def test_expressions_choose_items_each_once(
    items: FactsFile, where: str, positions: list[int]
) -> None:
    assert items.positions(Condition(where)).tolist() == positions


def test_a_folder_or_file_whose_name_is_not_utf8_narrows_a_search(items: FactsFile) -> None:
    name = os.fsdecode(b"/media/holiday/caf\xe9.jpg")
    for path, positions in {Path(name): [2], Path("/media/holiday"): [0, 1, 2]}.items():
        expression = FileFilter(folders=(path,)).expression()
        assert expression is not None
        assert items.positions(Condition(expression)).tolist() == positions


@pytest.mark.parametrize(
    "where",
    [
        "",
        "durration < 3",
        "duration <",
        "1) OR (1",
        "1 LIMIT 1",
        "1) UNION SELECT 5 WHERE (1",
        "position IN (SELECT position FROM items)",
        "1; DROP TABLE items",
        "1) ; DELETE FROM items WHERE (1",
        "randomblob(1000000000) IS NULL",
        "load_extension('x')",
        "readfile('/etc/passwd') IS NULL",
        "(SELECT 1 FROM sqlite_master)",
        "rowid = 1",
        "count(*) > 1",
        "path = '\x00'",
        "path = '\ud800'",
        "(" * 2000 + "1" + ")" * 2000,
    ],
)
def test_anything_but_an_expression_over_the_columns_is_refused(
    items: FactsFile, where: str
) -> None:
    with pytest.raises(QueryError) as caught:
        Condition(where)
    assert all(column in caught.value.hint for column in COLUMNS)
    assert items.positions(Condition("1")).tolist() == [0, 1, 2, 3]


def test_sqlite_has_the_functions_that_are_allowed() -> None:
    assert sqlite3.sqlite_version_info >= (3, 38)  # unixepoch
