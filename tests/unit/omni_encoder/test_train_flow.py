"""The generating half whole: trained on a miniature manifest, saved, read, and asked."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from omni_encoder.errors import CheckpointError, EncoderError, QueryError
from omni_encoder.flow_checkpoint import FORMAT
from omni_encoder.flow_generate import GenerateRule
from omni_encoder.generator import OmniGenerator
from omni_encoder.model import OmniEncoder, tiny_checkpoint
from omni_encoder.stored import read_stored, write_stored
from omni_encoder.team import Team
from omni_encoder.token_checkpoint import load_tokenizers, read_tensors
from omni_encoder.train_config import TrainingError
from omni_encoder.train_flow import FlowTrainer
from omni_encoder.train_flow_config import read_flow_config
from omni_encoder.train_stages import train
from omni_encoder.types import MediaItem, Modality

TOKENS = """
run = "run"
manifests = ["manifest.jsonl"]
split = "split.json"
[tokens]
encoder = "tiny.safetensors"
modalities = ["image"]
steps = 2
batch = 2
width = 12
codes = 8
"""
FLOW = """
run = "{run}"
manifests = ["manifest.jsonl"]
split = "split.json"
[flow]
encoder = "tiny.safetensors"
tokens = "run/tokens.safetensors"
steps = 3
batch = 2
block = 4
inner = 16
rank = 2
near = 8
save_every = 2
validate_every = 3
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("flow")
    tiny_checkpoint(made / "tiny.safetensors")
    rows: list[dict[str, object]] = []
    for number, colour in enumerate(((200, 30, 30), (30, 200, 30), (30, 30, 200))):
        Image.new("RGB", (40, 30), colour).save(made / f"{number}.png")
        rows.append(
            {
                "id": f"image-{number}",
                "modality": "image",
                "file": f"{number}.png",
                "captions": [f"{number}"],
                "source": "test",
                "license": "CC0-1.0",
            }
        )
    (made / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (made / "split.json").write_text(json.dumps({"validation": ["image-2"]}))
    (made / "tokens.toml").write_text(TOKENS)
    (made / "flow.toml").write_text(FLOW.format(run="run"))
    train(made / "tokens.toml")
    train(made / "flow.toml")
    return made


def _generator(folder: Path) -> OmniGenerator:
    return OmniGenerator.load(
        encoder=folder / "tiny.safetensors",
        tokens=folder / "run" / "tokens.safetensors",
        flow=folder / "run" / "flow.safetensors",
    )


def test_an_interrupted_run_equals_a_whole_one(folder: Path) -> None:
    (folder / "again.toml").write_text(FLOW.format(run="again"))

    def interrupt(phase: str, done: int, total: int, values: dict[str, float]) -> None:
        if (phase, done) == ("flow", 3):  # after the save of step 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(folder / "again.toml", progress=interrupt)
    resumed, meta = read_tensors(train(folder / "again.toml"), FORMAT)
    whole, whole_meta = read_tensors(folder / "run" / "flow.safetensors", FORMAT)

    assert meta == whole_meta
    assert resumed.keys() == whole.keys()
    for name, tensor in whole.items():
        assert torch.equal(resumed[name], tensor), name
    checks = json.loads(meta["training"])["checks"]
    assert set(checks) == {
        "text->image",
        "text->image shuffled",
        "image->text",
        "image->text shuffled",
        "text->text",
        "text->text shuffled",
        "overall",
    }


def test_the_half_that_was_best_when_checked_is_kept(folder: Path) -> None:
    wild = FLOW.format(run="wild").replace("validate_every = 3", "validate_every = 1")
    wild = wild.replace("steps = 3", "steps = 6\nrate = 3.0\nwarmup = 1")
    (folder / "wild.toml").write_text(wild)

    _, meta = read_tensors(train(folder / "wild.toml"), FORMAT)
    _, again = read_tensors(train(folder / "wild.toml"), FORMAT)

    lines = (folder / "wild" / "validation.jsonl").read_text().splitlines()
    checked = {line["step"]: line["overall"] for line in map(json.loads, lines)}
    best = json.loads(meta["training"])
    assert set(checked) == {1, 2, 3, 4, 5, 6}
    assert best["checks"]["overall"] == min(checked.values())
    assert checked[best["step"]] == min(checked.values())
    assert checked[6] > min(checked.values())  # or nothing was shown
    assert again == meta


def test_conversations_are_learnt_beside_single_questions(folder: Path) -> None:
    talk = FLOW.format(run="talk").replace("steps = 3", "steps = 12\nconversations = 0.7")
    talk = talk.replace('split = "split.json"\n', "")  # what is held out is one item, too few
    (folder / "talk.toml").write_text(talk + 'start = "run/flow.safetensors"\n')

    path = train(folder / "talk.toml")

    checks = json.loads(read_tensors(path, FORMAT)[1]["training"])["checks"]
    for direction in ("text->image", "image->text", "text->text"):
        assert checks[f"{direction} conversing"] > 0


def test_a_start_is_not_written_over(folder: Path) -> None:
    (folder / "over.toml").write_text(FLOW.format(run="over") + 'start = "over/flow.safetensors"\n')

    with pytest.raises(TrainingError, match="its start"):
        train(folder / "over.toml")


def test_a_run_that_goes_on_keeps_what_was_best(folder: Path) -> None:
    (folder / "more.toml").write_text(FLOW.format(run="more"))
    train(folder / "more.toml")
    state = torch.load(folder / "more" / "flow.pt", weights_only=True)
    last = json.loads((folder / "more" / "validation.jsonl").read_text().splitlines()[-1])

    assert state["best"] == last["overall"]


def test_without_conversations_none_are_checked(folder: Path) -> None:
    _, meta = read_tensors(folder / "run" / "flow.safetensors", FORMAT)

    assert "conversing" not in meta["training"]


def test_processes_that_share_batches_learn_what_one_learns(folder: Path) -> None:
    settings = FLOW.replace("{run}", "team").replace("batch = 2", "batch = 2\nrate = 1e-2")
    (folder / "team.toml").write_text(settings)
    (folder / "lone.toml").write_text(settings.replace('"team"', '"lone"'))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "omnidex_cli.app", "train"]

    done = subprocess.run(
        [*command, str(folder / "team.toml")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    shared, lone = (
        read_tensors(path, FORMAT)[0]
        for path in (folder / "team" / "flow.safetensors", train(folder / "lone.toml"))
    )

    assert done.stdout.strip() == str(folder / "team" / "flow.safetensors")
    assert len((folder / "team" / "flow.csv").read_text().splitlines()) == 4
    (events,) = (folder / "team" / "tensorboard").iterdir()
    assert all(tag in events.read_bytes() for tag in (b"flow/loss", b"flow/text-to-image"))
    for name, tensor in lone.items():
        torch.testing.assert_close(
            shared[name].float(), tensor.float(), atol=1.0 if "int8" in name else 2e-3, rtol=0.01
        )


def test_more_processes_than_rows_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common, settings = read_flow_config(folder / "flow.toml")
    encoder = OmniEncoder.load(folder / "tiny.safetensors", name="tiny")
    tokens = load_tokenizers(folder / "run" / "tokens.safetensors", encoder.network)
    monkeypatch.setattr(Team, "one_first", lambda _team: nullcontext())

    with pytest.raises(TrainingError, match="3 processes"):
        FlowTrainer(common, settings, encoder, tokens, lambda *_: None, team=Team(size=3))


def test_other_stages_are_trained_by_one_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")

    with pytest.raises(TrainingError, match=r"\[flow\]"):
        train(folder / "tokens.toml")


@pytest.mark.parametrize("setting", ["conversations = 1.5", 'device = "gpu"'])
def test_a_setting_out_of_range_is_named(folder: Path, setting: str) -> None:
    (folder / "odd.toml").write_text(FLOW.format(run="odd") + setting + "\n")

    with pytest.raises(TrainingError, match=setting.split(maxsplit=1)[0]):
        train(folder / "odd.toml")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_refused(folder: Path) -> None:
    (folder / "cuda.toml").write_text(FLOW.format(run="cuda") + 'device = "cuda"\n')

    with pytest.raises(TrainingError, match="0 CUDA devices"):
        train(folder / "cuda.toml")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_learns_what_the_processor_learns(folder: Path) -> None:
    (folder / "gpu.toml").write_text(FLOW.format(run="gpu") + 'device = "cuda"\n')

    checks = [
        json.loads(read_tensors(path, FORMAT)[1]["training"])["checks"]
        for path in (train(folder / "gpu.toml"), folder / "run" / "flow.safetensors")
    ]

    assert checks[0] == pytest.approx(checks[1], rel=1e-2)


def test_a_run_begins_from_a_stored_half(folder: Path) -> None:
    begun = "seed = 1\n" + FLOW.format(run="begun")
    begun = begun.replace("steps = 3", "steps = 1\nwarmup = 10000")
    (folder / "begun.toml").write_text(begun + 'start = "run/flow.safetensors"\n')
    (folder / "fresh.toml").write_text(begun.replace('"begun"', '"fresh"'))

    stored, begun_from_it, fresh = (
        read_tensors(path, FORMAT)[0]["words.map.weight.int8"].float()
        for path in (
            folder / "run" / "flow.safetensors",
            train(folder / "begun.toml"),
            train(folder / "fresh.toml"),
        )
    )

    assert (begun_from_it - stored).abs().mean() < 1
    assert (fresh - stored).abs().mean() > 1


def test_a_half_of_another_rank_is_no_beginning(folder: Path) -> None:
    wrong = FLOW.format(run="wrong").replace("rank = 2", "rank = 3")
    (folder / "wrong.toml").write_text(wrong + 'start = "run/flow.safetensors"\n')

    with pytest.raises(CheckpointError, match="another size"):
        train(folder / "wrong.toml")


def test_a_begun_run_goes_on_after_an_interruption(folder: Path) -> None:
    begun = FLOW.format(run="cut") + 'start = "run/flow.safetensors"\nprecision = "bfloat16"\n'
    (folder / "cut.toml").write_text(begun)
    (folder / "uncut.toml").write_text(begun.replace('"cut"', '"uncut"'))

    def interrupt(phase: str, done: int, total: int, values: dict[str, float]) -> None:
        if (phase, done) == ("flow", 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(folder / "cut.toml", progress=interrupt)
    resumed, meta = read_tensors(train(folder / "cut.toml"), FORMAT)
    whole, _ = read_tensors(train(folder / "uncut.toml"), FORMAT)

    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())
    assert json.loads(meta["training"])["start"]
    (folder / "cut.toml").write_text(begun.replace("bfloat16", "float32"))
    with pytest.raises(TrainingError, match="another start, precision"):
        train(folder / "cut.toml")


def test_a_half_of_the_earlier_format_begins_a_run_with_fresh_places(folder: Path) -> None:
    stored = read_stored(folder / "run" / "flow.safetensors", FORMAT)
    old = {n: t for n, t in stored.tensors.items() if not n.endswith(".around")}
    old = {n: t * 0 if n.endswith(".positions") else t for n, t in old.items()}
    write_stored(old, stored.metadata | {"format": "omnidex-flow-2"}, folder / "old.safetensors")
    begun = FLOW.format(run="older").replace("steps = 3", "steps = 1\nwarmup = 10000")
    (folder / "older.toml").write_text(begun + 'start = "old.safetensors"\n')

    made, _ = read_tensors(train(folder / "older.toml"), FORMAT)

    assert made["inputs.image.positions"].abs().max() > 0.1
    torch.testing.assert_close(made["null"], stored.tensors["null"].float(), atol=1e-3, rtol=0)
    with pytest.raises(CheckpointError, match="not an omnidex file of format omnidex-flow-3"):
        OmniGenerator.load(
            encoder=folder / "tiny.safetensors",
            tokens=folder / "run" / "tokens.safetensors",
            flow=folder / "old.safetensors",
        )


def test_every_direction_is_drawn_and_a_seed_draws_the_same(folder: Path) -> None:
    generator = _generator(folder)
    rule = GenerateRule(steps=2, guidance=2.0, block=4, most_blocks=2)
    text = MediaItem(Modality.TEXT, "1")
    image = MediaItem(Modality.IMAGE, np.full((40, 30, 3), 90, dtype=np.uint8))

    pictures = generator.generate([text, image], Modality.IMAGE, count=2, rule=rule)
    again = generator.generate([text, image], Modality.IMAGE, count=1, rule=rule)
    words = generator.generate([image], Modality.TEXT, rule=rule)

    assert [np.asarray(p.content).shape for p in pictures] == [(64, 64, 3)] * 2
    np.testing.assert_array_equal(again[0].content, pictures[0].content)
    assert isinstance(words[0].content, str)


def test_what_cannot_be_drawn_is_refused(folder: Path) -> None:
    generator = _generator(folder)
    text = MediaItem(Modality.TEXT, "1")

    with pytest.raises(EncoderError, match="audio"):
        generator.generate([text], Modality.AUDIO)
    with pytest.raises(QueryError, match="nothing"):
        generator.generate([], Modality.IMAGE)
    with pytest.raises(QueryError, match="tokens"):
        generator.generate([MediaItem(Modality.TEXT, "1 " * 80)], Modality.IMAGE)
    with pytest.raises(ValueError, match="count"):
        generator.generate([text], Modality.IMAGE, count=0)


def test_parts_of_different_models_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(
        TOKENS.replace("steps = 2", "steps = 1")
        .replace('"manifest.jsonl"', f'"{folder}/manifest.jsonl"')
        .replace('"split.json"', f'"{folder}/split.json"')
        .replace('"tiny.safetensors"', f'"{folder}/tiny.safetensors"')
        .replace("modalities", "codes = 6\nmodalities")
        .replace("codes = 8\n", "")
    )
    other = train(tmp_path / "other.toml")

    begun = FLOW.format(run=tmp_path / "run").replace('"run/tokens', f'"{other.parent}/tokens')
    (folder / "begun-other.toml").write_text(begun + 'start = "run/flow.safetensors"\n')
    with pytest.raises(CheckpointError, match="other codes"):
        train(folder / "begun-other.toml")
    with pytest.raises(CheckpointError, match="other codes"):
        OmniGenerator.load(
            encoder=folder / "tiny.safetensors",
            tokens=other,
            flow=folder / "run" / "flow.safetensors",
        )


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    start = 'run = "r"\nmanifests = ["m.jsonl"]\n[flow]\n'

    for line, what in (
        ("stepz = 1", "flow.stepz"),
        ("drop = 1.0", "drop"),
        ("steps = 0", "steps"),
        ('precision = "half"', "precision"),
    ):
        path.write_text(start + line)
        with pytest.raises(TrainingError, match=what):
            read_flow_config(path)
