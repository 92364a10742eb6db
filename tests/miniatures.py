"""Miniature datasets in the published layouts, and an encoder that reads what they show.

Every picture, sound and video shows a number; `NumberEncoder` reads it, and reads the numbers in
texts, so each figure of a benchmark over a miniature is known beforehand.
"""

import csv
import json
import re
import wave
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from omni_encoder import EncoderSpec, MediaItem, MediaLayout, Modality

DIM = 64
_STEP = 7  # grey levels from one number to the next, more than codecs get wrong
_BASE = 20
_HERTZ = 200


class NumberEncoder:
    """Gives number n the n-th unit vector; several numbers in a text give their sum."""

    means = None

    def __init__(
        self, modalities: tuple[Modality, ...] = tuple(Modality), *, wrong: int = 0
    ) -> None:
        """`wrong` is added to the number of everything that is no text."""
        fingerprint = f"{wrong:08x}" * 4
        layout = MediaLayout(image_pixels=16, video_frames=2)
        self.spec = EncoderSpec("number", fingerprint, DIM, modalities, layout)
        self.encoded = 0
        self._wrong = wrong

    def encode(self, items: Sequence[MediaItem]) -> np.ndarray:
        self.encoded += len(items)
        rows = np.zeros((len(items), DIM), dtype=np.float32)
        for row, item in zip(rows, items, strict=True):
            for number in self._numbers(item):
                row[number % DIM] += 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def _numbers(self, item: MediaItem) -> list[int]:
        content = item.content
        if isinstance(content, str):
            return [int(digits) for digits in re.findall(r"\d+", content)] or [DIM - 1]
        if item.modality is Modality.AUDIO:
            hertz = np.abs(np.fft.rfft(content)).argmax() * 16_000 / len(content)
            return [round(hertz / _HERTZ) - 1 + self._wrong]
        return [round((float(content.mean()) - _BASE) / _STEP) + self._wrong]


def write_picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 20), (_BASE + _STEP * number,) * 3).save(path)


