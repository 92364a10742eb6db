"""What an ablation compares, and how long it trains, read from a TOML file and checked."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from .flow_objective import Precision
from .train_config import TrainConfig, TrainingError, read_config

Codes = Literal["meaning", "pixels", "both"]


@dataclass(frozen=True, slots=True)
class Variant:
    """A rung of the ladder.

    Attributes:
        name: What a table calls it.
        in_order: Whether slots are guessed one after the other.
        reads: By which codes pictures are read.
        draws: Which codes are drawn.
        dynamic: Whether the length of a text is found in blocks.
    """

    name: str
    in_order: bool
    reads: Codes
    draws: Codes
    dynamic: bool


LADDER = (
    Variant("in order, decoupled", in_order=True, reads="meaning", draws="pixels", dynamic=False),
    Variant("flow, decoupled", in_order=False, reads="meaning", draws="pixels", dynamic=False),
    Variant("flow, unified", in_order=False, reads="meaning", draws="meaning", dynamic=False),
    Variant("+ dynamic length", in_order=False, reads="meaning", draws="meaning", dynamic=True),
    Variant("+ reconstruction", in_order=False, reads="both", draws="both", dynamic=True),
)


@dataclass(frozen=True, slots=True)
class AblationConfig:
    """The `[ablation]` section of a training run.

    Attributes:
        encoder: The checkpoint to start from; the shipped one if not given.
        token_steps: Steps of each tokenizer.
        steps: Steps of each variant.
        batch: Items a step.
        layers: Layers of the backbone that are kept.
        rank: Of their corrections.
        rate: Peak learning rate; it falls to zero as a cosine.
        warmup: Steps until it peaks.
        precision: What maps multiply in while training, `float32` or `bfloat16`; noise, losses and
            what is measured are in float32.
        words: Longest caption, in tokens.
        block: Texts of a dynamic length are padded to a multiple of so many tokens.
        drawn: How many held-out items are drawn and captioned.
        draw_steps: Steps of drawing by flow.
    """

    encoder: Path | None = None
    token_steps: int = 200
    steps: int = 300
    batch: int = 24
    layers: int = 2
    rank: int = 48
    rate: float = 1e-3
    warmup: int = 30
    precision: Precision = "float32"
    words: int = 30
    block: int = 16
    drawn: int = 100
    draw_steps: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            value: object = getattr(self, field.name)
            if field.name != "encoder" and isinstance(value, int | float) and value <= 0:
                raise ValueError(f"{field.name} must be more than 0, got {value}")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be float32 or bfloat16, got {self.precision!r}")
        if self.batch < 2:
            raise ValueError(f"batch must be at least 2, got {self.batch}")


def read_ablation_config(path: Path) -> tuple[TrainConfig, AblationConfig]:
    """Read a run's TOML file that has an `[ablation]` section.

    Raises:
        TrainingError: The file is missing, is not TOML, or a value is unknown or out of range.
    """
    common = read_config(path)
    table: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8")).get("ablation", {})
    unknown = sorted(table.keys() - {field.name for field in fields(AblationConfig)})
    if unknown:
        raise TrainingError(f"{path}: unknown setting ablation.{unknown[0]}")
    if "encoder" in table:
        table["encoder"] = path.resolve().parent / str(table["encoder"])
    try:
        return common, AblationConfig(**table)  # pyright: ignore[reportArgumentType] - checked
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{path}: ablation: {error}", hint="see docs/training.md") from error
