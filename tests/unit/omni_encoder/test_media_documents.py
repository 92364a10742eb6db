import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omni_encoder import MediaError, MediaLayout, Modality
from omni_encoder import media_document as documents
from omni_encoder.media import MediaInfo, open_media
from tests.document_files import write_dng, write_docx, write_epub, write_pdf
from tests.media_files import cut, noise_picture

LAYOUT = MediaLayout(image_pixels=48, passage_words=12)


def read(path: Path) -> tuple[MediaInfo, list[str]]:
    info, items = open_media(path, LAYOUT)
    return info, [str(item.content) for item in items]


def test_the_words_of_a_pdf_are_read_page_by_page(tmp_path: Path) -> None:
    pages = [f"Page {number} is about the harbour of Oslo." for number in range(3)]
    info, texts = read(write_pdf(tmp_path / "a.pdf", pages, title="Harbours"))
    assert (info.modality, info.mime, info.title) == (Modality.TEXT, "application/pdf", "Harbours")
    assert texts == pages


def test_a_pdf_of_pictures_is_read_as_its_pages(tmp_path: Path) -> None:
    pictures = [Image.fromarray(noise_picture(60, 90, seed=seed)) for seed in range(3)]
    pictures[0].save(tmp_path / "scan.pdf", save_all=True, append_images=pictures[1:])
    info, items = open_media(tmp_path / "scan.pdf", LAYOUT)
    parts = list(items)
    assert info.modality is Modality.IMAGE
    assert [(item.part, item.modality) for item in parts] == [
        (number, Modality.IMAGE) for number in range(3)
    ]
    assert parts[0].content.shape == (72, 48, 3)  # pyright: ignore[reportAttributeAccessIssue]
    assert not np.array_equal(parts[0].content, parts[1].content)


def test_pdfs_are_read_by_several_threads_at_once(tmp_path: Path) -> None:
    paths = [
        write_pdf(tmp_path / f"{number}.pdf", [f"Number {number} says some words."] * 20)
        for number in range(3)
    ]
    texts: dict[Path, list[str]] = {}
    threads = [
        threading.Thread(target=lambda path=path: texts.__setitem__(path, read(path)[1]))
        for path in paths
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {path: set(found) for path, found in texts.items()} == {
        path: {" ".join([f"Number {path.stem} says some words."] * 2)} for path in paths
    }


def test_the_chapters_of_an_epub_come_in_the_order_of_its_spine(tmp_path: Path) -> None:
    chapters = ["The first chapter.", "The second one &amp; more.", "The end."]
    info, texts = read(write_epub(tmp_path / "a.epub", chapters, title="Tom &amp; I"))
    assert (info.modality, info.mime, info.title) == (
        *(Modality.TEXT, "application/epub+zip", "Tom & I"),
    )
    assert " ".join(texts) == "The first chapter. The second one & more. The end."


def test_the_paragraphs_of_a_docx_are_whole_words(tmp_path: Path) -> None:
    info, texts = read(
        write_docx(tmp_path / "a.docx", ["Dearest friend,", "winter &lt;is&gt; here."])
    )
    assert info.title == "A letter"
    assert info.mime.endswith("wordprocessingml.document")
    assert " ".join(texts) == "Dearest friend, winter <is> here."


def test_a_raw_photo_is_developed_and_turned(tmp_path: Path) -> None:
    info, items = open_media(write_dng(tmp_path / "a.dng"), LAYOUT)
    (item,) = items
    assert isinstance(item.content, np.ndarray)
    assert (info.modality, info.width, info.height) == (Modality.IMAGE, 96, 64)
    width = item.content.shape[1]
    assert item.content[:, : width // 4].mean() > item.content[:, -width // 4 :].mean() + 20

    info, items = open_media(write_dng(tmp_path / "b.dng", orientation=6), LAYOUT)
    (item,) = items
    assert isinstance(item.content, np.ndarray)
    assert (info.width, info.height) == (64, 96)
    height = item.content.shape[0]
    assert height > item.content.shape[1]
    assert item.content[: height // 4].mean() > item.content[-height // 4 :].mean() + 20


def test_what_is_wrong_with_a_document_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reason(path: Path) -> str:
        with pytest.raises(MediaError) as caught:
            list(open_media(path, LAYOUT)[1])
        assert path.name in caught.value.message
        return str(caught.value.reason)

    whole = write_pdf(tmp_path / "whole.pdf", ["Words and words."] * 40)
    assert reason(cut(write_pdf(tmp_path / "cut.pdf", ["x"] * 40), 0.02)) == "truncated"
    junk = tmp_path / "junk.pdf"
    junk.write_bytes(b"%PDF-1.4\n" + bytes(range(256)) * 20 + b"%%EOF")
    assert reason(junk) in {"damaged", "empty"}
    assert reason(cut(write_epub(tmp_path / "cut.epub", ["x" * 900]), 0.6)) == "truncated"
    assert reason(write_epub(tmp_path / "empty.epub", [])) == "empty"
    assert reason(write_docx(tmp_path / "blank.docx", ["   "])) == "empty"
    assert reason(cut(write_dng(tmp_path / "cut.dng"), 0.3)) in {"damaged", "truncated"}
    with zipfile.ZipFile(tmp_path / "other.epub", "w") as archive:
        archive.writestr("a.txt", "no book")
    assert reason(tmp_path / "other.epub") == "unsupported"

    bomb = tmp_path / "bomb.docx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"<w:t>" + b"a " * 3_000_000)
    monkeypatch.setattr(documents, "MAX_MEMBER_BYTES", 1_000_000)
    assert reason(bomb) == "too_large"
    monkeypatch.setattr(documents, "MAX_TOTAL_BYTES", 1_000_000)
    assert reason(bomb) == "too_large"

    assert whole.rename(tmp_path / "picture.jpg")
    assert open_media(tmp_path / "picture.jpg", LAYOUT)[0].mime == "application/pdf"