def write_sound(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(16_000) / 16_000
    samples = np.sin(2 * np.pi * _HERTZ * (number + 1) * times) * 0.5
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((samples * 32_000).astype("<i2").tobytes())


def write_video(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = np.full((32, 32, 3), _BASE + _STEP * number, dtype=np.uint8)
    with av.open(str(path), "w", format="mp4" if path.suffix == ".mp4" else "avi") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.time_base = Fraction(1, 4)
        for time in range(4):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = time, Fraction(1, 4)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_lines(path: Path, rows: Sequence[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_table(path: Path, rows: Sequence[Sequence[object]], *, delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def karpathy(
    folder: Path, *, file: str, places: Sequence[str], filepaths: Sequence[str | None]
) -> None:
    """Pictures 0..n-1 of the test split, two sentences each, and one of the training split."""
    rows: list[dict[str, object]] = []
    for number, (place, filepath) in enumerate(zip(places, filepaths, strict=True)):
        write_picture(folder / place, number)
        sentences = [{"raw": f"a photo of {number} "}, {"raw": f"there is {number}"}]
        row: dict[str, object] = {
            "filename": Path(place).name,
            "split": "test",
            "sentences": sentences,
            "imgid": number,
        }
        if filepath is not None:
            row["filepath"] = filepath
        rows.append(row)
    rows.append({"filename": "unseen.jpg", "split": "train", "sentences": [{"raw": "x"}]})
    write_json(folder / file, {"images": rows, "dataset": "miniature"})


def flickr30k(folder: Path) -> None:
    places = [f"flickr30k-images/{100 + number}.jpg" for number in range(4)]
    karpathy(folder, file="dataset_flickr30k.json", places=places, filepaths=[None] * 4)


def coco(folder: Path, *, images: int = 4) -> None:
    places = [f"val2014/COCO_val2014_{number:012d}.jpg" for number in range(images)]
    karpathy(folder, file="dataset_coco.json", places=places, filepaths=["val2014"] * images)


def audiocaps(folder: Path) -> None:
    rows: list[list[object]] = [["audiocap_id", "youtube_id", "start_time", "caption"]]
    for number in range(3):
        write_sound(folder / f"test/Yclip-{number}.wav", number)
        rows += [
            [5 * number + k, f"clip-{number}", 30, f"sound {number}, said again"] for k in range(5)
        ]
    rows.append([99, "vanished", 10, "sound 9"])
    write_table(folder / "test.csv", rows)


def clotho(folder: Path) -> None:
    columns = ["file_name", *(f"caption_{k}" for k in range(1, 6))]
    rows: list[list[object]] = [columns]
    for number in range(3):
        write_sound(folder / f"evaluation/sound {number}.wav", number)
        rows.append([f"sound {number}.wav", *(f"A {number}, heard." for _ in range(5))])
    write_table(folder / "clotho_captions_evaluation.csv", rows)


def msrvtt(folder: Path) -> None:
    rows: list[list[object]] = [["key", "vid_key", "video_id", "sentence"]]
    for number in range(2):
        write_video(folder / f"videos/all/video{7000 + number}.mp4", number)
        rows.append([f"ret{number}", f"msr{number}", f"video{7000 + number}", f"a {number}"])
    rows.append(["ret9", "msr9", "video7009", "a 9"])
    write_table(folder / "MSRVTT_JSFUSION_test.csv", rows)


def msvd(folder: Path) -> None:
    names = ["abc_1_5", "d-e_f_10_20"]
    for number, name in enumerate(names):
        write_video(folder / f"YouTubeClips/{name}.avi", number)
    sentences = [
        "# license",
        "",
        *(f"{name} it shows {i}" for i, name in enumerate(names) for _ in "ab"),
    ]
    (folder / "AllVideoDescriptions.txt").write_text("\n".join([*sentences, "train_0_1 a 9"]))
    (folder / "test_list.txt").write_text("\n".join(names) + "\n")


def vggsound(folder: Path) -> None:
    rows: list[list[object]] = []
    for number in range(3):
        name = f"clip_{number}_{30 * number:06d}"
        write_video(folder / f"video/{name}.mp4", number)
        write_sound(folder / f"audio/{name}.wav", number)
        rows.append([f"clip_{number}", 30 * number, f"number {number}", "test"])
    rows += [["gone", 10, "number 9", "test"], ["seen", 0, "number 1", "train"]]
    write_table(folder / "vggsound.csv", rows)


def esc50(folder: Path) -> None:
    columns = ["filename", "fold", "target", "category", "esc10", "src_file", "take"]
    rows: list[list[object]] = [columns]
    for number in range(4):
        name = f"{number % 2 + 1}-100-A-{number}.wav"
        write_sound(folder / f"audio/{name}", number)
        rows.append([name, number % 2 + 1, number, f"number_{number}", "False", 100, "A"])
    write_table(folder / "meta/esc50.csv", rows)


def cirr(folder: Path) -> None:
    """Picture 0 and "1" are to find picture 3, which shows neither: 0 and 1 come before it."""
    for number in range(8):
        write_picture(folder / f"dev/dev-{number}.png", number)
    write_json(
        folder / "image_splits/split.rc2.val.json",
        {f"dev-{number}": f"./dev/dev-{number}.png" for number in range(8)},
    )
    members = [f"dev-{number}" for number in range(6)]
    rows = [
        {
            "pairid": pair,
            "reference": "dev-0",
            "target_hard": target,
            "target_soft": {target: 1.0},
            "caption": caption,
            "img_set": {"id": 1, "members": members, "reference_rank": 0, "target_rank": 1},
        }
        for pair, target, caption in ((11, "dev-1", "make it 1"), (12, "dev-3", "make it 6"))
    ]
    write_json(folder / "captions/cap.rc2.val.json", rows)


def fashioniq(folder: Path) -> None:
    for place, kind in enumerate(("dress", "shirt", "toptee")):
        numbers = range(4 * place, 4 * place + 4)
        for number in numbers:
            write_picture(folder / f"images/B{number}.jpg", number)
        write_json(folder / f"image_splits/split.{kind}.val.json", [f"B{n}" for n in numbers])
        row = {
            "candidate": f"B{numbers[0]}",
            "target": f"B{numbers[1]}",
            "captions": [f"Is more {numbers[1]}.", f"is {numbers[1]} indeed"],
        }
        write_json(folder / f"captions/cap.{kind}.val.json", [row])


def mbeir(folder: Path) -> None:
    for number in range(3):
        write_picture(folder / f"mbeir_images/{number}.jpg", number)
    queries = [
        {
            "qid": f"9:{number}",
            "query_txt": "which is it?",
            "query_img_path": f"mbeir_images/{number}.jpg",
            "query_modality": "image,text",
            "pos_cand_list": [f"9:{100 + number}"],
            "neg_cand_list": [],
        }
        for number in range(3)
    ]
    pool = [
        {
            "did": f"9:{100 + number}",
            "txt": f"It is {number}.",
            "img_path": None,
            "modality": "text",
        }
        for number in range(3)
    ]
    write_lines(folder / "query/test/mbeir_infoseek_task6_test.jsonl", queries)
    write_lines(folder / "cand_pool/local/mbeir_infoseek_task6_cand_pool.jsonl", pool)


def mixbench(folder: Path) -> None:
    """Each number once as a text, once as a picture and once as both."""
    for number in range(3):
        write_picture(folder / f"MSCOCO/images/{number}.jpg", number)
    corpus: list[dict[str, object]] = []
    for number in range(3):
        picture = f"images/{number}.jpg"
        corpus += [
            {"corpus_id": f"t{number}", "text": f"it is {number}", "image": ""},
            {"corpus_id": f"i{number}", "text": "", "image": picture},
            {"corpus_id": f"b{number}", "text": f"{number}", "image": picture},
        ]
    queries = [{"query_id": f"q{n}", "text": f"find {n}", "image": ""} for n in range(3)]
    write_lines(folder / "MSCOCO/mixed_corpus.jsonl", corpus)
    write_lines(folder / "MSCOCO/queries.jsonl", queries)
    rows: list[list[object]] = [["query_id", "corpus_id", "score"]]
    rows += [[f"q{n}", f"{kind}{n}", 1] for n in range(3) for kind in "tib"]
    rows.append(["q0", "t1", 0])
    write_table(folder / "MSCOCO/qrels.tsv", rows, delimiter="\t")
