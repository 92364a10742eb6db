import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omnidex_benchmarks import registry
from omnidex_benchmarks.datasets import clotho, karpathy
from omnidex_benchmarks.protocol import Outcome, Request
from omnidex_benchmarks.report import remarks
from omnidex_benchmarks.tasks import Dataset

from omni_encoder import Modality, OmniError
from tests import miniatures
from tests.miniatures import NumberEncoder

WRITERS: dict[str, Callable[[Path], None]] = {
    "flickr30k": miniatures.flickr30k,
    "coco-5k": miniatures.coco,
    "coco-1k": miniatures.coco,
    "audiocaps": miniatures.audiocaps,
    "clotho": miniatures.clotho,
    "msrvtt-1ka": miniatures.msrvtt,
    "msvd": miniatures.msvd,
    "vggsound": miniatures.vggsound,
    "esc50": miniatures.esc50,
    "cirr": miniatures.cirr,
    "fashioniq": miniatures.fashioniq,
    "mbeir": miniatures.mbeir,
    "mixbench": miniatures.mixbench,
}

# Direction: queries and candidates.
SIZES: dict[str, dict[str, tuple[int, int]]] = {
    "flickr30k": {"text->image": (8, 4), "image->text": (4, 8)},
    "coco-5k": {"text->image": (8, 4), "image->text": (4, 8)},
    "coco-1k": {"text->image": (8, 4), "image->text": (4, 8)},
    "audiocaps": {"text->audio": (15, 3), "audio->text": (3, 15)},
    "clotho": {"text->audio": (15, 3), "audio->text": (3, 15)},
    "msrvtt-1ka": {"text->video": (2, 2), "video->text": (2, 2)},
    "msvd": {"text->video": (4, 2), "video->text": (2, 4)},
    "vggsound": {
        "audio->video": (3, 3),
        "video->audio": (3, 3),
        "text->audio": (3, 3),
        "audio->text": (3, 3),
        "text->video": (3, 3),
        "video->text": (3, 3),
    },
    "esc50": {"audio->class": (4, 4)},
    "cirr": {"composed->image": (2, 7), "composed->subset": (2, 5)},
    "fashioniq": {f"composed->{kind}": (1, 4) for kind in ("dress", "shirt", "toptee")},
    "mbeir": {"infoseek_task6": (3, 3)},
    "mixbench": {"MSCOCO: mixed": (3, 9)},
}


def measure(name: str, folder: Path, encoder: NumberEncoder | None = None) -> Outcome:
    request = Request(encoder=lambda: encoder or NumberEncoder(), data=folder)
    return registry.find(name).measure(request)


def dataset(name: str, folder: Path) -> Dataset:
    benchmark = registry.find(name)
    return benchmark.load(Request(encoder=NumberEncoder, data=folder))


@pytest.mark.parametrize("name", WRITERS)
def test_a_miniature_in_the_published_layout_is_read_and_measured(
    name: str, tmp_path: Path
) -> None:
    WRITERS[name](tmp_path)

    figures = json.loads(json.dumps(measure(name, tmp_path).figures))

    sizes = {
        direction: (values["queries"], values["candidates"])
        for direction, values in figures["directions"].items()
    }
    assert sizes == SIZES[name]
    assert figures["failed"] == []
    if name not in {"cirr", "fashioniq"}:
        for direction, values in figures["directions"].items():
            assert values["success@1"] == values["map"] == 1.0, direction
    wrong = measure(name, tmp_path, NumberEncoder(wrong=1)).figures["directions"]
    assert any(values["map"] < 1 for values in wrong.values())


@pytest.mark.parametrize("name", WRITERS)
def test_an_empty_or_absent_folder_gets_one_message_that_says_what_to_put_where(
    name: str, tmp_path: Path
) -> None:
    for folder in (None, tmp_path / "nowhere", tmp_path):
        with pytest.raises(OmniError, match=f"{name} ") as caught:
            registry.find(name).measure(Request(encoder=NumberEncoder, data=folder))
        assert caught.value.hint.startswith("put into the folder that --data names:")
        assert registry.find(name).layout in caught.value.hint


@pytest.mark.parametrize("name", WRITERS)
def test_the_digest_follows_annotations_and_media_and_nothing_else(
    name: str, tmp_path: Path
) -> None:
    WRITERS[name](tmp_path / "a")
    WRITERS[name](tmp_path / "b")
    (tmp_path / "b" / "readme.txt").write_text("unrelated")
    request = Request(encoder=NumberEncoder, data=tmp_path / "a")
    other = Request(encoder=NumberEncoder, data=tmp_path / "b")
    first = registry.find(name).digest(request)

    assert registry.find(name).digest(other) == first
    media = {".jpg", ".png", ".wav", ".mp4", ".avi"}
    paths = sorted(path for path in (tmp_path / "b").rglob("*") if path.is_file())
    annotation = next(p for p in paths if p.suffix not in media and p.name != "readme.txt")
    annotation.write_text(annotation.read_text() + "\n")
    changed = registry.find(name).digest(other)
    assert changed != first
    used = next(path for path in paths if path.suffix in media)
    used.write_bytes(used.read_bytes() + b"more")
    assert registry.find(name).digest(other) not in {first, changed}


def test_a_file_that_isn_t_the_published_one_is_read_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    miniatures.clotho(tmp_path)
    file = tmp_path / "clotho_captions_evaluation.csv"

    own = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    other = measure("clotho", tmp_path).figures
    monkeypatch.setitem(clotho.MD5, file.name, own)
    published = measure("clotho", tmp_path).figures

    assert other["checksums"] == {file.name: False}
    assert published["checksums"] == {file.name: True}
    assert f"{file.name} is NOT the published file, by its MD5" in remarks(other)
    assert measure("clotho", tmp_path).figures["directions"] == other["directions"]


