"""Which training a configuration file asks for: an encoder's, or one of its companions'."""

import tomllib
from pathlib import Path

from .train import Progress
from .train import train as train_encoder
from .train_flow import train_flow
from .train_joint import train_joint
from .train_tokens import train_tokens


def train(config: Path, *, resume: bool = True, progress: Progress | None = None) -> Path:
    """Train what a TOML file describes.

    With a section `[flow]` the generating half, else with `[tokens]` the tokenizers, else with
    `[joint]` pseudo-words, else an encoder.

    Raises:
        TrainingError: The config or its data can't be used.
        CheckpointError: A pretrained part, or what the stage builds on, is missing.
    """
    try:
        sections = tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        sections = {}  # reading it again says what is wrong
    if "flow" in sections:
        return train_flow(config, resume=resume, progress=progress)
    if "tokens" in sections:
        return train_tokens(config, resume=resume, progress=progress)
    if "joint" in sections:
        return train_joint(config, progress=progress)
    return train_encoder(config, resume=resume, progress=progress)
