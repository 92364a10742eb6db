import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin
from pillow_heif import from_pillow

from omni_encoder import MediaError, MediaLayout, Modality
from omni_encoder.media import MediaInfo, open_media
from omni_encoder.media_pixels import MAX_ASPECT, SPARE, fit
from tests.media_files import UPRIGHT, corner_colours, cut, marked_picture, noise_picture

LAYOUT = MediaLayout(image_pixels=64)
FORMATS = {
    "a.jpg": "image/jpeg",
    "a.png": "image/png",
    "a.webp": "image/webp",
    "a.gif": "image/gif",
    "a.bmp": "image/bmp",
    "a.tiff": "image/tiff",
    "a.heic": "image/heic",
    "a.avif": "image/avif",
}
ORIENTATION, DESCRIPTION, XP_TITLE = 0x0112, 0x010E, 0x9C9B


def save(path: Path, image: Image.Image, **options: object) -> Path:
    if path.suffix == ".heic":
        from_pillow(image).save(path, quality=90, **options)
    else:
        image.save(path, **options)
    return path


def read(path: Path, layout: MediaLayout = LAYOUT) -> tuple[MediaInfo, np.ndarray]:
    info, items = open_media(path, layout)
    (item,) = items
    assert item.modality is Modality.IMAGE
    assert isinstance(item.content, np.ndarray)
    return info, item.content


def reason(path: Path, **options: int) -> str:
    with pytest.raises(MediaError) as caught:
        list(open_media(path, LAYOUT, **options)[1])
    return caught.value.reason


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_decoded_to_the_wanted_size(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, Image.fromarray(marked_picture(320, 240)))

    info, pixels = read(path)

    assert (info.modality, info.mime) == (Modality.IMAGE, FORMATS[name])
    assert (info.width, info.height, info.duration) == (320, 240, None)
    assert pixels.shape == (64, 85, 3)
    assert pixels.flags.writeable  # torch warns of arrays that aren't
    assert corner_colours(pixels) == UPRIGHT


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("named", ["b.png", "b.jpg", "b.gif", "b.mp3", "b.unknown"])
def test_content_decides_whatever_the_name_says(tmp_path: Path, name: str, named: str) -> None:
    path = save(tmp_path / name, Image.fromarray(marked_picture())).rename(tmp_path / named)

    assert read(path)[0].mime == FORMATS[name]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tiff", "a.heic", "a.avif"])
def test_exif_orientation_is_obeyed(tmp_path: Path, name: str, orientation: int) -> None:
    upright = Image.fromarray(marked_picture(320, 240))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    turned = upright.copy()
    turned.getexif()[ORIENTATION] = orientation
    stored = _undo(turned, orientation)
    path = save(tmp_path / name, stored, exif=exif.tobytes() if name == "a.heic" else exif)

    info, pixels = read(path)

    assert (info.width, info.height) == (320, 240)
    assert pixels.shape == (64, 85, 3)
    assert corner_colours(pixels) == UPRIGHT


def _undo(image: Image.Image, orientation: int) -> Image.Image:
    # What a camera stores: the picture that `exif_transpose` turns into the upright one.
    back = {6: 8, 8: 6}.get(orientation, orientation)
    image.getexif()[ORIENTATION] = back
    stored = ImageOps.exif_transpose(image)
    stored.getexif().clear()
    return stored


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_what_is_transparent_becomes_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (200, 200), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 100, 200))
    path = tmp_path / "a.png"
    image.convert("P" if mode == "PA" else mode).save(path)

    pixels = read(path)[1]

    assert pixels[32, 8].tolist() == [0, 0, 0]
    assert pixels[32, 56].tolist() == [255, 255, 255]


def test_a_transparent_colour_of_a_palette_or_of_rgb_becomes_white(tmp_path: Path) -> None:
    palette = Image.fromarray(marked_picture(200, 200)).quantize(4)
    palette.info["transparency"] = palette.getpixel((150, 150))
    palette.save(tmp_path / "a.gif")
    rgb = Image.fromarray(marked_picture(200, 200))
    rgb.save(tmp_path / "b.png", transparency=rgb.getpixel((150, 150)))

    for name in ("a.gif", "b.png"):
        pixels = read(tmp_path / name)[1]
        assert pixels[48, 48].tolist() == [255, 255, 255]
        assert corner_colours(pixels)["top left"] == "top left"


