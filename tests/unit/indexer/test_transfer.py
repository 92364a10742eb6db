import json
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest

from indexer import Collection, ingest
from indexer.reading import hash_file
from indexer.transfer import Form, Imported, bring_in, export, read_flat
from omni_encoder import CollectionError, MediaError, Modality
from tests.toy import ToyEncoder
from tests.unit.indexer.folders import write_text
from tests.unit.indexer.test_collection import fill, rows_of

SPEC = ToyEncoder().spec


def everything(collection: Collection) -> dict[str, tuple[object, ...]]:
    found = collection.nearest(np.ones(SPEC.dim, np.float32), k=1000)
    return {
        record.id: (record.span, record.text, record.mime, record.duration, tuple(vector.tolist()))
        for record in collection.records(found.rows)
        for vector in [np.round(collection.vector_of(record.id), 3)]
    }


@pytest.mark.parametrize("form", list(Form))
def test_what_is_exported_comes_back_the_same(tmp_path: Path, form: Form) -> None:
    target = tmp_path / "exported"
    with Collection.create(tmp_path / "one", SPEC) as collection:
        fill(collection, rows_of(1, 64))
        before = everything(collection)
        assert export(collection, target, form) == len(before) == 64
        with pytest.raises(CollectionError, match="exists"):
            export(collection, target, form)
    with Collection.create(tmp_path / "two", SPEC) as collection:
        assert bring_in(target, collection, form).items == 64
        assert everything(collection) == before
        assert bring_in(target, collection, form).items == 0


