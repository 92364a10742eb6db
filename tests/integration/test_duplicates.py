"""Copies are duplicates whatever was done to them; other pictures, and bursts, are none."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import Collection, DuplicateOptions, Group, duplicates, ingest
from omni_encoder.media_look import HASH_BITS, look_of
from omni_encoder.synthetic import write_photos
from tests.media_files import tone, write_audio
from tests.toy import ToyEncoder
from tests.unit.indexer.folders import write_sound, write_text

NAMES = {"photo00000.jpg", "half.jpg", "rough.jpg", "other.png", "same.jpg"}


def save_at(picture: Image.Image, path: Path, moment: str) -> None:
    """Save a photo with the moment that a camera took it."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = moment
    picture.save(path, quality=92, exif=exif)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    whole: list[Image.Image] = []
    for path in write_photos(folder, 6):
        with Image.open(path) as image:
            whole.append(image.copy())
    shutil.copy2(folder / "photo00000.jpg", folder / "same.jpg")
    whole[0].resize((320, 240)).save(folder / "half.jpg", quality=90)
    whole[0].save(folder / "rough.jpg", quality=30)
    whole[0].point(lambda value: min(255, round(value * 1.1))).save(folder / "other.png")
    save_at(whole[1], folder / "burst1.jpg", "2024:01:01 10:00:00")
    save_at(whole[1].crop((4, 3, 640, 480)), folder / "burst2.jpg", "2024:01:01 10:00:01")
    (folder / "photo00001.jpg").unlink()
    return folder


def names(groups: list[Group]) -> list[tuple[str, set[str]]]:
    return [(str(group.likeness), {copy.path.name for copy in group.copies}) for group in groups]


def test_copies_are_grouped_and_bursts_only_when_asked(photos: Path, tmp_path: Path) -> None:
    encoder = ToyEncoder()
    with Collection.create(tmp_path / "collection", encoder.spec) as collection:
        ingest([photos], collection, encoder)
        exact = duplicates(collection, DuplicateOptions(near=False))
        assert names(exact) == [("exact", {"photo00000.jpg", "same.jpg"})]
        assert names(duplicates(collection)) == [("near", NAMES)]
        with_bursts = names(duplicates(collection, DuplicateOptions(bursts=True)))
        assert sorted(with_bursts, key=lambda group: len(group[1])) == [
            ("near", {"burst1.jpg", "burst2.jpg"}),
            ("near", NAMES),
        ]
        sizes = [copy.bytes for copy in duplicates(collection)[0].copies]
        assert sizes == sorted(sizes, reverse=True)


def test_sounds_and_texts_are_compared_by_all_their_parts(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    shutil.copy2(write_sound(media / "one.wav", 1, duration=22), media / "two.wav")
    with (media / "two.wav").open("ab") as file:
        file.write(b"\0\0")  # the same sound in other bytes
    write_audio(media / "three.wav", tone(22.0), codec="pcm_s16le")
    write_text(media / "four.txt", 3, words=200)
    (media / "five.txt").write_text((media / "four.txt").read_text() + "\n")
    write_text(media / "six.txt", 4, words=200)
    encoder = ToyEncoder()
    with Collection.create(tmp_path / "collection", encoder.spec) as collection:
        ingest([media], collection, encoder)
        found = {frozenset(members) for _, members in names(duplicates(collection))}
    assert frozenset({"four.txt", "five.txt"}) in found
    assert frozenset({"one.wav", "two.wav"}) in found
    assert not any({"six.txt", "three.wav"} & members for members in found)


def test_an_empty_collection_has_no_duplicates(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "collection", ToyEncoder().spec) as collection:
        assert duplicates(collection) == []


def test_unrelated_pictures_differ_in_about_half_of_their_bits(photos: Path) -> None:
    looks = [look_of(photos / f"photo{number:05d}.jpg") for number in (2, 3, 4, 5)]
    apart = [one.distance(other) for one in looks for other in looks if one is not other]
    assert 0.3 * HASH_BITS < np.mean(apart) < 0.7 * HASH_BITS
    assert look_of(photos / "burst1.jpg").taken == "2024:01:01 10:00:00."
    assert look_of(photos / "half.jpg").taken is None


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_close_pairs_are_those_of_the_full_matrix_whatever_the_block(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules[duplicates.__module__]
    monkeypatch.setattr(module, "_BLOCK_ROWS", rows)
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((40, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    expected = np.argwhere(np.triu(vectors @ vectors.T >= 0.8, k=1)).tolist()

    assert list(map(list, module._close_rows(vectors, 0.8))) == expected
    assert len(expected) > 20
