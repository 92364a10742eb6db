"""Thumbnails: made when they are looked at, kept in the cache, never a reason to fail."""

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import Collection, Record, ingest
from indexer.thumbs import Thumbnails
from tests.cli.conftest import make_media
from tests.toy import DIM, ToyEncoder


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    media = tmp_path / "media"
    media.mkdir()
    make_media(media)
    collection = Collection.create(tmp_path / "collection", ToyEncoder().spec)
    ingest([media], collection, ToyEncoder())
    return collection


def records(collection: Collection) -> dict[str, Record]:
    found = collection.nearest(np.ones(DIM, np.float32), k=100)
    return {f"{one.paths[0].name}.{one.part}": one for one in collection.records(found.rows)}


def kept(collection: Collection) -> list[Path]:
    return sorted((collection.directory / "cache" / "thumbs").rglob("*.*"))


def test_every_part_but_text_has_a_picture_that_is_kept(collection: Collection) -> None:
    found = records(collection)
    thumbnails = Thumbnails(collection.directory)

    pictures = {name: thumbnails.get(record) for name, record in found.items()}

    assert {name for name, picture in pictures.items() if picture is None} == {"note.txt.0"}
    assert len(kept(collection)) == len(found) - 1
    for record in found.values():
        for path in record.paths:
            path.unlink(missing_ok=True)
    assert {name: thumbnails.get(record) for name, record in found.items()} == pictures
    with Image.open(io.BytesIO(pictures["red.png.0"] or b"")) as image:
        assert (image.format, image.size) == ("WEBP", (48, 40))


def test_the_cache_may_be_deleted_or_damaged_at_any_time(collection: Collection) -> None:
    record = records(collection)["red.png.0"]
    thumbnails = Thumbnails(collection.directory)
    picture = thumbnails.get(record)
    (path,) = kept(collection)

    for data in (b"", b"nonsense", (picture or b"")[:-1]):
        path.write_bytes(data)
        assert thumbnails.get(record) == picture
        assert path.read_bytes() == picture
    shutil.rmtree(collection.directory / "cache")
    assert thumbnails.get(record) == picture


def test_what_cannot_be_read_or_kept_fails_nothing(collection: Collection) -> None:
    record = records(collection)["red.png.0"]
    thumbs = collection.directory / "cache" / "thumbs"
    thumbs.parent.mkdir(exist_ok=True)
    thumbs.write_text("a file where a folder should be")

    assert Thumbnails(collection.directory).get(record) is not None
    record.paths[0].write_bytes(b"x" * record.bytes)
    os.utime(record.paths[0], (record.mtime, record.mtime))
    assert Thumbnails(collection.directory).get(record) is None
    record.paths[0].unlink()
    assert Thumbnails(collection.directory).get(record) is None


def test_another_file_of_that_name_is_not_shown(collection: Collection) -> None:
    record = records(collection)["red.png.0"]
    Image.new("RGB", (10, 10)).save(record.paths[0])

    assert Thumbnails(collection.directory).get(record) is None
