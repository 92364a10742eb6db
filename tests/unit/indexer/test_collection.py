from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer import Collection, Nearest, Record
from indexer.entries import ContentKey, ContentRow, FileRow, FileStamp
from indexer.manifest import REFERENCE_WEIGHT
from indexer.rows import ItemRow
from indexer.table import VectorTable
from omni_encoder import CollectionError, EncoderMismatchError, Modality, QueryError, Span
from omni_encoder.media import MediaInfo
from tests.toy import DIM, ToyEncoder

SPEC = ToyEncoder().spec
ITEMS = 240
REFERENCE = np.random.default_rng(9).standard_normal((4, DIM)).astype(np.float32) * 0.1


def rows_of(seed: int, number: int) -> list[ItemRow]:
    """Contents of one or two parts, of all modalities, whose vectors are often the same."""
    generator = np.random.default_rng(seed)
    pool = generator.standard_normal((number // 6, DIM))
    # A gap between modalities, as real encoders have it.
    gaps = 2 * generator.standard_normal((4, DIM))
    rows: list[ItemRow] = []
    for i in range(number):
        kind = i // 2 % 4
        vector = pool[generator.integers(len(pool))] + gaps[kind]
        parts = 1 + i // 8 % 2
        modality = tuple(Modality)[kind]
        rows.append(
            ItemRow(
                key=ContentKey(f"{i - i % parts:032x}"[::-1], modality),
                part=i % parts,
                last=i % parts == parts - 1,
                span=Span(i, i + 1) if kind >= 2 else None,
                text=f"passage {i}" if kind == 0 else None,
                info=MediaInfo(modality, f"{modality}/x", duration=float(i) if kind >= 2 else None),
                vector=(vector / np.linalg.norm(vector)).astype(np.float32),
            )
        )
    return rows


def fill(collection: Collection, rows: list[ItemRow]) -> None:
    with collection.writing("test") as writer:
        for row in rows:
            writer.add([row])
            if row.last:
                path = f"/media/{row.key.modality}/{row.key.content[:6]}.x".encode()
                file = FileRow(path, FileStamp(10, 20 * 10**9, 30), row.key)
                writer.enter(file, ContentRow(row.key, row.part + 1, partial=row.info.partial))
            if writer.waiting()[0] >= 50:
                writer.commit()


@pytest.fixture(scope="module")
def rows() -> list[ItemRow]:
    return rows_of(0, ITEMS)


@pytest.fixture(scope="module")
def collection(
    rows: list[ItemRow], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Collection]:
    directory = tmp_path_factory.mktemp("collections") / "full"
    with Collection.create(directory, SPEC, means=REFERENCE) as collection:
        fill(collection, rows)
        yield collection


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def expected_scores(
    rows: list[ItemRow], query: np.ndarray, query_modality: Modality | None
) -> np.ndarray:
    """The definition, in double precision and without any code of ours."""
    stored = np.stack([row.vector for row in rows]).astype(np.float16).astype(np.float64)
    means = {}
    for number, modality in enumerate(Modality):
        own = stored[[row.key.modality is modality for row in rows]]
        total = own.sum(axis=0) + REFERENCE_WEIGHT * REFERENCE[number].astype(np.float64)
        means[modality] = total / (len(own) + REFERENCE_WEIGHT)
    centred = unit(stored - np.stack([means[row.key.modality] for row in rows]))
    asked = unit(query.astype(np.float64))
    if query_modality is not None:
        asked = unit(asked - means[query_modality])
    return centred @ asked


@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, ITEMS + 10),
    modalities=st.one_of(st.none(), st.sets(st.sampled_from(Modality)).map(tuple)),
    longest=st.one_of(st.none(), st.integers(-1, ITEMS)),
    query_modality=st.one_of(st.none(), st.sampled_from(Modality)),
    known=st.booleans(),
)
def test_nearest_equals_brute_force_with_ties_means_and_filters(
    collection: Collection,
    rows: list[ItemRow],
    *,
    seed: int,
    k: int,
    modalities: tuple[Modality, ...] | None,
    longest: int | None,
    query_modality: Modality | None,
    known: bool,
) -> None:
    generator = np.random.default_rng(seed)
    query = rows[seed % ITEMS].vector if known else generator.standard_normal(DIM)
    query = query.astype(np.float32)
    where = None if longest is None else f"duration < {longest} AND path LIKE '/media/%'"
    found = collection.nearest(
        query, k=k, modalities=modalities, where=where, query_modality=query_modality
    )

    chosen = [
        i
        for i, row in enumerate(rows)
        if (modalities is None or row.key.modality in modalities)
        and (longest is None or (row.info.duration is not None and row.info.duration < longest))
    ]
    scores = expected_scores(rows, query, query_modality)
    assert len(found.rows) == len(found.scores) == min(k, len(chosen))
    # Rows are numbered in the order in which they were written.
    assert set(found.rows.tolist()) <= set(chosen)
    np.testing.assert_allclose(found.scores, scores[found.rows], atol=2e-6)
    np.testing.assert_allclose(found.scores, np.sort(scores[chosen])[::-1][:k], atol=2e-6)
    # Best first, and by row number where scores are equal; equal vectors have equal scores.
    assert [*zip(-found.scores, found.rows, strict=True)] == sorted(
        zip(-found.scores, found.rows, strict=True)
    )
    best = {(rows[row].key.modality, rows[row].vector.tobytes()): s for row, s in pairs(found)}
    assert all(best[rows[r].key.modality, rows[r].vector.tobytes()] == s for r, s in pairs(found))


