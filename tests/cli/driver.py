"""The `omnidex` command of a process of its own, with the toy encoder in place of real ones.

`python driver.py ARGUMENTS...`. With TOY_SLOW set, each batch takes a moment, and `encoding` is
written to stderr when the first one is done.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

import omni_encoder
import omni_encoder.query_encoder
from omni_encoder import Encoder, MediaItem
from tests.toy import ToyEncoder


class SlowEncoder(ToyEncoder):
    """Leaves time to be interrupted in."""

    _first = 0  # how many items the first batch held

    def encode(self, items: Sequence[MediaItem]) -> np.ndarray:
        if 0 < self.encoded == self._first:
            sys.stderr.write("encoding\n")
            sys.stderr.flush()
        vectors = super().encode(items)
        self._first = self._first or self.encoded
        time.sleep(0.05 * len(items))
        return vectors


def load_toy(name: str = "omni", *, threads: int | None = None) -> Encoder:
    """Load a toy by any name but `broken`."""
    if name == "broken":
        raise omni_encoder.EncoderError("there is no encoder called 'broken'", hint="use omni")
    return SlowEncoder(name=name) if "TOY_SLOW" in os.environ else ToyEncoder(name=name)


def install() -> None:
    """Put the toy where the commands find their encoder."""
    omni_encoder.load_encoder = load_toy
    omni_encoder.registry.load_encoder = load_toy
    omni_encoder.query_encoder.load_query_encoder = load_toy


if __name__ == "__main__":
    install()
    from omnidex_cli.app import run

    run()
