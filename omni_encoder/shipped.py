"""Where the files of the shipped model lie, and those that belong to another checkpoint."""

from pathlib import Path
from typing import cast


def shipped_checkpoint() -> Path:
    """The checkpoint that comes with the package; it may be absent in a partial install."""
    return Path(__file__).parent / "weights" / "nano.safetensors"


def shipped_tokens() -> Path:
    """The tokenizers of the shipped checkpoint; they may be absent in a partial install."""
    return Path(__file__).parent / "weights" / "nano-tokens.safetensors"


def shipped_flow() -> Path:
    """The generating half of the shipped checkpoint; it may be absent in a partial install."""
    return Path(__file__).parent / "weights" / "nano-flow.safetensors"


def shipped_flow_header() -> dict[str, str]:
    """The texts in the header of `shipped_flow`; `training` says how it was trained and checked."""
    from safetensors import safe_open

    with safe_open(shipped_flow(), framework="np") as file:  # pyright: ignore[reportUnknownVariableType] - it has no types
        return cast("dict[str, str]", file.metadata())


def companion(name: str, what: str) -> Path | None:
    """Where a file that belongs to an `omni` encoder would lie, beside its checkpoint.

    Args:
        name: The encoder's, as `load_encoder` takes it.
        what: The end of the file's name, such as `joint.safetensors`.

    Returns:
        `STEM-what` beside the checkpoint, be it there or not; None for encoders of other families.
    """
    family, _, rest = name.partition(":")
    if family != "omni":
        return None
    checkpoint = Path(rest) if rest else shipped_checkpoint()
    return checkpoint.with_name(f"{checkpoint.stem}-{what}")