@pytest.mark.parametrize(
    ("mode", "name"),
    [("CMYK", "a.jpg"), ("CMYK", "a.tiff"), ("P", "a.png"), ("P", "a.bmp"), ("YCbCr", "a.tiff")],
)
def test_other_colour_models_become_rgb(tmp_path: Path, mode: str, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(marked_picture()).convert(mode).save(path)

    assert corner_colours(read(path)[1]) == UPRIGHT


@pytest.mark.parametrize("mode", ["1", "L"])
def test_black_and_white_become_grey_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (80, 80), 0)
    image.paste(255, (40, 0, 80, 80))
    image.save(tmp_path / "a.png")

    pixels = read(tmp_path / "a.png")[1]

    assert pixels[30, 10].tolist() == [0, 0, 0]
    assert pixels[30, 55].tolist() == [255, 255, 255]


@pytest.mark.parametrize(("largest", "middle"), [(65_535, 127), (4_095, 127)])
@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_grey_of_16_or_12_bits_is_scaled(
    tmp_path: Path, name: str, largest: int, middle: int
) -> None:
    ramp = np.tile(np.linspace(0, largest, 256).astype(np.uint16), (64, 1))
    Image.fromarray(ramp).save(tmp_path / name)

    pixels = read(tmp_path / name)[1]

    assert pixels.shape == (64, 256, 3)
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert pixels[32, 128].tolist() == pytest.approx([middle] * 3, abs=1)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_grey_of_32_bits_is_scaled_by_what_it_holds(tmp_path: Path, kind: type) -> None:
    ramp = np.tile(np.linspace(-500, 90_000, 256).astype(kind), (64, 1))
    if kind is np.float32:
        ramp[0, 0] = np.nan
    Image.fromarray(ramp).save(tmp_path / "a.tiff")

    pixels = read(tmp_path / "a.tiff")[1]

    assert pixels[32, [0, 128, 255], 0].tolist() == pytest.approx([0, 127, 255], abs=2)


@settings(deadline=None)
@given(width=st.integers(1, 5000), height=st.integers(1, 5000), pixels=st.integers(1, 300))
def test_the_shorter_side_is_never_scaled_up_and_the_longer_never_too_long(
    width: int, height: int, pixels: int
) -> None:
    to = fit(width, height, pixels)

    wanted = min(width, height, pixels)
    assert wanted <= min(to.size) <= max(wanted, SPARE * pixels)
    assert min(to.size) in (pixels, min(width, height))
    assert max(to.size) <= MAX_ASPECT * min(to.size)
    left, top, right, bottom = to.box
    assert abs(left - (width - right)) <= 1
    assert abs(top - (height - bottom)) <= 1
    if max(width, height) <= MAX_ASPECT * min(width, height):
        assert to.box == (0, 0, width, height)


def test_a_small_picture_keeps_its_size_and_a_long_one_its_middle(tmp_path: Path) -> None:
    save(tmp_path / "small.png", Image.new("RGB", (20, 10)))
    strip = Image.new("RGB", (2000, 100), "black")
    strip.paste("white", (850, 0, 1150, 100))
    save(tmp_path / "long.png", strip)
    save(tmp_path / "longer.png", strip.resize((4000, 200)))

    assert read(tmp_path / "small.png")[1].shape == (10, 20, 3)
    assert read(tmp_path / "long.png")[1].shape == (100, 400, 3)  # not worth scaling twice
    pixels = read(tmp_path / "longer.png")[1]
    assert pixels.shape == (64, 256, 3)
    assert pixels[32, 128].tolist() == [255, 255, 255]
    assert pixels[32, 2].tolist() == [0, 0, 0]


def test_a_draft_moves_pixels_little(tmp_path: Path) -> None:
    smooth = Image.fromarray(noise_picture(40, 30)).resize((1600, 1200), Image.Resampling.BICUBIC)
    save(tmp_path / "a.jpg", smooth, quality=90)

    drafted = read(tmp_path / "a.jpg")[1].astype(float)
    with Image.open(tmp_path / "a.jpg") as image:
        full = np.array(image.resize((85, 64), Image.Resampling.BICUBIC), dtype=float)

    assert np.abs(drafted - full).mean() < 1.5


