"""What a training run is made of, read from a TOML file and checked."""

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path

from .errors import OmniError

STAGES = (
    "tokens",
    "flow",
    "joint",
    "open_clip",
    "ablation",
)  # sections of stages of their own, which read them themselves


class TrainingError(OmniError):
    """A training run can't start or go on as configured."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """A training run. Paths in the file are relative to the file.

    Attributes:
        run: Folder for features, progress, log and the finished checkpoint.
        manifests: Manifests (JSON Lines, see docs/training.md) to train on.
        split: Split file; its `validation` ids of the first manifest are never trained on.
        texts: A text corpus, one text a line, that keeps the text side where it started.
        exclude_licences: Items whose licence holds one of these strings are left out.
        vision_size: Which EfficientNet-Lite the vision encoder starts from: 0, 1 or 2.
        views: How many views of an image are kept; all but the first are randomly cropped.
        seed: Of initialisation, views and the order of batches.
        threads: Torch threads.
        sound_steps: Steps that teach the audio encoder the teacher's sound classes.
        head_steps: Steps of the adapters on frozen features.
        head_batch: Items such a step.
        steps: Joint steps, in which the backbone and the last vision stages learn too.
        batch: Items a joint step.
        texts_per_step: Corpus texts a step.
        backbone_rate: Peak learning rate of what starts pretrained.
        new_rate: Peak learning rate of what starts fresh.
        weight_decay: Decoupled weight decay of matrices.
        warmup: Steps until the learning rate peaks; it falls to zero as a cosine.
        dropout: Of features on their way into the backbone.
        keep_tokens: Share of an image's grid cells that a step sees.
        bridge_weight: Of matching the concept vector's similarities.
        text_weight: Of keeping texts at their frozen vectors.
        average: Decay of the running average of the weights, which is what gets shipped.
        save_every: Steps between saves of the progress.
        validate_every: Steps between validations.
        tasks: How often each kind of batch comes, by name: `image-text`, `audio-text`,
            `video-text`, `image-audio`, `image-video`, `image-image`.
    """

    run: Path
    manifests: tuple[Path, ...]
    split: Path | None = None
    texts: Path | None = None
    exclude_licences: tuple[str, ...] = ()
    vision_size: int = 0
    views: int = 1
    seed: int = 0
    threads: int = 1
    sound_steps: int = 1000
    head_steps: int = 1500
    head_batch: int = 512
    steps: int = 0
    batch: int = 128
    texts_per_step: int = 64
    backbone_rate: float = 5e-5
    new_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 200
    dropout: float = 0.2
    keep_tokens: float = 0.6
    bridge_weight: float = 0.5
    text_weight: float = 5.0
    average: float = 0.998
    save_every: int = 200
    validate_every: int = 400
    tasks: tuple[tuple[str, float], ...] = (
        ("image-text", 6.0),
        ("audio-text", 4.0),
        ("video-text", 0.5),
        ("image-audio", 0.5),
        ("image-video", 0.5),
        ("image-image", 0.5),
    )

    def __post_init__(self) -> None:
        for name in (
            "head_steps",
            "head_batch",
            "batch",
            "views",
            "threads",
            "save_every",
            "validate_every",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.keep_tokens <= 1:
            raise ValueError(f"keep_tokens must be in (0, 1], got {self.keep_tokens}")
        if not 0 <= self.average < 1:
            raise ValueError(f"average must be in [0, 1), got {self.average}")
        known = {
            "image-text",
            "audio-text",
            "video-text",
            "image-audio",
            "image-video",
            "image-image",
        }
        for task, weight in self.tasks:
            if task not in known or weight < 0:
                raise ValueError(f"tasks: {task} = {weight}; known tasks are {sorted(known)}")


def read_config(path: Path) -> TrainConfig:
    """Read a training run's TOML file.

    Raises:
        TrainingError: The file is missing, is not TOML, or a value is unknown or out of range.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TrainingError(
            f"can't read the training config {path}: {error}", hint="see docs/training.md"
        ) from error
    for stage in STAGES:
        values.pop(stage, None)
    names = {field.name for field in fields(TrainConfig)}
    unknown = sorted(values.keys() - names)
    if unknown:
        raise TrainingError(
            f"{path}: unknown setting {unknown[0]!r}", hint=f"known: {', '.join(sorted(names))}"
        )
    folder = path.resolve().parent
    try:
        for name in ("run", "split", "texts"):
            if name in values:
                values[name] = folder / values[name]
        values["manifests"] = tuple(folder / name for name in values.get("manifests", ()))
        if "exclude_licences" in values:
            values["exclude_licences"] = tuple(values["exclude_licences"])
        if "tasks" in values:
            values["tasks"] = tuple(values["tasks"].items())
        config = TrainConfig(**values)
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{path}: {error}", hint="see docs/training.md") from error
    if not config.manifests:
        raise TrainingError(f"{path}: no manifests", hint='add manifests = ["manifest.jsonl"]')
    return replace(config)
