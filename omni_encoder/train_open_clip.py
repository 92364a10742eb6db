"""Training a dual encoder with open_clip's own model and loss: the peer that omni is measured by.

A small CLIP from scratch on the images and captions of the same manifests, for as many steps or as
much processor time as is asked for. Loss, model, tokenizer and file layout are open_clip's.
"""

# open_clip is untyped, and what torch returns is typed only in part.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false

import json
import math
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from .clip_loading import CONFIG_NAME
from .errors import MediaError
from .media import open_media
from .model import array_of, square
from .torchvision_guard import ensure_torchvision
from .train_config import TrainConfig, TrainingError, read_config
from .train_data import TrainItem, read_items
from .train_records import append_log, save_progress
from .types import MediaLayout, Modality

Progress = Callable[[str, int, int, dict[str, float]], None]
WEIGHTS_NAME = "open_clip_model.safetensors"
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_VOCABULARY = 49_408


@dataclass(frozen=True, slots=True)
class OpenClipConfig:
    """The `[open_clip]` section of a training run.

    Attributes:
        steps: Steps at most.
        cpu_minutes: Processor time of the steps at most; None sets no limit. The learning rate
            falls with whichever share is larger.
        batch: Pairs a step.
        rate: Peak learning rate.
        warmup: Steps until the learning rate peaks; it falls to zero as a cosine.
        weight_decay: Decoupled weight decay of matrices.
        pixels: Side of the square that images are resized to.
        patch: Side of a patch.
        width: Of both towers.
        layers: Of the vision tower.
        text_layers: Of the text tower.
        context: Longest text, in tokens.
        dim: Length of a vector.
        save_every: Steps between saves.
    """

    steps: int = 1000
    cpu_minutes: float | None = None
    batch: int = 128
    rate: float = 5e-4
    warmup: int = 50
    weight_decay: float = 0.1
    pixels: int = 64
    patch: int = 8
    width: int = 192
    layers: int = 6
    text_layers: int = 4
    context: int = 24
    dim: int = 256
    save_every: int = 100

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "warmup", "patch", "layers", "text_layers", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.width % 64:
            raise ValueError(f"width must be a multiple of 64, got {self.width}")
        if self.pixels % self.patch:
            raise ValueError(f"pixels must be a multiple of patch, got {self.pixels}")

    def architecture(self) -> dict[str, object]:
        """open_clip's configuration of the model."""
        return {
            "embed_dim": self.dim,
            "vision_cfg": {
                "image_size": self.pixels,
                "layers": self.layers,
                "width": self.width,
                "head_width": 64,
                "patch_size": self.patch,
            },
            "text_cfg": {
                "context_length": self.context,
                "vocab_size": _VOCABULARY,
                "width": self.width,
                "heads": self.width // 64,
                "layers": self.text_layers,
            },
        }


def read_open_clip_config(path: Path) -> tuple[TrainConfig, OpenClipConfig]:
    """Read a run's TOML file that has an `[open_clip]` section.

    Raises:
        TrainingError: The file is missing, is not TOML, or a value is unknown or out of range.
    """
    common = read_config(path)
    table: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8")).get("open_clip", {})
    unknown = sorted(table.keys() - {field.name for field in fields(OpenClipConfig)})
    if unknown:
        raise TrainingError(f"{path}: unknown setting open_clip.{unknown[0]}")
    try:
        return common, OpenClipConfig(**table)  # pyright: ignore[reportArgumentType] - checked above
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{path}: open_clip: {error}", hint="see docs/training.md") from error


def train_open_clip(config: Path, *, resume: bool = True, progress: Progress | None = None) -> Path:
    """Train as a TOML file says; writes `open_clip/` with weights and configuration.

    Use it with `--encoder open_clip:peer/RUN/open_clip/open_clip_model.safetensors`.

    Raises:
        TrainingError: The config or its data can't be used.
    """
    common, settings = read_open_clip_config(config)
    torch.set_num_threads(common.threads)
    trainer = _Trainer(common, settings, progress or _silent)
    saved = common.run / "open_clip.pt"
    if resume and saved.exists():
        trainer.restore(saved)
    trainer.run(saved)
    return trainer.finish()


def _silent(phase: str, done: int, total: int, values: dict[str, float]) -> None:
    """Report nothing."""


