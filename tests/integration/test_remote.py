"""A collection in an object store, on an S3 server that is started here, for several machines."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import Collection, SearchMode, ingest
from indexer.entries import ContentKey, ContentRow, FileRow, FileStamp
from indexer.item_codes import CodesReport, codes_due, codes_of, drop_codes, keep_codes
from indexer.remote import STATE_NAME, Remote, _alive, mirror, remote_of, uri_of
from indexer.rows import ItemRow
from indexer.table import VectorTable
from omni_encoder import CollectionError, Modality
from omni_encoder.media import MediaInfo
from tests.toy import DIM, ToyEncoder
from tests.toy_coder import ToyCoder

ROOT = Path(__file__).parents[2]
SPEC = ToyEncoder().spec
EXACT = SearchMode(exact=True)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("moto") is None, reason="moto isn't installed: pip install -e '.[dev]'"
)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as server:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5):
                    break
            except OSError:
                time.sleep(0.1)
        yield address
        server.terminate()


@pytest.fixture
def uri(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "somebody"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ENDPOINT", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("XDG_CACHE_HOME", str(tmp_path / "one")),
    ):
        monkeypatch.setenv(name, value)
    from pyarrow import fs

    bucket = tmp_path.name.replace("_", "-").lower()[-40:].strip("-")
    fs.S3FileSystem(endpoint_override=endpoint, allow_bucket_creation=True).create_dir(bucket)
    return f"s3://{bucket}/photos"


def add(collection: Collection, numbers: range) -> None:
    with collection.writing("test") as writer:
        for number in numbers:
            key = ContentKey(f"{number:032x}", Modality.IMAGE)
            info = MediaInfo(key.modality, "image/x")
            if key not in writer.catalogue:
                writer.add([ItemRow(key, 0, True, None, None, info, vector_of(number))])
            file = FileRow(f"/media/{number}".encode(), FileStamp(1, 1, number + 1), key)
            writer.enter(file, ContentRow(key, 1, partial=False))


def vector_of(number: int) -> np.ndarray:
    vector = np.random.default_rng(number).standard_normal(DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def paths(collection: Collection, number: int, k: int = 3) -> list[str]:
    found = collection.nearest(vector_of(number), k=k, mode=EXACT, query_modality=Modality.IMAGE)
    return [str(record.paths[0]) for record in collection.records(found.rows)]


def test_another_machine_sees_what_one_wrote_and_the_other_way_round(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Collection.create(uri, SPEC)
    assert one.counts() == {}
    add(one, range(30))
    assert paths(one, 7)[0] == "/media/7"

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "two"))
    two = Collection.open(uri)
    assert two.directory != one.directory
    assert not (two.directory / "lance").exists()
    assert paths(two, 7) == paths(one, 7)
    assert two.counts() == {Modality.IMAGE: 30}

    add(two, range(30, 40))
    assert paths(one, 33)[0] == "/media/33"  # open all the while
    two.remove([Path("/media/7")])
    assert "/media/7" not in paths(one, 7, k=40)
    assert one.counts() == {Modality.IMAGE: 39}
    assert (
        len(
            paths(
                one,
                7,
                k=100,
            )
        )
        == 39
    )


def test_one_machine_writes_at_a_time_and_a_dead_one_of_ours_is_followed(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Collection.create(uri, SPEC)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "two"))
    two = Collection.open(uri)
    being_written = f"written by process {os.getpid()}.*index"
    with one.writing("index"), pytest.raises(CollectionError, match=being_written):
        add(two, range(3))
    add(two, range(3))
    assert paths(one, 1)[0] == "/media/1"


def test_what_a_killed_writer_appended_is_neither_lost_nor_doubled(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Collection.create(uri, SPEC) as one:
        add(one, range(5))
    script = f"""
import os, signal
from indexer import Collection
from tests.integration.test_remote import add
collection = Collection.open({uri!r})
with collection.writing("index") as writer:
    writer.finish, done = lambda **_: os.kill(os.getpid(), signal.SIGKILL), writer.commit
    writer.commit = lambda: (done(), os.kill(os.getpid(), signal.SIGKILL))
    collection.writing = lambda _: __import__("contextlib").nullcontext(writer)
    add(collection, range(5, 9))
    writer.commit()
