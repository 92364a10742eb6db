"""What identifies a checkpoint of ours: a digest of all that its vectors depend on."""

from collections.abc import Mapping

import numpy as np

FORMAT = "omnidex-omni-1"
# Raise it when the forward pass or the preprocessing changes vectors so much that earlier ones
# can't be searched beside them.
FORWARD_VERSION = 1


def fingerprint_of(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """A hex digest of content, not of a file's bytes: saving the same model again leaves it.

    Args:
        tensors: As they are stored.
        metadata: `config` and `tokenizer` count.

    Raises:
        KeyError: One of them is missing.
    """
    from blake3 import blake3

    digest = blake3(f"{FORMAT}/{FORWARD_VERSION}".encode())
    for name in ("config", "tokenizer"):
        digest.update(metadata[name].encode())
    for name in sorted(tensors):
        array = tensors[name]
        # Types are called what torch calls them, as they always were.
        digest.update(f"{name} torch.{array.dtype.name} {list(array.shape)}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest(16)
