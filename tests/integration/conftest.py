"""What the tests of ingest start from: some media, an encoder and an empty collection."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer import Collection
from tests.toy import ToyEncoder
from tests.unit.indexer.folders import write_folder


@pytest.fixture
def encoder() -> ToyEncoder:
    return ToyEncoder()


@pytest.fixture
def media(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "media", texts=10, images=6, sounds=2)


@pytest.fixture
def collection(tmp_path: Path, encoder: ToyEncoder) -> Iterator[Collection]:
    with Collection.create(tmp_path / "collection", encoder.spec) as collection:
        yield collection
