import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer import Collection, Merge, Nearest, SearchMode, build, maintenance, segment
from indexer.catalogue import Catalogue
from indexer.entries import ContentKey, ContentRow, FileRow, FileStamp
from indexer.exact import centre_rows
from indexer.manifest import newest_version, read_manifest
from indexer.planner import Search, nearest
from indexer.rows import MODALITIES, ItemRow
from indexer.table import VectorTable
from indexer.where import FileFilter, combined
from omni_encoder import Modality, QueryError
from omni_encoder.media import MediaInfo
from tests.toy import DIM, ToyEncoder

SPEC = ToyEncoder().spec
EXACT = SearchMode(exact=True)


def add(collection: Collection, numbers: range, *, seed: int = 0) -> None:
    """Add items whose vectors and facts follow from their numbers."""
    generator = np.random.default_rng([seed, numbers.start])
    gaps = 1.5 * np.random.default_rng(1).standard_normal((4, DIM))
    with collection.writing("test") as writer:
        for number in numbers:
            kind = number % 3
            vector = generator.standard_normal(DIM) + gaps[kind]
            key = ContentKey(f"{number:032x}"[::-1], MODALITIES[kind])
            info = MediaInfo(key.modality, f"{key.modality}/x", width=number % 50)
            row = ItemRow(
                key=key,
                part=0,
                last=True,
                span=None,
                text=None,
                info=info,
                vector=(vector / np.linalg.norm(vector)).astype(np.float32),
            )
            writer.add([row])
            path = f"/media/{number % 7}/{number}.{'jpg' if number % 2 else 'png'}".encode()
            stamp = FileStamp(10, number * 10**9, number)
            writer.enter(FileRow(path, stamp, key), ContentRow(key, 1, partial=False))


@lru_cache(maxsize=4)
def centred(
    directory: Path, version: int | None
) -> dict[Modality, tuple[np.ndarray, np.ndarray, list[int]]]:
    """Row numbers, centred vectors and items' numbers, read from the table and nowhere else."""
    manifest = read_manifest(directory)
    table = VectorTable.open(directory, manifest.spec)
    found = {}
    for modality in Modality:
        items = table.items(modality)
        rows = centre_rows(items.vectors.astype(np.float32), manifest.mean(modality))
        numbers = [int(str(facts[1])[::-1], 16) for facts in items.facts]
        found[modality] = (items.rows, rows.astype(np.float64), numbers)
    return found


def truth(
    collection: Collection, query: np.ndarray, *, modalities: tuple[Modality, ...] | None = None
) -> dict[int, float]:
    """The score of every row by definition."""
    by_kind = centred(collection.directory, newest_version(collection.directory, SPEC))
    scores: dict[int, float] = {}
    for modality in modalities or tuple(Modality):
        rows, vectors, _ = by_kind[modality]
        products = vectors @ query.astype(np.float64)
        scores |= dict(zip(rows.tolist(), products.tolist(), strict=True))
    return scores


def check(found: Nearest, expected: dict[int, float], k: int) -> None:
    """The hits are the best of what is expected, with the right scores, and each is there once."""
    assert len(found.rows) == min(k, len(expected))
    assert len(set(found.rows.tolist())) == len(found.rows)
    best = sorted(expected.values(), reverse=True)[:k]
    np.testing.assert_allclose(found.scores, best, atol=1e-6)
    own = [expected[row] for row in found.rows.tolist()]
    np.testing.assert_allclose(found.scores, own, atol=1e-6)


