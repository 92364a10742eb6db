from pathlib import Path

import faiss
import numpy as np
import pytest

from indexer import Collection
from indexer.transfer import Form, bring_in, export, read_flat
from omni_encoder import CollectionError, MediaError
from tests.toy import ToyEncoder
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
        assert bring_in(target, collection, form) == 64
        assert everything(collection) == before
        assert bring_in(target, collection, form) == 0


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