def test_faiss_opens_what_is_written_and_its_flat_files_are_read(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    for index in (faiss.IndexFlatIP(8), faiss.IndexFlatL2(8)):
        index.add(vectors)
        faiss.write_index(index, str(tmp_path / "theirs.faiss"))
        np.testing.assert_array_equal(read_flat(tmp_path / "theirs.faiss"), vectors)
    with Collection.create(tmp_path / "one", SPEC) as collection:
        fill(collection, rows_of(1, 16))
        export(collection, tmp_path / "ours", Form.FAISS)
    for path in (tmp_path / "ours").glob("*.faiss"):
        opened = faiss.read_index(str(path))
        assert (opened.d, opened.metric_type) == (SPEC.dim, faiss.METRIC_INNER_PRODUCT)
        np.testing.assert_array_equal(opened.reconstruct_n(0, opened.ntotal), read_flat(path))


def test_files_that_are_not_sound_are_refused_and_nothing_is_added(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    index = faiss.index_factory(SPEC.dim, "HNSW8")
    with Collection.create(tmp_path / "one", SPEC) as collection:
        for name, content in {
            "another kind": None,
            "cut short": b"IxFI" + bytes(40),
            "not finite": np.full((1, SPEC.dim), np.nan, np.float32),
            "another length": np.ones((1, SPEC.dim + 1), np.float32),
            "too few facts": np.ones((2, SPEC.dim), np.float32),
        }.items():
            path = folder / "image.faiss"
            if content is None:
                faiss.write_index(index, str(path))
            elif isinstance(content, bytes):
                path.write_bytes(content)
            else:
                flat = faiss.IndexFlatIP(content.shape[1])
                flat.add(content)
                faiss.write_index(flat, str(path))
            (folder / "image.jsonl").write_text('{"modality": "image"}\n')
            with pytest.raises(CollectionError):
                bring_in(folder, collection, Form.FAISS)
            assert not collection.counts(), name
        with pytest.raises(MediaError, match="no file"):
            bring_in(tmp_path / "nothing", collection, Form.NUMPY)


@pytest.mark.parametrize("form", list(Form))
def test_texts_with_any_line_separator_come_back(tmp_path: Path, form: Form) -> None:
    said = ["one\u2028two", "three\x85four", "five\x0b\x0c\x1c\r\nsix"]
    with Collection.create(tmp_path / "one", SPEC) as collection:
        rows = [replace(row, text=text) for row, text in zip(rows_of(1, 8), said, strict=False)]
        fill(collection, rows)
        before = everything(collection)
        export(collection, tmp_path / "exported", form)
    with Collection.create(tmp_path / "two", SPEC) as collection:
        assert bring_in(tmp_path / "exported", collection, form).items == 3
        assert everything(collection) == before


@pytest.mark.parametrize("form", list(Form))
def test_an_empty_collection_is_exported_and_comes_back_empty(tmp_path: Path, form: Form) -> None:
    with Collection.create(tmp_path / "one", SPEC) as collection:
        assert export(collection, tmp_path / "exported", form) == 0
    with Collection.create(tmp_path / "two", SPEC) as collection:
        assert bring_in(tmp_path / "exported", collection, form).items == 0
        assert not collection.counts()


def write_given(folder: Path, facts: list[dict[str, object]]) -> Path:
    """A folder of vectors that somebody else has written."""
    folder.mkdir()
    vectors = np.random.default_rng(0).standard_normal((len(facts), SPEC.dim))
    np.save(folder / "any.npy", vectors.astype(np.float32))
    (folder / "any.jsonl").write_text("".join(json.dumps(one) + "\n" for one in facts))
    return folder


def test_an_item_that_is_given_twice_is_taken_once(tmp_path: Path) -> None:
    parts = [{"modality": "image", "content": "a" * 32, "part": part} for part in (0, 1, 0, 1)]
    folder = write_given(tmp_path / "given", parts)
    with Collection.create(tmp_path / "one", SPEC) as collection:
        assert bring_in(folder, collection, Form.NUMPY) == Imported(items=2, incomplete=0)
        assert {record.part for record in map(collection.get, ["aaaa.0", "aaaa.1"])} == {0, 1}


@pytest.mark.parametrize(
    "parts",
    [
        [{"part": 0, "parts": 3}, {"part": 1, "parts": 3}],  # the last one is missing
        [{"part": 0}, {"part": 2}],
        [{"part": 1, "parts": 2}],
    ],
)
def test_a_content_of_which_parts_are_missing_is_left_out_and_indexed_later(
    tmp_path: Path, parts: list[dict[str, object]]
) -> None:
    text = write_text(tmp_path / "long.txt", 1, words=150)
    of_text = {"modality": "text", "content": hash_file(text)}
    other = {"modality": "image", "content": "a" * 32}
    folder = write_given(tmp_path / "given", [of_text | part for part in parts] + [other])
    with Collection.create(tmp_path / "one", SPEC) as collection:
        assert bring_in(folder, collection, Form.NUMPY) == Imported(items=1, incomplete=1)
        report = ingest([text], collection, ToyEncoder())
        assert (report.encoded, report.reused) == (1, 0)
        assert collection.counts()[Modality.TEXT] == report.items > 2


@pytest.mark.parametrize(
    "wrong",
    [{"width": 10**12}, {"height": -(2**40)}, {"part": 2**31}, {"width": float("inf")}],
)
def test_numbers_beyond_a_column_are_refused_by_name(
    tmp_path: Path, wrong: dict[str, object]
) -> None:
    folder = write_given(tmp_path / "given", [{"modality": "image"}, {"modality": "image"} | wrong])
    with (
        Collection.create(tmp_path / "one", SPEC) as collection,
        pytest.raises(CollectionError, match="can't be understood"),
    ):
        bring_in(folder, collection, Form.NUMPY)


def test_a_modality_that_the_encoder_has_not_is_refused(tmp_path: Path) -> None:
    spec = replace(SPEC, modalities=(Modality.TEXT, Modality.IMAGE))
    folder = write_given(tmp_path / "given", [{"modality": "audio"}])
    with (
        Collection.create(tmp_path / "one", spec) as collection,
        pytest.raises(CollectionError, match="audio"),
    ):
        bring_in(folder, collection, Form.NUMPY)


def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "given", [{"modality": "image"}])
    path = folder / "any.npy"
    shape, larger = f"(1, {SPEC.dim})".encode(), b"(99999999999999, 32)"
    content = path.read_bytes().replace(shape, larger)
    path.write_bytes(content.replace(b" " * (len(larger) - len(shape)) + b"\n", b"\n", 1))
    with (
        Collection.create(tmp_path / "one", SPEC) as collection,
        pytest.raises(CollectionError, match="can't be read as numpy"),
    ):
        bring_in(folder, collection, Form.NUMPY)


def test_what_could_not_be_written_whole_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with Collection.create(tmp_path / "one", SPEC) as collection:
        fill(collection, rows_of(1, 8))
        for form, name in {Form.PARQUET: "pq.write_table", Form.NUMPY: "np.save"}.items():
            with monkeypatch.context() as patch:
                patch.setattr(f"indexer.transfer.{name}", full)
                with pytest.raises(CollectionError, match="No space"):
                    export(collection, tmp_path / "exported", form)
            assert [path.name for path in tmp_path.iterdir()] == ["one"]
            assert export(collection, tmp_path / "exported", form) == 8
            (tmp_path / "exported").rename(tmp_path / "one" / str(form))