def a_query(seed: int) -> np.ndarray:
    query = np.random.default_rng(seed).standard_normal(DIM)
    return (query / np.linalg.norm(query)).astype(np.float32)


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Set limits at which a few hundred items are treated like millions."""
    patch.setattr(build, "CODED_ROWS", 150)
    patch.setattr("indexer.sync.CODED_ROWS", 150)
    patch.setattr("indexer.sync.REBUILD_ROWS", 20)
    patch.setattr("indexer.sync.REBUILD_SHARE", 0.5)
    patch.setattr("indexer.sync.MEAN_DRIFT", 0.5)
    patch.setattr(segment, "EXACT_ROWS", 50)
    patch.setattr(segment, "MIN_SCANNED", 5)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """Three modalities with bases, tails and struck rows, searched by codes."""
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        directory = tmp_path_factory.mktemp("large") / "collection"
        with Collection.create(directory, SPEC) as collection:
            add(collection, range(1200))
            add(collection, range(1200, 1300))
            collection.remove([Path("/media/3")])
            yield collection


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 400),
    modalities=st.one_of(st.none(), st.sets(st.sampled_from(MODALITIES[:3]), min_size=1)),
)
def test_exact_search_is_brute_force_over_bases_tails_and_struck_rows(
    large: Collection, seed: int, k: int, modalities: set[Modality] | None
) -> None:
    kinds = None if modalities is None else tuple(sorted(modalities))
    query = a_query(seed)
    found = large.nearest(query, k=k, modalities=kinds, mode=EXACT)
    check(found, truth(large, query, modalities=kinds), k)


def test_torch_compares_every_item_with_the_same_result(large: Collection) -> None:
    manifest = read_manifest(large.directory)
    state = large._state()
    assert state is not None
    means = {modality: manifest.mean(modality) for modality in Modality}
    for seed in range(5):
        query = a_query(seed)
        found = nearest(
            state.segments, Search(query, 20, exact=True, device="torch:cpu"), means, None
        )
        check(Nearest(found.rows, found.scores), truth(large, query), 20)


def test_codes_find_nearly_all_and_score_all_of_them_exactly(large: Collection) -> None:
    parts = large.cache_report().partitions
    assert large.cache_report().current
    assert all(part.coded and part.tail and part.deleted for part in parts)
    found = hits = 0
    for seed in range(60):
        query = a_query(seed)
        expected = truth(large, query)
        answer = large.nearest(query, k=10)
        best = sorted(expected, key=lambda row: -expected[row])[:10]
        hits += len(set(best) & set(answer.rows.tolist()))
        found += 10
        own = [expected[row] for row in answer.rows.tolist()]
        np.testing.assert_allclose(answer.scores, own, atol=1e-6)
        assert np.all(np.diff(answer.scores) <= 0)
    assert hits / found >= 0.99


def filtered_equals_brute_force(
    large: Collection,
    *,
    seed: int,
    k: int,
    below: int,
    folders: set[int],
    after: int | None,
    kind: str | None,
) -> None:
    files = FileFilter(
        folders=tuple(Path(f"/media/{folder}") for folder in folders),
        types=() if kind is None else (kind,),
        after=None if after is None else float(after),
    )

    def passes(number: int) -> bool:
        modality = MODALITIES[number % 3]
        typed = {
            None: True,
            "jpg": number % 2 == 1,
            ".PNG": number % 2 == 0,
            "image/*": modality is Modality.IMAGE,
            "audio/x": modality is Modality.AUDIO,
        }[kind]
        return (
            typed
            and number % 50 < below
            and (not folders or number % 7 in folders)
            and (after is None or number >= after)
            and number % 7 != 3  # these were removed
        )

    query = a_query(seed)
    found = large.nearest(query, k=k, where=combined(f"width < {below}", files), mode=EXACT)
    everything = truth(large, query)
    numbers = [
        number
        for _, _, of_kind in centred(
            large.directory, newest_version(large.directory, SPEC)
        ).values()
        for number in of_kind
    ]
    expected = {
        row: everything[row]
        for row, number in zip(everything, numbers, strict=True)
        if passes(number)
    }
    check(found, expected, k)
    by_codes = large.nearest(query, k=k, where=combined(f"width < {below}", files))
    assert len(by_codes.rows) == len(found.rows)
    assert set(by_codes.rows.tolist()) <= set(expected)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 30),
    below=st.integers(0, 50),
    folders=st.sets(st.integers(0, 8), max_size=2),
    after=st.one_of(st.none(), st.integers(0, 1300)),
    kind=st.one_of(st.none(), st.sampled_from(["jpg", ".PNG", "image/*", "audio/x"])),
)
def test_filters_are_brute_force_over_what_passes_them(
    large: Collection,
    *,
    seed: int,
    k: int,
    below: int,
    folders: set[int],
    after: int | None,
    kind: str | None,
) -> None:
    filtered_equals_brute_force(
        large, seed=seed, k=k, below=below, folders=folders, after=after, kind=kind
    )


@pytest.mark.slow
def test_ten_thousand_filtered_queries_are_brute_force(large: Collection) -> None:
    generator = np.random.default_rng(0)
    kinds = [None, None, "jpg", ".PNG", "image/*", "audio/x"]
    for seed in range(10_000):
        filtered_equals_brute_force(
            large,
            seed=seed,
            k=int(generator.integers(1, 31)),
            below=int(generator.integers(0, 51)),
            folders=set(generator.integers(0, 9, generator.integers(0, 3)).tolist()),
            after=int(generator.integers(0, 1300)) if generator.random() < 0.5 else None,
            kind=kinds[generator.integers(len(kinds))],
        )


def test_a_wrong_filter_is_named_as_it_was_written(large: Collection) -> None:
    with pytest.raises(QueryError) as caught:
        combined("widht < 3", FileFilter(types=("jpg",)))
    assert "'widht < 3'" in caught.value.message
    assert "width" in caught.value.hint


@pytest.mark.parametrize("merge", [Merge.STANDARD, Merge.RANK])
def test_other_orders_give_the_same_scores_and_mix_the_kinds(
    large: Collection, merge: Merge
) -> None:
    query = a_query(5)
    expected = truth(large, query)
    found = large.nearest(query, k=30, mode=SearchMode(exact=True, merge=merge))
    own = [expected[row] for row in found.rows.tolist()]
    np.testing.assert_allclose(found.scores, own, atol=1e-6)
    kinds = {record.modality for record in large.records(found.rows)}
    assert len(kinds) == 3


def test_a_query_by_id_needs_neither_lance_nor_torch(large: Collection) -> None:
    [record] = large.records(large.nearest(a_query(1), k=1).rows)
    script = f"""
