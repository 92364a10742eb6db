"""Encoders by name: `omni`, `omni:FILE` and `open_clip:MODEL/TAG-or-FILE`."""

from pathlib import Path

from .errors import EncoderError
from .types import Encoder

DEFAULT_ENCODER = "omni"


def shipped_checkpoint() -> Path:
    """The checkpoint that comes with the package; it may be absent in a partial install."""
    return Path(__file__).parent / "weights" / "nano.safetensors"


def shipped_tokens() -> Path:
    """The tokenizers of the shipped checkpoint; they may be absent in a partial install."""
    return Path(__file__).parent / "weights" / "nano-tokens.safetensors"


def shipped_flow() -> Path:
    """The generating half of the shipped checkpoint; it may be absent in a partial install."""
    return Path(__file__).parent / "weights" / "nano-flow.safetensors"


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


def load_encoder(name: str = DEFAULT_ENCODER, *, threads: int | None = None) -> Encoder:
    """Load an encoder by name. This imports torch.

    Args:
        name: `omni` for the shipped model, `omni:FILE` for a checkpoint of ours,
            `open_clip:MODEL/TAG` or `open_clip:MODEL/FILE` for a CLIP model, `bridge` for the
            untrained baseline of benchmarks.
        threads: How many torch threads to use; None leaves torch's own choice.

    Raises:
        EncoderError: The name is unknown, or its weights can't be loaded.
    """
    family, _, rest = name.partition(":")
    if family == "omni":
        from .model import OmniEncoder

        path = Path(rest) if rest else shipped_checkpoint()
        return OmniEncoder.load(path, name=name, threads=threads)
    if family == "open_clip" and rest:
        from .clip import OpenClipEncoder

        return OpenClipEncoder.load(rest, threads=threads)
    if name == "bridge":
        from .bridge import BridgeEncoder

        return BridgeEncoder(threads=threads)
    raise EncoderError(
        f"there is no encoder called {name!r}",
        hint="use omni, omni:FILE.safetensors or open_clip:MODEL/TAG; `omnidex models` lists them",
    )
