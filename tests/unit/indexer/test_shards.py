"""What shards bring is what one process would have brought, however it is cut and repeated."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from indexer import Collection, IngestOptions, ingest
from indexer.entries import FileRow, FileStamp
from indexer.shard_writer import EngineError, ShardWriter
from indexer.shards import Chunk, Shard, encode_shard, plan_shards
from indexer.types import Tally
from tests.toy import ToyEncoder
from tests.unit.indexer.folders import Item, items_of, settle, write_folder, write_text

OPTIONS = IngestOptions(batch_items=4, commit_rows=8, decode_threads=1)


def stamps(folder: Path) -> dict[bytes, FileStamp]:
    from indexer.scan import scan

    return dict(scan([folder]).files)


def chunks_of(shard: Shard, collection: Collection) -> Iterator[Chunk]:
    encoder = ToyEncoder()
    return encode_shard(shard, collection.spec, lambda: encoder, set(), remotes=(), options=OPTIONS)


def add_copies(media: Path) -> None:
    whole = (media / "a" / "image000.png").read_bytes()
    for number in (0, 1):
        settle(_written(media / f"copy{number}.png", whole))
    settle(_written(media / "copy1.txt", b"a caption"))


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.fixture
def media(tmp_path: Path) -> Path:
    media = write_folder(tmp_path / "media", texts=20, images=5, sounds=1)
    settle(_written(media / "bad.png", b"\x89PNG\r\n\x1a\n"))
    return media


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    with Collection.create(tmp_path / "collection", ToyEncoder().spec) as collection:
        yield collection


def at_home(media: Path, directory: Path) -> tuple[dict[str, Item], list[tuple[str, str]]]:
    """What one process makes of it."""
    encoder = ToyEncoder()
    with Collection.create(directory, encoder.spec) as collection:
        ingest([media], collection, encoder)
        return items_of(collection), problems_in(collection)


def problems_in(collection: Collection) -> list[tuple[str, str]]:
    return [(problem.path.name, problem.reason) for problem in collection.problems()]


def taken_up(
    shards: list[Shard], collection: Collection, *, cut: Mapping[int, int] | None = None
) -> Tally:
    """Do the shards one by one; of shard n only `cut[n]` chunks arrive, and the rest is redone."""
    tally = Tally()
    with collection.writing("test") as writer:
        taking = ShardWriter(writer, tally)
        for number, shard in enumerate(shards):
            taking.begin(shard)
            chunks = list(chunks_of(shard, collection))
            arrived = (cut or {}).get(number, len(chunks))
            for chunk in chunks[:arrived]:
                taking.take_up(chunk)
            if arrived < len(chunks):
                left = taking.give_up()
                taking.begin(left)
                for chunk in chunks_of(left, collection):
                    taking.take_up(chunk)
    return tally


def test_shards_bring_what_one_process_would_have(
    media: Path, collection: Collection, tmp_path: Path
) -> None:
    add_copies(media)
    expected = at_home(media, tmp_path / "home")
    tally = taken_up(plan_shards(stamps(media), {}, cpus=1), collection)
    assert (items_of(collection), problems_in(collection)) == expected
    assert (tally.settled, tally.encoded, tally.reused) == (29, 26, 2)
    assert ingest([media], collection, ToyEncoder()).items == 0


def test_a_content_that_two_shards_have_encoded_is_there_once_with_its_caption(
    media: Path, collection: Collection, tmp_path: Path
) -> None:
    add_copies(media)
    expected = at_home(media, tmp_path / "home")
    files = stamps(media)
    one_by_one = [Shard({path: stamp}, {}) for path, stamp in sorted(files.items())]
    tally = taken_up(one_by_one, collection)
    assert (items_of(collection), problems_in(collection)) == expected
    assert (tally.encoded, tally.reused, len(tally.problems)) == (26, 2, 1)


@pytest.mark.parametrize("arrived", [0, 1, 2, 5])
def test_of_a_shard_that_is_lost_half_way_the_rest_is_done_again(
    media: Path, collection: Collection, tmp_path: Path, arrived: int
) -> None:
    # Long texts, whose parts lie in several chunks.
    for seed in range(30, 34):
        write_text(media / f"long{seed}.txt", seed, words=900)
    expected = at_home(media, tmp_path / "home")
    shards = [Shard(stamps(media), {})]
    taken_up(shards, collection, cut={0: arrived})
    assert (items_of(collection), problems_in(collection)) == expected


def test_files_of_one_size_are_in_one_shard_and_large_files_alone() -> None:
    sizes = [10, 2**30, 10, 20, 2**30, 10, 20]
    changed = {b"%d" % n: FileStamp(size, 1, n) for n, size in enumerate(sizes)}
    shards = plan_shards(changed, {}, cpus=1)
    assert [sorted(shard.files) for shard in shards] == [
        [b"0", b"2", b"5"],
        [b"1"],
        [b"4"],
        [b"3", b"6"],
    ]


def test_every_cpu_gets_several_shards_and_every_file_is_in_one() -> None:
    changed = {b"%d" % n: FileStamp(n, 1, n) for n in range(1000)}
    known = {b"7": FileRow(b"7", FileStamp(1, 1, 1))}
    shards = plan_shards(changed, known, cpus=4)
    assert len(shards) == 16
    assert sorted(path for shard in shards for path in shard.files) == sorted(changed)
    assert [dict(shard.known) for shard in shards if shard.known] == [known]


def test_a_shard_that_dies_again_and_again_is_halved_until_its_file_is_alone() -> None:
    shard = Shard({b"%d" % n: FileStamp(1, 1, 1) for n in range(8)}, {})
    deaths, dying = 0, [shard]
    while dying:
        culprit = next(one for one in dying if b"5" in one.files)
        again = culprit.retried()
        deaths += 1
        if not again:
            break
        dying = again
    assert list(culprit.files) == [b"5"]
    assert deaths == 6


def test_a_machine_that_does_not_have_the_drive_is_one_clear_error(
    media: Path, collection: Collection
) -> None:
    path = os.fsencode(media / "a" / "image000.png")
    file = FileRow(path, FileStamp(1, 1, 1), None, "missing", "it went away")
    chunk = Chunk((), (), ((file, None),), {})
    with collection.writing("test") as writer:
        taking = ShardWriter(writer, Tally())
        taking.begin(Shard({path: file.stamp}, {}))
        with pytest.raises(EngineError, match="can't read") as caught:
            taking.take_up(chunk)
    assert "mount" in caught.value.hint
    assert not collection.problems()


def test_files_are_entered_as_this_machine_sees_them(media: Path, collection: Collection) -> None:
    files = stamps(media)
    elsewhere = {path: stamp._replace(inode=stamp.inode + 7) for path, stamp in files.items()}
    late = os.fsencode(media / "b" / "text001.txt")
    with collection.writing("test") as writer:
        taking = ShardWriter(writer, Tally())
        taking.begin(Shard(files, {}))
        for chunk in chunks_of(Shard(files, {}), collection):
            entries = tuple(
                (file._replace(stamp=elsewhere[file.path]), content)
                for file, content in chunk.entries
            )
            if any(file.path == late for file, _ in entries):  # it is written to meanwhile
                write_text(Path(os.fsdecode(late)), 77, words=20)
            taking.take_up(replace(chunk, entries=entries))
    assert ingest([media], collection, ToyEncoder()).encoded == 1