def pairs(found: Nearest) -> Iterator[tuple[int, float]]:
    return zip(found.rows.tolist(), found.scores.tolist(), strict=True)


def test_k_more_hits_begin_with_the_same_hits(collection: Collection) -> None:
    query = np.ones(DIM, np.float32)
    every = collection.nearest(query, k=ITEMS)
    for k in (1, 2, 7, 100):
        np.testing.assert_array_equal(collection.nearest(query, k=k).rows, every.rows[:k])


def test_centring_lets_modalities_be_compared(tmp_path: Path) -> None:
    rows = rows_of(6, 80)
    vectors = np.stack([row.vector for row in rows])
    kinds = [row.key.modality for row in rows]
    means = np.stack([vectors[np.array(kinds) == kind].mean(axis=0) for kind in Modality])
    with Collection.create(tmp_path / "collection", SPEC, means=means) as collection:
        fill(collection, rows)
        found = collection.nearest(vectors[0], k=20, query_modality=Modality.TEXT).rows
    raw = np.argsort(-vectors @ vectors[0])[:20]
    assert kinds[0] is Modality.TEXT
    assert {kinds[i] for i in raw} == {Modality.TEXT}
    assert {kinds[i] for i in found} == set(Modality)


def test_records_say_what_was_entered(collection: Collection, rows: list[ItemRow]) -> None:
    chosen = np.array([5, 0, 100, 5])
    for number, record in zip(chosen, collection.records(chosen), strict=True):
        row = rows[number]
        assert record == Record(
            id=f"{row.key.content}.{row.key.modality}.{row.part}",
            content=row.key.content,
            modality=row.key.modality,
            part=row.part,
            span=row.span,
            mime=row.info.mime,
            paths=(Path(f"/media/{row.key.modality}/{row.key.content[:6]}.x"),),
            title=None,
            caption=None,
            text=row.text,
            width=None,
            height=None,
            duration=row.info.duration,
            bytes=10,
            mtime=20.0,
        )
    with pytest.raises(ValueError, match="no row 999"):
        collection.records(np.array([3, 999]))