def test_titles_come_from_exif_and_png_text(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[DESCRIPTION] = "  A red\nbus \x00"
    save(tmp_path / "a.jpg", Image.new("RGB", (9, 9)), exif=exif)
    windows = Image.Exif()
    windows[XP_TITLE] = "Ein grüner Zug".encode("utf-16-le")
    save(tmp_path / "b.jpg", Image.new("RGB", (9, 9)), exif=windows)
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "A blue boat")
    save(tmp_path / "c.png", Image.new("RGB", (9, 9)), pnginfo=text)

    titles = [read(tmp_path / name)[0].title for name in ("a.jpg", "b.jpg", "c.png")]

    assert titles == ["A red bus", "Ein grüner Zug", "A blue boat"]


def test_a_picture_with_broken_exif_is_still_a_picture(tmp_path: Path) -> None:
    path = save(
        tmp_path / "a.jpg", Image.new("RGB", (60, 60)), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09"
    )

    assert read(path)[1].shape == (60, 60, 3)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("name", FORMATS)
def test_a_truncated_image_is_called_so(tmp_path: Path, name: str, share: float) -> None:
    path = cut(save(tmp_path / name, Image.fromarray(noise_picture())), share)

    with pytest.raises(MediaError) as caught:
        open_media(path, LAYOUT)

    assert caught.value.reason == "truncated"
    assert name in caught.value.message
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "tiff_adobe_deflate"])
def test_a_compressed_tiff_decodes_and_cut_it_does_not(tmp_path: Path, compression: str) -> None:
    path = save(tmp_path / "a.tif", Image.fromarray(marked_picture()), compression=compression)
    assert corner_colours(read(path)[1]) == UPRIGHT

    assert reason(cut(path, 0.6)) == "truncated"


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_data_that_make_no_sense_are_called_damaged(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, Image.fromarray(noise_picture()))
    data = bytearray(path.read_bytes())
    # Behind the headers, but for the end; other formats' decoders get over what they can.
    data[20:-20] = np.random.default_rng(0).bytes(len(data) - 40)
    path.write_bytes(data)

    with pytest.raises(MediaError) as caught:
        read(path)

    assert caught.value.reason == "damaged"
    assert caught.value.__cause__ is not None


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    # Only headers that claim so many pixels: decoding one would find it truncated.
    sides = struct.pack(">II", 12_000, 12_000)
    header = b"IHDR" + sides + bytes([8, 0, 0, 0, 0])
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 9) + b"IDAT")
    for name, at, sides in (
        ("a.bmp", 18, struct.pack("<II", 20_000, 20_000)),
        ("a.gif", 6, struct.pack("<HH", 12_000, 12_000)),
        ("b.gif", 6, struct.pack("<HH", 60_000, 60_000)),
    ):
        data = bytearray(save(tmp_path / name, Image.new("L", (8, 8))).read_bytes())
        data[at : at + len(sides)] = sides
        (tmp_path / name).write_bytes(data)

    for name in ("a.png", "a.bmp", "a.gif", "b.gif"):
        assert reason(tmp_path / name) == "too_large", name


def test_the_limit_counts_what_a_draft_leaves_and_can_be_set(tmp_path: Path) -> None:
    grey = Image.fromarray(noise_picture(60, 60)).convert("L").resize((1000, 1000))
    save(tmp_path / "a.png", grey)
    save(tmp_path / "a.jpg", grey)
    save(tmp_path / "progressive.jpg", grey, progressive=True)

    assert reason(tmp_path / "a.png", max_pixels=999_999) == "too_large"
    assert reason(tmp_path / "progressive.jpg", max_pixels=999_999) == "too_large"
    for path, limit in ((tmp_path / "a.png", 1_000_000), (tmp_path / "a.jpg", 62_500)):
        (item,) = open_media(path, LAYOUT, max_pixels=limit)[1]
        assert np.shape(item.content) == (64, 64, 3)


@pytest.fixture
def stderr_of(capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    return lambda: capfd.readouterr().err


@pytest.mark.parametrize("name", [*FORMATS, "lzw.tif"])
def test_decoders_write_nothing_to_stderr(
    tmp_path: Path, name: str, stderr_of: Callable[[], str]
) -> None:
    options = {"compression": "tiff_lzw"} if name == "lzw.tif" else {}
    path = save(tmp_path / name, Image.fromarray(noise_picture()), **options)
    data = path.read_bytes()
    stderr_of()

    for share in (0.02, 0.5, 0.99):
        path.write_bytes(data[: int(len(data) * share)] + b"\0" * 64)
        try:
            read(path)
        except MediaError:
            continue

    assert stderr_of() == ""
