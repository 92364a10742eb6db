"""The `[flow]` section of a training run."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from .flow_objective import Precision
from .train_config import TrainConfig, TrainingError, read_config


@dataclass(frozen=True, slots=True)
class FlowConfig:
    """The `[flow]` section of a training run.

    Attributes:
        encoder: The checkpoint to start from; the shipped one if not given.
        tokens: Its tokenizers; the shipped ones if not given.
        start: A generating half of the same sizes and tokenizers to start from; fresh if not given.
        steps: Steps.
        batch: Items a step.
        rate: Peak learning rate.
        warmup: Steps until the learning rate peaks; it falls to zero as a cosine.
        weight_decay: Decoupled weight decay of matrices.
        media_share: Share of the steps that learn to draw pictures and sounds; the rest learn to
            write. Kinds of media are drawn by the square root of how many items they have.
        conversations: Share of the steps whose condition comes with words that say what is wanted,
            after an earlier exchange, or both (`train_turns`): the last stage, begun from a half
            that knows its directions.
        drop: Share of rows that are trained without their condition, which guidance needs.
        block: Texts are padded to a multiple of so many tokens.
        words: Longest caption, in tokens; longer ones are cut.
        inner: Inner width of the code heads.
        rank: Of the backbone's corrections.
        vector_noise: Longest noise added to search vectors, which are at unit length: what the
            encoder was trained on looks surer to it than what it will meet.
        precision: What maps multiply in, `float32` or `bfloat16`. A step by the latter takes six
            tenths of the time where the processor has matrix units for it (AMX), more elsewhere.
        device: What trains, `cpu` or `cuda`; each of several processes takes a GPU of its own.
        near: Words kept near each word for cheap noise; 0 writes the law out.
        save_every: Steps between saves.
        validate_every: Steps between validations.
    """

    encoder: Path | None = None
    tokens: Path | None = None
    start: Path | None = None
    steps: int = 2000
    batch: int = 32
    rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.02
    media_share: float = 0.5
    conversations: float = 0.0
    drop: float = 0.1
    block: int = 16
    words: int = 30
    inner: int = 128
    rank: int = 48
    vector_noise: float = 0.6
    precision: Precision = "float32"
    device: Literal["cpu", "cuda"] = "cpu"
    near: int = 64
    save_every: int = 100
    validate_every: int = 500

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "warmup", "block", "words", "save_every", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.drop < 1:
            raise ValueError(f"drop must be in [0, 1), got {self.drop}")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be float32 or bfloat16, got {self.precision!r}")
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"device must be cpu or cuda, got {self.device!r}")
        for name in ("media_share", "conversations"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")


def read_flow_config(path: Path) -> tuple[TrainConfig, FlowConfig]:
    """Read a run's TOML file that has a `[flow]` section.

    Raises:
        TrainingError: The file is missing, is not TOML, or a value is unknown or out of range.
    """
    common = read_config(path)
    table: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8")).get("flow", {})
    unknown = sorted(table.keys() - {field.name for field in fields(FlowConfig)})
    if unknown:
        raise TrainingError(f"{path}: unknown setting flow.{unknown[0]}")
    for name in ("encoder", "tokens", "start"):
        if name in table:
            table[name] = path.resolve().parent / str(table[name])
    try:
        return common, FlowConfig(**table)  # pyright: ignore[reportArgumentType] - checked above
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{path}: flow: {error}", hint="see docs/training.md") from error
