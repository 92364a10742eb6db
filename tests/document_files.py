"""Documents and raw photos that tests make for themselves."""

import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def write_pdf(path: Path, pages: Sequence[str], *, title: str = "A title") -> Path:
    """A PDF with one line of text on each page."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>")
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for number, text in enumerate(pages):
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Contents {5 + 2 * number} 0 R /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects.append(f"<< /Title ({title}) >>")
    data, offsets = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), list[int]()
    for number, body in enumerate(objects):
        offsets.append(len(data))
        data += f"{number + 1} 0 obj\n{body}\nendobj\n".encode()
    start = len(data)
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    data += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode()
    data += (
        f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>\n"
        f"startxref\n{start}\n%%EOF\n"
    ).encode()
    path.write_bytes(data)
    return path


def write_epub(path: Path, chapters: Sequence[str], *, title: str = "A book") -> Path:
    """An EPUB whose spine is in the order given, and whose files are not."""
    container = '<container><rootfile full-path="OEBPS/book.opf"/></container>'
    items = "".join(
        f'<item id="c{number}" href="chapter%20{number}.xhtml"/>' for number in range(len(chapters))
    )
    spine = "".join(f'<itemref idref="c{number}"/>' for number in range(len(chapters)))
    package = (
        f"<package><metadata><dc:title>{title}</dc:title></metadata>"
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", container)
        archive.writestr("OEBPS/book.opf", package)
        for number, text in reversed(list(enumerate(chapters))):
            page = f"<html><head><title>no</title></head><body><p>{text}</p></body></html>"
            archive.writestr(f"OEBPS/chapter {number}.xhtml", page)
    return path


def write_docx(path: Path, paragraphs: Sequence[str], *, title: str = "A letter") -> Path:
    """A DOCX whose words are cut into runs in their middle, as Word does."""
    body = "".join(
        f'<w:p><w:r w:rsidR="1"><w:t>{text[:3]}</w:t></w:r><w:r><w:t xml:space="preserve">'
        f"{text[3:]}</w:t></w:r></w:p>"
        for text in paragraphs
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(
            "docProps/core.xml",
            f"<cp:coreProperties><dc:title>{title}</dc:title></cp:coreProperties>",
        )
        archive.writestr("word/document.xml", f"<w:document><w:body>{body}</w:body></w:document>")
    return path


def write_dng(path: Path, *, width: int = 96, height: int = 64, orientation: int = 1) -> Path:
    """The smallest DNG that LibRaw reads: a bright left half, a dark right half, no preview."""
    bayer = np.full((height, width), 3000, dtype="<u2")
    bayer[:, width // 2 :] = 300
    ascii_, byte, short, long, rational, signed = 2, 1, 3, 4, 5, 10
    matrix = [1, 0, 0, 0, 1, 0, 0, 0, 1]
    tags: list[tuple[int, int, bytes]] = [
        (254, long, struct.pack("<I", 0)),
        (256, long, struct.pack("<I", width)),
        (257, long, struct.pack("<I", height)),
        (258, short, struct.pack("<H", 16)),
        (259, short, struct.pack("<H", 1)),
        (262, short, struct.pack("<H", 32803)),
        (271, ascii_, b"Tests\0"),
        (272, ascii_, b"Camera\0"),
        (273, long, struct.pack("<I", 8)),
        (274, short, struct.pack("<H", orientation)),
        (277, short, struct.pack("<H", 1)),
        (278, long, struct.pack("<I", height)),
        (279, long, struct.pack("<I", bayer.nbytes)),
        (284, short, struct.pack("<H", 1)),
        (33421, short, struct.pack("<HH", 2, 2)),
        (33422, byte, bytes([0, 1, 1, 2])),
        (50706, byte, bytes([1, 4, 0, 0])),
        (50708, ascii_, b"Tests Camera\0"),
        (50717, long, struct.pack("<I", 4095)),
        (50721, signed, b"".join(struct.pack("<ii", value, 1) for value in matrix)),
        (50728, rational, struct.pack("<IIIIII", 1, 1, 1, 1, 1, 1)),
        (50778, short, struct.pack("<H", 21)),
    ]
    sizes = {ascii_: 1, byte: 1, short: 2, long: 4, rational: 8, signed: 8}
    start = 8 + bayer.nbytes
    extra_at = start + 2 + 12 * len(tags) + 4
    entries, extra = bytearray(), bytearray()
    for tag, kind, value in tags:
        count = len(value) // sizes[kind]
        if len(value) <= 4:
            field = value.ljust(4, b"\0")
        else:
            field = struct.pack("<I", extra_at + len(extra))
            extra += value + b"\0" * (len(value) % 2)
        entries += struct.pack("<HHI", tag, kind, count) + field
    data = struct.pack("<2sHI", b"II", 42, start) + bayer.tobytes()
    data += struct.pack("<H", len(tags)) + bytes(entries) + struct.pack("<I", 0) + bytes(extra)
    path.write_bytes(data)
    return path
