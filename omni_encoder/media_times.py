"""Where a recording is cut, and which moments stand for a part."""

import itertools
import math

import numpy as np
from jaxtyping import Float64


def even_parts(duration: float, longest: float) -> list[tuple[float, float]]:
    """Cut a recording into as few parts of equal length as fit; starts and ends in seconds.

    Args:
        duration: Of the whole recording, more than 0.
        longest: The longest that a part may be.
    """
    # The slack keeps 20.000000001 s from becoming three parts.
    parts = max(1, math.ceil(duration / longest - 1e-6))
    edges = [duration * part / parts for part in range(parts + 1)]
    return list(itertools.pairwise(edges))


def slot_centres(start: float, end: float, frames: int) -> Float64[np.ndarray, " frames"]:
    """The middles of `frames` equal slots between two moments, in seconds."""
    return start + (end - start) * (np.arange(frames) + 0.5) / frames
