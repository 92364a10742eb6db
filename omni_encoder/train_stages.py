"""Which training a configuration file asks for: an encoder's, or one of its companions'."""

import tomllib
from pathlib import Path

from .team import team_size
from .train import Progress
from .train import train as train_encoder
from .train_config import TrainingError
from .train_flow import train_flow
from .train_joint import train_joint
from .train_open_clip import train_open_clip
from .train_tokens import train_tokens


def train(config: Path, *, resume: bool = True, progress: Progress | None = None) -> Path:
    """Train what a TOML file describes.

    With a section `[flow]` the generating half, else with `[tokens]` the tokenizers, else with
    `[joint]` pseudo-words, else with `[open_clip]` a dual encoder of open_clip's, else an encoder.

    Raises:
        TrainingError: The config or its data can't be used.
        CheckpointError: A pretrained part, or what the stage builds on, is missing.
    """
    try:
        sections = tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        sections = {}  # reading it again says what is wrong
    if "flow" not in sections and team_size() > 1:
        raise TrainingError(
            f"{config}: only a section [flow] is trained by several processes",
            hint=f"start one: omnidex train {config}",
        )
    if "flow" in sections:
        return train_flow(config, resume=resume, progress=progress)
    if "tokens" in sections:
        return train_tokens(config, resume=resume, progress=progress)
    if "joint" in sections:
        return train_joint(config, progress=progress)
    if "open_clip" in sections:
        return train_open_clip(config, resume=resume, progress=progress)
    if "ablation" in sections:
        raise TrainingError(
            f"{config}: a section [ablation] is no training of one model",
            hint=f"omnidex bench ablation {config}",
        )
    return train_encoder(config, resume=resume, progress=progress)
