"""Search by words: against a plain implementation, and after any updates and deletions."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from indexer import Collection, FileFilter
from indexer.entries import ContentKey, ContentRow, FileRow, FileStamp
from indexer.manifest import read_manifest
from indexer.matches import K1, B, Matches, Wanted
from indexer.reader import Reader
from indexer.rows import ItemRow
from indexer.where import combined
from indexer.words import units_of
from omni_encoder import Modality, QueryError
from omni_encoder.media import MediaInfo
from tests.toy import DIM, ToyEncoder

SPEC = ToyEncoder().spec
WORDS = ("red", "car", "beach", "dog", "night")


def caption_of(number: int, *, seed: int = 0) -> str | None:
    generator = np.random.default_rng([seed, number])
    if number % 4 == 0:
        return None
    return " ".join(generator.choice(WORDS, size=generator.integers(1, 9)))


def key_of(number: int) -> ContentKey:
    return ContentKey(f"{number:032x}"[::-1], (Modality.IMAGE, Modality.AUDIO)[number % 2])


def add(collection: Collection, captions: Mapping[int, str | None]) -> None:
    with collection.writing("test") as writer:
        for number, caption in captions.items():
            key = key_of(number)
            vector = np.random.default_rng(number).standard_normal(DIM).astype(np.float32)
            info = MediaInfo(key.modality, f"{key.modality}/x", caption=caption)
            row = ItemRow(key, 0, True, None, None, info, vector / np.linalg.norm(vector))
            writer.add([row])
            path = f"/m/{number % 3}/{number}-{'boat' if number % 10 == 0 else 'x'}.jpg".encode()
            writer.enter(FileRow(path, FileStamp(1, 1, number), key), ContentRow(key, 1, False))


def search(collection: Collection, text: str, *, share: float = 0.0, **narrow: object) -> Matches:
    view = collection.view()
    assert view is not None
    return view.matches(Wanted(units_of(text), share, None), **narrow)  # pyright: ignore[reportArgumentType]


def by_id(collection: Collection, found: Matches) -> dict[str, float]:
    records = collection.records(found.rows)
    assert [record.id for record in records] == list(found.keys)  # nothing is grouped here
    return dict(zip(found.keys, found.scores.tolist(), strict=True))


def truth(captions: Mapping[int, str | None], words: tuple[str, ...]) -> dict[str, float]:
    """BM25 by definition."""
    said = {number: (caption or "").split() for number, caption in captions.items()}
    lengths = [len(words_of) for words_of in said.values() if words_of]
    average = sum(lengths) / max(1, len(lengths))
    scores: dict[str, float] = {}
    for word in words:
        holds: dict[int, float] = {}
        for number, words_of in said.items():
            count = words_of.count(word)
            long = 1 - B + B * len(words_of) / average
            worth = count * (K1 + 1) / (count + K1 * long)
            named = word == "boat" and number % 10 == 0
            if count or named:
                holds[number] = max(worth, 1.0 if named else 0.0)
        weight = math.log(1 + (len(said) - len(holds) + 0.5) / (len(holds) + 0.5))
        for number, worth in holds.items():
            key = key_of(number)
            id = f"{key.content}.{key.modality}.0"
            scores[id] = scores.get(id, 0) + weight * worth
    return scores


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.sync.REBUILD_ROWS", 5)
    monkeypatch.setattr("indexer.sync.REBUILD_SHARE", 0.9)
    monkeypatch.setattr("indexer.sync.MEAN_DRIFT", 9.0)


@pytest.mark.usefixtures("small_limits")
def test_scores_are_bm25_over_what_is_there_after_any_updates_and_deletions(tmp_path: Path) -> None:
    captions = {number: caption_of(number) for number in range(40)}
    with Collection.create(tmp_path / "c", SPEC) as collection:
        add(collection, captions)
        search(collection, "red")  # the cache has one segment of each kind now
        later = {number: caption_of(number) for number in range(40, 50)}
        add(collection, later)
        captions |= later
        gone = [4, 9, 13, 41]
        collection.remove(
            [f"{key_of(number).content}.{key_of(number).modality}" for number in gone]
        )
        for number in gone:
            del captions[number]
        changed = {key_of(7): "night night boat", key_of(8): "dog", key_of(10): None}
        with collection.writing("test") as writer:
            for key, caption in changed.items():
                writer.set_caption(key, caption)
        captions |= {7: "night night boat", 8: "dog", 10: None}
        for text in ("red", "night dog", "boat", "beach boat car", "zebra red"):
            found = by_id(collection, search(collection, text))
            expected = truth(captions, tuple(text.split()))
            assert found == pytest.approx(expected, rel=1e-5)
            assert list(found.values()) == sorted(found.values(), reverse=True)
        entries = collection.cache_report().partitions
        assert any(one.tail for one in entries)  # not all was built anew
        amended = by_id(collection, search(collection, "night dog"))
        Reader(collection.directory).refresh(read_manifest(collection.directory), anew=True)
        collection.close()
        assert by_id(collection, search(collection, "night dog")) == amended


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    captions = {
        1: "a red car at the beach",
        2: "the car is red",
        3: "the dog at night",
        4: None,
        5: "the the the",
        10: "海滩上的狗",
    }
    collection = Collection.create(tmp_path_factory.mktemp("words") / "c", SPEC)
    add(collection, captions)
    return collection


def numbers(collection: Collection, text: str, **options: object) -> list[int]:
    found = search(collection, text, **options)  # pyright: ignore[reportArgumentType]
    return [int(key[:32][::-1], 16) for key in found.keys]


def test_a_phrase_must_stand_in_this_order(collection: Collection) -> None:
    assert sorted(numbers(collection, "red car")) == [1, 2]
    assert numbers(collection, '"red car"') == [1]
    assert numbers(collection, '"red car" dog') == [1]
    assert numbers(collection, '"car red"') == []
    assert numbers(collection, "海滩") == [10]


def test_common_words_alone_are_no_match_where_a_share_is_asked_for(collection: Collection) -> None:
    assert 5 in numbers(collection, "the dog")
    assert numbers(collection, "the dog", share=0.5) == [3]


def test_a_word_without_a_match_changes_nothing(collection: Collection) -> None:
    assert numbers(collection, "zebra dog", share=0.5) == numbers(collection, "dog", share=0.5)
    assert numbers(collection, "zebra") == []
    assert numbers(collection, '"zebra" dog') == []


def test_filters_choose_but_do_not_change_scores(collection: Collection) -> None:
    all_of = search(collection, "red car")
    within = combined(None, FileFilter(folders=(Path("/m/2"),)))
    some = search(collection, "red car", where=within)

    assert numbers(collection, "red car", where=within) == [2]
    assert some.scores[0] == all_of.scores[list(all_of.keys).index(some.keys[0])]
    assert numbers(collection, "red car", modalities=[Modality.IMAGE]) == [2]
    assert numbers(collection, "red car", where="caption LIKE '%beach%'") == [1]
    with pytest.raises(QueryError):
        search(collection, "red", where="nonsense =")


def test_an_empty_collection_has_no_view(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "c", SPEC) as empty:
        assert empty.view() is None
