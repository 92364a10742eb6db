import sqlite3

import pytest

from indexer.where import COLUMNS, FACTS, Filter
from omni_encoder import QueryError

VIDEO, IMAGE, TEXT = "aa" * 16, "bb" * 16, "cc" * 16


def facts(content: str, modality: str, **known: object) -> tuple[object, ...]:
    values = {"content": content, "modality": modality, "part": 0, **known}
    return tuple(values.get(name) for name in FACTS)


@pytest.fixture(scope="module")
def items() -> Filter:
    return Filter(
        [
            facts(VIDEO, "video", duration=12.5, start_s=0.0, end_s=10.0),
            facts(VIDEO, "video", duration=12.5, start_s=10.0, end_s=12.5, part=1),
            facts(IMAGE, "image", width=640, height=480, caption="a dog"),
            facts(TEXT, "text", text="It's a (strange) text"),
        ],
        [
            (VIDEO, "video", b"/media/holiday/beach.mp4", 1000, 86_400 * 10**9),
            (VIDEO, "audio", b"/media/sound.mp4", 1000, 86_400 * 10**9),
            (IMAGE, "image", b"/media/holiday/caf\xe9.jpg", 50, 0),
            (IMAGE, "image", b"/media/copy.jpg", 50, 0),
        ],
    )


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
    items: Filter, where: str, positions: list[int]
) -> None:
    assert items.positions(where).tolist() == positions


@pytest.mark.parametrize(
    "where",
    [
        "",
        "durration < 3",
        "duration <",
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
def test_anything_but_an_expression_over_the_columns_is_refused(items: Filter, where: str) -> None:
    with pytest.raises(QueryError) as caught:
        items.positions(where)
    assert all(column in caught.value.hint for column in COLUMNS)
    assert items.positions("1").tolist() == [0, 1, 2, 3]


def test_sqlite_has_the_functions_that_are_allowed() -> None:
    assert sqlite3.sqlite_version_info >= (3, 38)  # unixepoch