"""
    killed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "two"))
    with Collection.open(uri) as two:
        add(two, range(12, 13))
        with two.writing("index") as writer:
            writer.sweep()  # what is of files that only the killed one has seen stays
        assert two.counts() == {Modality.IMAGE: 10}
        add(two, range(5, 12))
        assert sorted(paths(two, 1, k=100)) == sorted(f"/media/{n}" for n in range(13))


def test_a_reader_does_not_touch_the_catalogue_that_a_writer_has(uri: str) -> None:
    with Collection.create(uri, SPEC) as one:
        add(one, range(5))
        pushed = Remote(uri).read(STATE_NAME)
        with one.writing("index") as writer:
            key = ContentKey(f"{5:032x}", Modality.IMAGE)
            row = ItemRow(key, 0, True, None, None, MediaInfo(key.modality, "x"), vector_of(5))
            writer.add([row])
            writer.enter(
                FileRow(b"/media/5", FileStamp(1, 1, 6), key), ContentRow(key, 1, partial=False)
            )
            writer.commit()
            Remote(uri)._write(STATE_NAME, b'{"version": 1, "push": "between two steps"}')
            with Collection.open(uri) as reader:
                assert paths(reader, 5)[0] == "/media/5"
            assert key in writer.catalogue
        assert Remote(uri).read(STATE_NAME) not in (None, pushed)
        assert sorted(paths(one, 1, k=100)) == [f"/media/{n}" for n in range(6)]


def test_readers_that_begin_at_once_do_not_disturb_each_other(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Collection.create(uri, SPEC) as one:
        add(one, range(5))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "two"))
    with ThreadPoolExecutor(8) as pool:
        directories = set(pool.map(mirror, [uri] * 16))
    (directory,) = directories
    assert Collection.open(directory).counts() == {Modality.IMAGE: 5}
    assert not [path for path in directory.iterdir() if path.suffix in (".new", ".fetched")]


def test_of_two_who_make_a_collection_at_once_one_does(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = mirror(uri)  # where there is nothing yet
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "two"))
    with Collection.create(uri, SPEC) as first:
        add(first, range(5))
        pushed = Remote(uri).read(STATE_NAME)
        monkeypatch.setattr("indexer.collection.located", Path)
        with pytest.raises(CollectionError, match="is a collection already"):
            Collection.create(late, SPEC)
        assert Remote(uri).read(STATE_NAME) == pushed
        assert first.counts() == Collection.open(late).counts() == {Modality.IMAGE: 5}


def test_a_store_that_fails_under_a_writer_is_named_but_hides_no_other_error(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lancedb

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the network is down")

    with monkeypatch.context() as patch:
        patch.setattr("lancedb.db.LanceDBConnection.drop_table", fail)
        with pytest.raises(KeyError), Remote(uri).held("index"):
            raise KeyError
        with pytest.raises(CollectionError, match="network is down"), Remote(uri).held("index"):
            pass
    with monkeypatch.context() as patch:
        patch.setattr(lancedb, "connect", fail)
        with pytest.raises(CollectionError, match="can't reach s3://"), Remote(uri).held("index"):
            pass


def test_a_lock_with_the_number_of_our_own_process_is_a_dead_ones_unless_we_have_it(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lancedb

    Remote(uri)._take(lancedb.connect(f"{uri}/lock"), "index")
    with (
        Remote(uri).held("index"),
        pytest.raises(CollectionError, match="is being written"),
        Remote(uri).held("index"),
    ):
        pass
    monkeypatch.setattr("sys.platform", "win32")
    assert _alive(os.getpid())


def test_a_lock_that_goes_away_while_it_is_looked_at_is_taken(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lancedb.db import LanceDBConnection

    make, calls = LanceDBConnection.create_table, []

    def late(self: LanceDBConnection, *given: object, **named: object) -> object:
        calls.append(given)
        if len(calls) == 1:
            raise ValueError("Table 'writer' already exists")
        return make(self, *given, **named)

    monkeypatch.setattr(LanceDBConnection, "create_table", late)
    with Remote(uri).held("index"):
        assert len(calls) == 2


def test_messages_name_the_uri_and_not_the_folder_that_stands_for_it(uri: str) -> None:
    with pytest.raises(CollectionError) as caught:
        Collection.open(uri)
    assert str(caught.value.message) == f"there is no collection in {uri}"
    assert f"omnidex index -c {uri} FOLDER" in caught.value.hint
    with Collection.create(uri, SPEC) as one, one.writing("index"):
        assert one.place == uri
        with Collection.open(uri) as other, pytest.raises(CollectionError) as caught:
            add(other, range(1))
        assert f"the collection in {uri} is being written" in caught.value.message


def test_a_table_that_cannot_be_reached_is_no_damaged_folder(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the network is down")

    with Collection.create(uri, SPEC) as one:
        add(one, range(3))
        monkeypatch.setattr("indexer.table.open_database", fail)
        with pytest.raises(CollectionError, match=r"can't reach s3://.*network is down"):
            VectorTable.open(one.directory, SPEC)


def test_a_store_that_is_not_there_is_named(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(CollectionError, match="can't reach s3://") as caught:
        Collection.open(f"{uri}-elsewhere")
    assert "AWS_ENDPOINT_URL" in caught.value.hint


def test_the_commands_take_a_uri(uri: str, tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    for name in ("a red boat", "a green tree", "the blue sea"):
        (tmp_path / "media" / f"{name[-4:].strip()}.txt").write_text(f"{name}\n")
    command = [sys.executable, "-c", "from omnidex_cli.app import run; run()"]
    indexed = subprocess.run(
        [*command, "index", "-c", uri, str(tmp_path / "media"), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert indexed.returncode == 0, indexed.stderr
    assert json.loads(indexed.stdout)["collection"] == uri
    found = subprocess.run(
        [*command, "search", "-c", uri, "a boat", "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "two")},
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout.splitlines()[0])


def test_a_uri_is_known_however_it_is_written(tmp_path: Path) -> None:
    assert uri_of("s3://bucket/a/b/") == uri_of(Path("s3://bucket/a/b")) == "s3://bucket/a/b"
    assert uri_of(tmp_path) is None
    assert remote_of(tmp_path) is None
    assert mirror.__module__ == "indexer.remote"


def test_codes_lie_in_the_store_and_other_machines_read_them(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = tmp_path / "media"
    media.mkdir()
    Image.new("RGB", (20, 20), "red").save(media / "red.png")
    with Collection.create(uri, SPEC) as collection:
        ingest([media], collection, ToyEncoder())
        assert keep_codes(collection, ToyCoder) == CodesReport(added=1)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "two"))
    with Collection.open(uri) as other:
        records = other.records(other.nearest(vector_of(0), k=1).rows)
        assert not codes_due(other)
        assert list(codes_of(other, records)) == [records[0].id]
        assert drop_codes(other)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one"))
    with Collection.open(uri) as again:
        assert again.codes is None