import sys
from pathlib import Path
from indexer import Collection
from retrieval import Query, Retriever, Term
with Retriever.open(Path({str(large.directory)!r})) as retriever:
    hits = retriever.search(Query((Term.like({record.id!r}),), where="path LIKE '%jpg'"))
assert len(hits) == 10
heavy = {{"torch", "lancedb", "lance", "pyarrow", "pandas"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.usefixtures("small_limits")
def test_changes_show_at_once_and_only_what_changed_is_written(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "c", SPEC) as collection:
        add(collection, range(600))
        bases = base_files(collection)
        add(collection, range(600, 620), seed=1)
        assert base_files(collection) == bases
        assert {part.tail for part in collection.cache_report().partitions} == {6, 7}
        collection.remove([Path("/media/0")])
        assert base_files(collection) == bases
        query = a_query(2)
        check(collection.nearest(query, k=50, mode=EXACT), truth(collection, query), 50)
        add(collection, range(620, 1200), seed=2)  # so many that a new base is due
        assert base_files(collection).isdisjoint(bases)
        assert not any(part.tail for part in collection.cache_report().partitions)
        check(collection.nearest(query, k=50, mode=EXACT), truth(collection, query), 50)


def base_files(collection: Collection) -> set[str]:
    """The files of vectors that belong to bases."""
    found = collection.directory.glob("cache/*/manifest.json")
    entries = json.loads(next(found).read_text())["manifest"]["entries"]
    return {entry["files"]["vectors"]["name"] for entry in entries if entry["base"]}


@pytest.mark.usefixtures("small_limits")
def test_whatever_happens_to_the_cache_the_answers_stay_right(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    directory = tmp_path / "c"
    with Collection.create(directory, SPEC) as collection:
        add(collection, range(600))
        add(collection, range(600, 640), seed=1)
        query = a_query(3)
        expected = truth(collection, query)
        for turn in range(24):
            files = sorted(path for path in directory.glob("cache/*/*") if path.is_file())
            victim = files[generator.integers(len(files))]
            harm(victim, turn % 4, generator)
            if turn % 2:
                collection.close()
            check(collection.nearest(query, k=20, mode=EXACT), expected, 20)
            answer = collection.nearest(query, k=20)
            own = [expected[row] for row in answer.rows.tolist()]
            np.testing.assert_allclose(answer.scores, own, atol=1e-6)


def harm(path: Path, how: int, generator: np.random.Generator) -> None:
    """Flip a byte, cut a file short, delete it, or empty it."""
    content = bytearray(path.read_bytes())
    if how == 0 and content:
        content[generator.integers(len(content))] ^= 1 << int(generator.integers(8))
        path.unlink()  # what is mapped now stays as it was
        path.write_bytes(content)
    elif how == 1:
        path.unlink()
        path.write_bytes(content[: len(content) // 2])
    elif how == 2:
        path.unlink()
    else:
        path.unlink()
        path.touch()


@pytest.mark.usefixtures("small_limits")
def test_an_earlier_state_can_be_brought_back(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "c", SPEC) as collection:
        assert maintenance.history(collection) == []
        add(collection, range(90))
        [first] = maintenance.history(collection)
        assert (first.items, first.current) == (90, True)
        add(collection, range(90, 120), seed=1)
        collection.remove([Path("/media/0")])
        assert [version.items for version in maintenance.history(collection)][-1] == 90
        query = a_query(4)
        maintenance.restore(collection, first.number)
        assert sum(collection.counts().values()) == 90
        check(collection.nearest(query, k=100, mode=EXACT), truth(collection, query), 100)
        # What has no path since is kept, for it was asked for.
        add(collection, range(120, 123), seed=2)
        assert sum(collection.counts().values()) == 93
        with pytest.raises(QueryError, match="no version 999"):
            maintenance.restore(collection, 999)
        with closing(Catalogue.open_to_read(collection.directory)) as catalogue:
            assert catalogue.clean()  # nothing was begun


def test_what_a_restore_that_was_cut_off_brought_back_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Collection.create(tmp_path / "c", SPEC) as collection:
        add(collection, range(90))
        [first] = maintenance.history(collection)
        collection.remove([Path("/media/0")])
        with monkeypatch.context() as patch:
            patch.setattr(Catalogue, "recover", cut_off)
            with pytest.raises(KeyboardInterrupt):
                maintenance.restore(collection, first.number)

        with collection.writing("index") as writer:
            writer.sweep()

        assert sum(collection.counts().values()) == 90


def cut_off(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("small_limits")
def test_optimizing_writes_everything_anew_and_keeps_the_target(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "c", SPEC) as collection:
        maintenance.optimize(collection)
        add(collection, range(600))
        add(collection, range(600, 620), seed=1)
        maintenance.optimize(collection, recall=0.9)
        parts = collection.cache_report().partitions
        assert [part.tail for part in parts] == [0, 0, 0]
        assert {part.target for part in parts} == {0.9}
        add(collection, range(620, 1300), seed=2)
        assert {part.target for part in collection.cache_report().partitions} == {0.9}
        assert maintenance.verify(collection) == 1300
        with pytest.raises(ValueError, match="recall"):
            maintenance.optimize(collection, recall=1.5)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("kind", ["facts", "rows", "live"])
def test_rot_that_no_time_stamp_shows_changes_no_answer(tmp_path: Path, kind: str) -> None:
    generator = np.random.default_rng(0)
    directory = tmp_path / "c"
    wide = "width > 25 AND path LIKE '%.jpg'"
    with Collection.create(directory, SPEC) as collection:
        add(collection, range(300))
        add(collection, range(300, 330), seed=1)
        collection.remove([Path("/media/0/7.jpg")])
        query = a_query(3)

        def answers() -> list[object]:
            collection.close()
            near = collection.nearest(query, k=400, mode=EXACT)
            collection.close()
            chosen = collection.nearest(query, k=400, where=wide)
            known = collection.records(chosen.rows, where=wide)
            collection.close()
            return [near.rows.tolist(), known, collection.get(f"{5:032x}"[::-1])]

        expected = answers()
        for turn in range(12):
            files = sorted(directory.glob(f"cache/*/{kind}-*"))
            if not files:
                assert turn
                assert kind == "live"  # written anew, a segment has no struck rows
                break
            victim = files[generator.integers(len(files))]
            status = victim.stat()
            content = bytearray(victim.read_bytes())
            start = int(generator.integers(len(content)))
            length = 1 if turn % 2 else 3000
            for place in range(start, min(start + length, len(content))):
                content[place] ^= 1 << int(generator.integers(8))
            victim.unlink()
            victim.write_bytes(content)
            os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))
            assert answers() == expected, f"turn {turn}"


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("kind", ["facts", "vectors", "rows"])
def test_rot_in_items_that_came_late_is_not_carried_on_when_more_come(
    tmp_path: Path, kind: str
) -> None:
    directory = tmp_path / "c"
    with Collection.create(directory, SPEC) as collection:
        add(collection, range(300))
        add(collection, range(300, 330), seed=1)
        for name in tails(directory, kind):
            victim = next(directory.glob(f"cache/*/{name}"))
            status, content = victim.stat(), bytearray(victim.read_bytes())
            content[len(content) // 2 :] = b"\x5a" * (len(content) - len(content) // 2)
            victim.unlink()
            victim.write_bytes(content)
            os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))
        add(collection, range(330, 336), seed=2)
        query = a_query(3)
        check(collection.nearest(query, k=400, mode=EXACT), truth(collection, query), 400)
        for number in (305, 320, 333):
            record = collection.get(f"{number:032x}"[::-1])
            assert (record.mime, record.width) == (f"{record.modality}/x", number % 50)


def tails(directory: Path, kind: str) -> list[str]:
    """The files of what came after the bases."""
    found = next(directory.glob("cache/*/manifest.json"))
    entries = json.loads(found.read_text())["manifest"]["entries"]
    return [entry["files"][kind]["name"] for entry in entries if not entry["base"]]