def test_ids_may_be_shortened_as_long_as_they_are_unique(
    collection: Collection, rows: list[ItemRow]
) -> None:
    one, two = rows[8], rows[9]  # two parts of one content
    assert one.key == two.key
    digits = one.key.content
    assert collection.get(digits).part == 0
    assert collection.get(digits[:8].upper()).id == f"{digits}.{one.key.modality}.0"
    assert collection.get(f"{digits[:8]}.1").part == 1
    assert collection.get(f"{digits}.{one.key.modality}.1").part == 1
    for record in collection.records(np.arange(0, ITEMS, 7)):
        assert collection.get(record.short_id) == record
        assert collection.get(record.id) == record


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("abc", "not an id"),
        ("xyzw", "not an id"),
        ("0'000", "not an id"),
        ("ffffffff", "no item has the id"),
    ],
)
def test_ids_that_stand_for_nothing_are_refused(
    collection: Collection, id: str, message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        collection.get(id)


def test_an_id_that_stands_for_several_names_them(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "collection", SPEC) as collection:
        rows = [row for row in rows_of(1, 40) if row.last and row.part == 0]
        alike = [
            ItemRow(
                key=ContentKey("abcd" + row.key.content[:28], row.key.modality),
                part=0,
                last=True,
                span=None,
                text=None,
                info=row.info,
                vector=row.vector,
            )
            for row in rows
        ]
        fill(collection, alike)
        with pytest.raises(QueryError, match=r"begins with abcd: abcd.* and others") as caught:
            collection.get("abcd")
        assert caught.value.hint


def test_vectors_come_back_as_unit_rows(collection: Collection, rows: list[ItemRow]) -> None:
    for row in rows[:5]:
        vector = collection.vector_of(f"{row.key.content}.{row.part}")
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(vector, row.vector, atol=1e-3)


def test_what_no_vector_can_be_is_refused(collection: Collection) -> None:
    for vector in (np.zeros(DIM), np.full(DIM, np.nan), np.full(DIM, np.inf), np.ones(DIM + 1)):
        with pytest.raises(ValueError, match="a vector must"):
            collection.nearest(vector.astype(np.float32), k=1)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        collection.nearest(np.ones(DIM, np.float32), k=0)


def test_a_malformed_filter_names_the_columns(collection: Collection) -> None:
    with pytest.raises(QueryError) as caught:
        collection.nearest(np.ones(DIM, np.float32), k=1, where="duratoin < 3")
    assert "duratoin" in caught.value.message
    assert "duration" in caught.value.hint


def test_a_reader_sees_each_commit_at_its_next_question(tmp_path: Path) -> None:
    rows = rows_of(2, 80)
    query = np.ones(DIM, np.float32)
    with (
        Collection.create(tmp_path / "collection", SPEC) as collection,
        Collection.open(tmp_path / "collection") as reader,
    ):
        assert len(reader.nearest(query, k=100).rows) == 0
        assert reader.records(np.zeros(0, np.int64)) == []
        assert reader.counts() == {}
        fill(collection, rows[:40])
        first = reader.nearest(query, k=100)
        assert len(first.rows) == 40
        fill(collection, rows[40:])
        second = reader.nearest(query, k=100, where="path LIKE '%'")
        assert len(second.rows) == 80
        assert sum(reader.counts().values()) == 80
        # The means have moved with the items.
        np.testing.assert_allclose(
            second.scores, collection.nearest(query, k=100).scores, atol=1e-7
        )
        with collection.writing("test") as writer:
            writer.catalogue.forget(path for path in writer.catalogue.files_under([b"/media/text"]))
            writer.sweep()
        kinds = [record.modality for record in reader.records(reader.nearest(query, k=100).rows)]
        assert set(kinds) == set(Modality) - {Modality.TEXT}


def test_row_numbers_stay_when_others_are_deleted_and_merged(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "collection", SPEC) as collection:
        fill(collection, rows_of(3, 80))
        ids = {record.id: row for row, record in enumerate(collection.records(np.arange(80)))}
        collection.remove([Path("/media/image")])
        VectorTable.open(collection.directory, SPEC)._table.optimize()
        found = collection.nearest(np.ones(DIM, np.float32), k=100)
        assert len(found.rows) == 60
        for row, record in zip(found.rows, collection.records(found.rows), strict=True):
            assert ids[record.id] == row


def test_partial_contents_are_listed_as_problems(tmp_path: Path) -> None:
    [row] = rows_of(4, 12)[:1]
    info = MediaInfo(Modality.TEXT, "text/plain", partial=True)
    cut = ItemRow(row.key, 0, last=True, span=None, text="x", info=info, vector=row.vector)
    with Collection.create(tmp_path / "collection", SPEC) as collection:
        fill(collection, [cut])
        [problem] = collection.problems()
        assert problem.reason == "partial"


def test_a_collection_needs_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(CollectionError, match=r"holds other files, such as photo\.jpg"):
        Collection.create(tmp_path, SPEC)
    with pytest.raises(CollectionError, match="no collection"):
        Collection.open(tmp_path)
    Collection.create(tmp_path / "new" / "one", SPEC).close()
    with pytest.raises(CollectionError, match="already"):
        Collection.create(tmp_path / "new" / "one", SPEC)
    (tmp_path / "new" / "one" / "omnidex.json").unlink()
    # A creation that was cut off can be done again.
    Collection.open_or_create(tmp_path / "new" / "one", SPEC).close()
    with pytest.raises(CollectionError, match="can't make"):
        Collection.create(tmp_path / "photo.jpg" / "below", SPEC)


def test_an_encoder_of_the_same_size_is_still_another_encoder(tmp_path: Path) -> None:
    other = ToyEncoder(seed=1).spec
    with Collection.open_or_create(tmp_path / "collection", SPEC) as collection:
        collection.check_encoder(SPEC)
        assert collection.spec == SPEC
        assert collection.directory == tmp_path / "collection"
        with pytest.raises(EncoderMismatchError) as caught:
            Collection.open_or_create(tmp_path / "collection", other)
    assert SPEC.fingerprint[:8] in caught.value.message
    # Of the same name: it is no help to say that one isn't the other.
    assert "weights" in caught.value.message
    assert "omnidex index -c NEW" in caught.value.hint
    assert "old checkpoint" in caught.value.hint
    renamed = ToyEncoder(name="another", seed=1).spec
    with (
        Collection.open(tmp_path / "collection") as collection,
        pytest.raises(EncoderMismatchError) as caught,
    ):
        collection.check_encoder(renamed)
    assert "weights" not in caught.value.message
    assert f"--encoder {SPEC.name}" in caught.value.hint
