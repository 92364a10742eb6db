"""Damaged and hostile files: none crashes or hangs an ingest, and each has a reason."""

import gzip
import io
import random
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import Collection, IngestOptions, ingest
from omni_encoder import MediaItem
from omni_encoder.media import REASONS
from tests.document_files import write_dng, write_docx, write_epub, write_pdf
from tests.media_files import noise_picture, tone, write_animation, write_audio, write_video
from tests.toy import DIM, ToyEncoder
from tests.unit.indexer.folders import settle


def make_samples(folder: Path) -> list[Path]:
    """One sound file of every kind that is read."""
    folder.mkdir(parents=True)
    picture = Image.fromarray(noise_picture(64, 48))
    for suffix in ("jpg", "png", "webp", "gif", "bmp", "tif", "avif"):
        picture.save(folder / f"a.{suffix}")
    import pillow_heif

    pillow_heif.from_pillow(picture).save(folder / "a.heic")
    (folder / "a.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    write_dng(folder / "a.dng")
    for suffix, codec in (("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "libmp3lame")):
        write_audio(folder / f"a.{suffix}", tone(1.5), codec=codec)
    write_audio(folder / "a.ogg", tone(1.5, rate=48_000), codec="libopus", rate=48_000)
    write_audio(folder / "a.m4a", tone(1.5), codec="aac")
    for suffix in ("mp4", "mov", "mkv", "avi"):
        write_video(folder / f"v.{suffix}", 12)
    write_video(folder / "v.webm", 12, codec="libvpx-vp9")
    write_animation(folder / "moving.gif", [0, 99, 200], duration_ms=100)
    write_pdf(folder / "a.pdf", ["Words about damaged documents."] * 3)
    write_epub(folder / "a.epub", ["A chapter about something."] * 3)
    write_docx(folder / "a.docx", ["A paragraph about something."] * 3)
    (folder / "a.txt.md").write_text("# A title\n\nSome words.")
    (folder / "a.html").write_text("<html><title>t</title><p>Some words.</p></html>")
    (folder / "a.jsonl").write_text('{"text": "some words"}\n{"caption": "more"}\n')
    return sorted(folder.iterdir())


def damage(data: bytes, generator: random.Random) -> bytes:
    """Cut it, turn some of its bits over, or both."""
    changed = bytearray(data)
    how = generator.choice(["cut", "flip", "both", "zeros"])
    if how in ("flip", "both"):
        for _ in range(generator.choice([1, 3, 30])):
            changed[generator.randrange(len(changed))] ^= 1 << generator.randrange(8)
    if how == "zeros":
        start = generator.randrange(len(changed))
        length = generator.randrange(1, 200)
        changed[start : start + length] = bytes(len(changed[start : start + length]))
    if how in ("cut", "both"):
        del changed[generator.randrange(len(changed)) :]
    return bytes(changed)


def make_bombs(folder: Path) -> None:
    """Small files that ask for very much, or hold themselves."""
    Image.new("1", (30_000, 30_000)).save(folder / "bomb.png")
    row = zlib.compress(b"\0" * 10**6)
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (2**31 - 1).to_bytes(4, "big") * 2
    (folder / "huge.png").write_bytes(header + b"\x08\2\0\0\0" + b"\0" * 4 + row)
    with zipfile.ZipFile(folder / "bomb.docx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"<w:t>" + b"a" * (70 << 20))
    inner = b"word/document.xml"
    for _ in range(5):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("again.docx", inner)
        inner = packed.getvalue()
    (folder / "nested.docx").write_bytes(inner)
    (folder / "entities.svg").write_text(
        '<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa">'
        + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
        + ']><svg xmlns="http://www.w3.org/2000/svg"><text>&j;</text></svg>'
    )
    (folder / "large.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="100000000" height="100000000"/>'
    )
    (folder / "deep.jsonl").write_text("[" * 100_000)
    (folder / "deep.html").write_text("<div>" * 100_000)
    (folder / "packed.txt").write_bytes(gzip.compress(b"words " * 1000))
    for suffix in ("jpg", "mp4", "mp3", "pdf", "epub", "heic", "dng", "svg", "txt"):
        (folder / f"empty.{suffix}").touch()
        (folder / f"zeros.{suffix}").write_bytes(bytes(5000))
        noise = np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8)
        (folder / f"noise.{suffix}").write_bytes(noise.tobytes())


def make_corpus(folder: Path, count: int) -> int:
    """At least `count` damaged files; returns how many there are."""
    samples = make_samples(folder.parent / "samples")
    folder.mkdir()
    make_bombs(folder)
    others = [path.suffix for path in samples]
    for number, path in enumerate(samples):
        wrong = others[(number + 5) % len(others)]
        (folder / f"wrong{number}{wrong}").write_bytes(path.read_bytes())
    generator = random.Random(0)
    number = 0
    while len(list(folder.iterdir())) < count:
        path = samples[number % len(samples)]
        target = folder / f"damaged{number:04}{path.suffix}"
        target.write_bytes(damage(path.read_bytes(), generator))
        number += 1
    for path in folder.iterdir():
        settle(path)
    return len(list(folder.iterdir()))


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(120, marks=pytest.mark.slow, id="some"),
        pytest.param(700, marks=pytest.mark.slow, id="all"),
    ],
)
def test_damaged_files_are_indexed_in_part_or_have_a_reason(
    tmp_path: Path, collection: Collection, count: int
) -> None:
    class Patient(ToyEncoder):
        """Takes pictures of any size, which the toy doesn't."""

        def encode(self, items: Sequence[MediaItem]) -> np.ndarray:
            sums = [len(item.content) % 97 for item in items]
            rows = np.ones((len(items), DIM), np.float32)
            rows[:, 0] += np.array(sums, np.float32)
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    encoder = Patient()
    made = make_corpus(tmp_path / "damaged", count)
    options = IngestOptions(isolate=True, file_seconds=30.0, file_bytes=2**30)
    report = ingest([tmp_path / "damaged"], collection, encoder, options=options)

    assert report.scanned >= made - 4  # a text beside a picture of its name is its caption
    assert report.encoded + report.reused + report.failed == report.scanned
    assert report.failed > made // 4
    known = {*REASONS, "decoder"}
    assert {problem.reason for problem in report.problems} <= known
    assert all(problem.message for problem in report.problems)
    listed = {problem.path for problem in collection.problems()}
    assert listed >= {problem.path for problem in report.problems}
    crashes = [problem for problem in report.problems if problem.reason == "crashed"]
    assert len(crashes) <= made // 50, crashes