@pytest.mark.parametrize("name", ["audiocaps", "msrvtt-1ka", "vggsound"])
def test_vanished_clips_are_counted_and_left_out(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)

    figures = measure(name, tmp_path).figures

    assert figures["missing"]["count"] == 1
    assert figures["differs_from_published"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("flickr30k", "flickr30k-images/101.jpg"),
        ("clotho", "evaluation/sound 1.wav"),
        ("cirr", "dev/dev-2.png"),
        ("mbeir", "mbeir_images/1.jpg"),
    ],
)
def test_a_missing_file_of_a_set_that_is_published_whole_is_an_error(
    name: str, file: str, tmp_path: Path
) -> None:
    WRITERS[name](tmp_path)
    (tmp_path / file).unlink()

    with pytest.raises(OmniError, match=r"1 of \d+ media are missing .*such as") as caught:
        measure(name, tmp_path)

    assert "put into the folder" in caught.value.hint


@pytest.mark.parametrize("name", WRITERS)
def test_damaged_annotations_are_explained(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    media = {".jpg", ".png", ".wav", ".mp4", ".avi"}
    for path in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
        if path.suffix in media:
            continue
        before = path.read_bytes()
        path.write_bytes(b"\xff\xfe nothing of ours")
        with pytest.raises(OmniError, match="can't be read") as caught:
            measure(name, tmp_path)
        assert caught.value.hint
        path.write_bytes(before)


def test_coco_folds_are_so_many_images_in_order_with_five_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (karpathy.FOLD_IMAGES, karpathy.FOLD_SENTENCES) == (1000, 5)
    monkeypatch.setattr(karpathy, "FOLD_IMAGES", 10)
    rows = [
        {
            "filename": f"{number}.jpg",
            "filepath": "val2014",
            "split": "test",
            "sentences": [{"raw": f"{number} said {k}"} for k in range(5 + number % 3)],
        }
        for number in range(25)
    ]
    (tmp_path / "val2014").mkdir()
    for row in rows:
        (tmp_path / "val2014" / str(row["filename"])).write_bytes(b"")
    miniatures.write_json(tmp_path / "dataset_coco.json", {"images": rows})

    folds = [task for task in dataset("coco-1k", tmp_path).tasks if task.name == "text->image"]
    (whole,) = [task for task in dataset("coco-5k", tmp_path).tasks if task.name == "text->image"]

    assert [len(task.candidates) for task in folds] == [10, 10, 5]
    assert [len(task.queries) for task in folds] == [50, 50, 25]
    assert len(whole.candidates) == 25
    assert len(whole.queries) == sum(len(row["sentences"]) for row in rows)
    assert folds[1].candidates[0].id == "10.jpg"


def test_cirr_leaves_the_reference_out_and_ranks_the_subset_alone(tmp_path: Path) -> None:
    miniatures.cirr(tmp_path)

    directions = measure("cirr", tmp_path).figures["directions"]

    # "make it 1": picture 1 is first. "make it 6" from picture 0, wanted is 3: 6 comes first, and
    # the other six tie; in the subset there is no 6, and all five tie.
    assert directions["composed->image"]["success@1"] == 0.5
    assert directions["composed->image"]["mrr"] == pytest.approx((1 + 1 / 7) / 2)
    assert directions["composed->subset"]["mrr"] == pytest.approx((1 + 1 / 5) / 2)


def test_fashioniq_ranks_the_reference_too(tmp_path: Path) -> None:
    miniatures.fashioniq(tmp_path)

    directions = measure("fashioniq", tmp_path).figures["directions"]

    # Reference and target are equally near to their sum, and ties count as worst case.
    assert all(values["median_rank"] == 2 for values in directions.values())


def test_esc50_gives_the_accuracy_of_each_fold(tmp_path: Path) -> None:
    miniatures.esc50(tmp_path)
    (tmp_path / "audio/1-100-A-0.wav").unlink()
    miniatures.write_sound(tmp_path / "audio/1-100-A-0.wav", 2)  # heard as another class

    figures = measure("esc50", tmp_path).figures["directions"]["audio->class"]

    assert figures["success@1"] == 0.75
    assert {key: part["success@1"] for key, part in figures["fold"].items()} == {"1": 0.5, "2": 1.0}


def test_an_encoder_without_a_modality_leaves_its_directions_out(tmp_path: Path) -> None:
    miniatures.vggsound(tmp_path)

    figures = measure("vggsound", tmp_path, NumberEncoder((Modality.TEXT, Modality.AUDIO))).figures

    assert list(figures["directions"]) == ["text->audio", "audio->text"]
    assert figures["left_out"]["audio->video"] == "the encoder doesn't know video"


def test_mixbench_shows_the_gap_between_modalities_and_centring_closes_it(tmp_path: Path) -> None:
    miniatures.mixbench(tmp_path)

    class Gapped(NumberEncoder):
        """Puts everything that is no text far away, in one direction."""

        def encode(self, items):
            rows = super().encode(items)
            for row, item in zip(rows, items, strict=True):
                row[DIM_OF_KIND[item.modality]] += 2
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    raw = measure("mixbench", tmp_path, Gapped()).figures["directions"]["MSCOCO: mixed"]
    request = Request(encoder=Gapped, data=tmp_path, centre=True)
    closed = registry.find("mixbench").measure(request).figures["directions"]["MSCOCO: mixed"]

    assert raw["ndcg@10"] < 0.9
    assert closed["ndcg@10"] == pytest.approx(1.0)


DIM_OF_KIND = {Modality.TEXT: 60, Modality.IMAGE: 61}