class _Trainer:
    def __init__(self, config: TrainConfig, settings: OpenClipConfig, progress: Progress) -> None:
        self.config, self.settings, self.progress = config, settings, progress
        ensure_torchvision()
        self.open_clip = import_module("open_clip")
        items = [i for i in read_items(config) if i.modality is Modality.IMAGE and i.captions]
        self.items, self.pixels = _read([i for i in items if not i.held_out], settings, progress)
        if not self.items:
            raise TrainingError("no image has a caption", hint="see docs/training.md")
        self.folder = config.run / "open_clip"
        self.folder.mkdir(parents=True, exist_ok=True)
        described = {
            "model_cfg": settings.architecture(),
            "preprocess_cfg": {
                "mean": list(_MEAN),
                "std": list(_STD),
                "interpolation": "bicubic",
                "resize_mode": "squash",
            },
        }
        (self.folder / CONFIG_NAME).write_text(json.dumps(described, indent=1), encoding="utf-8")
        origin = f"local-dir:{self.folder}"
        torch.manual_seed(config.seed)
        self.model: torch.nn.Module = self.open_clip.create_model(origin, load_weights=False)
        self.tokenizer = self.open_clip.get_tokenizer(origin)
        self.loss = self.open_clip.ClipLoss()
        matrices = [p for p in self.model.parameters() if p.ndim >= 2]
        rest = [p for p in self.model.parameters() if p.ndim < 2]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": settings.weight_decay},
                {"params": rest, "weight_decay": 0.0},
            ],
            betas=(0.9, 0.98),
            eps=1e-6,
        )
        self.step, self.spent_s = 0, 0.0
        self.log: list[dict[str, float]] = []

    def done(self) -> float:
        """Which share of its budget the run has used, in [0, 1]."""
        share = self.step / self.settings.steps
        if self.settings.cpu_minutes is not None:
            share = max(share, self.spent_s / 60 / self.settings.cpu_minutes)
        return min(1.0, share)

    def run(self, saved: Path) -> None:
        self.model.train()
        while self.done() < 1:
            start = time.process_time()
            loss = self._take_step()
            self.spent_s += time.process_time() - start
            self.step += 1
            self.log.append({"step": float(self.step), "loss": loss, "cpu_s": self.spent_s})
            self.progress("open_clip", self.step, self.settings.steps, {"loss": loss})
            if self.step % self.settings.save_every == 0:
                self._save(saved)
        self._save(saved)

    def _take_step(self) -> float:
        settings = self.settings
        generator = np.random.default_rng([self.config.seed, 6, self.step])
        count = min(settings.batch, len(self.items))
        rows = generator.choice(len(self.items), count, replace=False)
        pixels = self.pixels[torch.from_numpy(rows)].float() / 255
        if generator.random() < 0.5:
            pixels = pixels.flip(3)
        pixels = (pixels - torch.tensor(_MEAN)[:, None, None]) / torch.tensor(_STD)[:, None, None]
        texts = [
            self.items[r].captions[int(generator.integers(len(self.items[r].captions)))]
            for r in rows
        ]
        images, words, scale = self.model(pixels, self.tokenizer(texts))
        loss: Tensor = self.loss(images, words, scale)
        warm = min(1.0, (self.step + 1) / settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = settings.rate * warm * 0.5 * (1 + math.cos(math.pi * self.done()))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(self.model.parameters()), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.get_parameter("logit_scale").clamp_(0, math.log(100))
        return loss.item()

    def finish(self) -> Path:
        path = self.folder / WEIGHTS_NAME
        tensors = {n: t.contiguous() for n, t in self.model.state_dict().items()}
        training = {"config": asdict(self.settings), "steps": self.step, "cpu_s": self.spent_s}
        save_file(tensors, path, {"training": json.dumps({**training, "items": len(self.items)})})
        return path

    def _save(self, path: Path) -> None:
        save_progress(
            {
                "step": self.step,
                "spent_s": self.spent_s,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
            path,
        )
        append_log(self.log, path.with_suffix(".csv"))

    def restore(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.spent_s = state["step"], state["spent_s"]


def _read(
    items: Sequence[TrainItem], settings: OpenClipConfig, progress: Progress
) -> tuple[list[TrainItem], Tensor]:
    """The items that can be decoded, and their pixels: uint8 [items, 3, side, side]."""
    layout = MediaLayout(image_pixels=settings.pixels)
    kept: list[TrainItem] = []
    pixels: list[Tensor] = []
    for number, item in enumerate(items, start=1):
        try:
            _, parts = open_media(item.path, layout)
            pixels.append(square(array_of(next(iter(parts))), settings.pixels))
        except (MediaError, StopIteration):
            continue
        kept.append(item)
        if number % 64 == 0 or number == len(items):
            progress("images", number, len(items), {})
    side = settings.pixels
    return kept, torch.stack(pixels) if pixels else torch.zeros(0, 3, side, side)
