"""`omnidex models`, `doctor`, `bench` and `train`."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from omni_encoder.diagnosis import Finding, State, file_digest, recorded_digest
from tests.toy import ToyEncoder

from .conftest import Ended

Run = Callable[..., Ended]


def test_models_are_listed_without_loading_torch_or_open_clip(
    omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)  # an import of it would fail now

    listed = json.loads(omnidex("models", "--json").out)["models"]
    plain = omnidex("models")

    assert [model["name"] for model in listed] == [
        *("omni", "omni:FILE", "open_clip:MODEL/FILE", "open_clip:FILE", "open_clip:MODEL/TAG")
    ]
    assert listed[0]["modalities"] == ["text", "image", "audio", "video"]
    assert listed[0]["available"] is Path(listed[0]["file"]).is_file()
    assert plain.out.splitlines()[0].startswith("omni\ttext, image, audio, video\t")


def test_open_clips_models_are_listed_on_request(
    omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "omni_encoder.clip_loading.list_pretrained", lambda: [("ViT-B-32", "openai")]
    )

    listed = json.loads(omnidex("models", "--open-clip", "--json").out)["models"]

    assert listed[-1]["name"] == "open_clip:ViT-B-32/openai"


@pytest.fixture
def quick_doctor(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    findings = [Finding("versions", State.OK, "all there")]
    monkeypatch.setattr("omni_encoder.diagnosis.diagnose", lambda: findings)
    return findings


@pytest.mark.parametrize("named", [".", "", "./"])
def test_the_collection_one_is_in_is_named_by_a_dot(
    indexed: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.chdir(indexed.parent / "collection")
    there = omnidex("status", "-c", named)
    monkeypatch.chdir(indexed)
    elsewhere = omnidex("show", "-c", named, "3f2a")

    assert there.code == 0
    assert (elsewhere.code, elsewhere.err.splitlines()[0].partition(" in ")[0]) == (
        *(2, "Error: there is no collection"),
    )


def test_doctor_is_content_without_a_collection_and_counts_one(
    quick_doctor: list[Finding], media: Path, omnidex: Run
) -> None:
    before = omnidex("doctor")
    omnidex("index", media)
    after = json.loads(omnidex("doctor", "--json").out)

    assert before.code == 0
    assert "omnidex index" in before.out
    assert after["findings"][0] == {"name": "versions", "state": "ok", "detail": "all there"}
    assert "1 problem" in after["findings"][-1]["detail"]
    assert after["versions"]["torch"]


def test_doctor_exits_with_2_when_something_is_broken(
    quick_doctor: list[Finding], indexed: Path, tmp_path: Path, omnidex: Run
) -> None:
    assert omnidex("doctor").code == 0
    (tmp_path / "collection" / "omnidex.json").write_text("{")

    ended = omnidex("doctor")

    assert ended.code == 2
    assert "failure\tcollection" in ended.out


def test_doctor_searches_the_collection(
    quick_doctor: list[Finding], indexed: Path, tmp_path: Path, omnidex: Run
) -> None:
    assert "searchable by omni" in omnidex("doctor").out
    for path in (tmp_path / "collection").rglob("*.lance"):
        if path.is_file():
            path.write_bytes(b"not vectors")

    ended = omnidex("doctor")

    assert ended.code == 2
    assert "failure\tcollection" in ended.out
    assert "Traceback" not in ended.err


def test_doctor_sees_that_another_encoder_made_the_collection(
    quick_doctor: list[Finding], indexed: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ToyEncoder(name="omni")
    other.spec = replace(other.spec, fingerprint="f" * 32)
    monkeypatch.setattr("omni_encoder.load_encoder", lambda _: other)

    ended = omnidex("doctor")

    assert ended.code == 2
    assert "failure\tcollection" in ended.out
    assert "was made with the encoder omni" in ended.out


def test_doctor_fetches_no_model(
    quick_doctor: list[Finding], media: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    omnidex("index", media, "--encoder", "open_clip:ViT-B-32/openai")
    monkeypatch.setattr("omni_encoder.load_encoder", lambda _: pytest.fail("it was loaded"))

    ended = omnidex("doctor")

    assert ended.code == 0
    assert "was not loaded" in ended.out


def test_doctor_looks_at_everything_that_encoding_needs() -> None:
    from omni_encoder.diagnosis import diagnose

    findings = {finding.name: finding for finding in diagnose()}

    assert set(findings) == {
        *("versions", "torch threads", "torchvision", "image decoders"),
        *("audio and video decoders", "shipped checkpoint"),
    }
    for name in ("versions", "torchvision", "image decoders", "audio and video decoders"):
        assert findings[name].state is State.OK, findings[name]
    assert findings["torch threads"].detail


def test_doctor_sees_an_altered_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from omni_encoder import diagnosis

    checkpoint = tmp_path / "nano.safetensors"
    checkpoint.write_bytes(b"weights")
    checkpoint.with_suffix(".json").write_text(json.dumps({"blake3": file_digest(checkpoint)}))
    assert recorded_digest(checkpoint) == file_digest(checkpoint)
    checkpoint.write_bytes(b"altered")
    monkeypatch.setattr(diagnosis, "shipped_checkpoint", lambda: checkpoint)

    state, detail = diagnosis._checkpoint()

    assert state is State.FAILURE
    assert "not the file that was shipped" in detail
    assert recorded_digest(tmp_path / "other.safetensors") is None


def manifest_of(folder: Path) -> Path:
    rows = [
        {"id": "r", "modality": "image", "file": "red.png", "captions": ["a red square"]},
        {"id": "b", "modality": "image", "file": "blue.jpg", "captions": ["a blue square"]},
    ]
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_bench_quality_prints_every_direction(media: Path, omnidex: Run) -> None:
    manifest = manifest_of(media)

    document = json.loads(omnidex("bench", "quality", manifest, "--json").out)
    assert document["encoder"].keys() == {"name", "fingerprint"}
    plain = omnidex("bench", "quality", manifest)

    assert document["schema"] == 1
    figures = document["directions"]["text->image"]
    assert (figures["queries"], figures["candidates"]) == (2, 2)
    assert figures["chance_success@1"] == pytest.approx(0.5)
    rows = [line.split("\t") for line in plain.out.splitlines()]
    assert {row[0] for row in rows} == set(document["directions"])
    assert {len(row) for row in rows} == {11}
    assert "was not measured" in plain.err


def test_bench_quality_on_a_wrong_manifest_is_one_error(media: Path, omnidex: Run) -> None:
    ended = omnidex("bench", "quality", media / "absent.jsonl", "--json")

    assert ended.code == 2
    assert json.loads(ended.err)["error"]["message"]


def test_bench_ingest_gives_both_ratios_and_draws_them(omnidex: Run, tmp_path: Path) -> None:
    files = ("--images", 4, "--texts", 10, "--turns", 2, "--plot", tmp_path / "kept.svg")
    document = json.loads(omnidex("bench", "ingest", *files, "--json").out)

    assert document["items"] == 4
    assert document["ratio"] > 0
    assert document["kinds"]["text"]["files"] == 10
    assert document["second_run"]["speed_up"] > 0
    assert "throughput kept" in (tmp_path / "kept.svg").read_text()


def test_train_hands_over_its_configuration_and_prints_the_checkpoint(
    tmp_path: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Path, bool]] = []

    def train(
        config: Path, *, resume: bool, progress: Callable[[str, int, int, dict[str, float]], None]
    ) -> Path:
        calls.append((config, resume))
        progress("joint", 1, 2, {"loss": 0.5})
        return tmp_path / "nano.safetensors"

    module = ModuleType("omni_encoder.train_stages")
    module.train = train
    monkeypatch.setitem(sys.modules, "omni_encoder.train_stages", module)
    config = tmp_path / "run.toml"
    config.touch()

    plain = omnidex("train", config)
    anew = omnidex("train", config, "--restart", "--json")

    assert calls == [(config, True), (config, False)]
    assert plain.out == f"{tmp_path / 'nano.safetensors'}\n"
    assert json.loads(anew.out)["checkpoint"] == str(tmp_path / "nano.safetensors")


def test_bench_quality_names_a_manifest_that_is_not_there(tmp_path: Path, omnidex: Run) -> None:
    ended = omnidex("bench", "quality", tmp_path / "absent.jsonl", "--json")

    assert ended.code == 2
    error = json.loads(ended.err)["error"]
    assert error["message"] == f"there is no file {tmp_path / 'absent.jsonl'}"
    assert error["code"] == "manifest"
