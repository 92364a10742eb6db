"""Encoders by name: `omni`, `omni:FILE` and `open_clip:MODEL/TAG-or-FILE`."""

from pathlib import Path

from .errors import EncoderError
from .shipped import shipped_checkpoint
from .types import Encoder

DEFAULT_ENCODER = "omni"


def load_encoder(name: str = DEFAULT_ENCODER, *, threads: int | None = None) -> Encoder:
    """Load an encoder by name. This imports torch.

    Args:
        name: `omni` for the shipped model, `omni:FILE` for a checkpoint of ours,
            `open_clip:MODEL/TAG` or `open_clip:MODEL/FILE` for a CLIP model (`open_clip:FILE` if
            its configuration lies beside it), `bridge` for the untrained baseline of benchmarks.
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
