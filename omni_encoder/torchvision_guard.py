"""Makes a CUDA-linked torchvision import beside a CPU torch, which open_clip and timm need.

torchvision's C++ part can't load without CUDA's libraries; the schemas of its operators `nms` and
`qnms` then stay undefined, and its Python part fails while it registers their fake kernels. With
the two schemas defined first, all of it imports; only calling those operators still fails. A pair
of torch and torchvision that fits is left as it is.
"""

import functools
import importlib
import sys
from enum import StrEnum

from torch.library import Library


class GuardState(StrEnum):
    """What was needed to import torchvision."""

    FITS = "fits"
    PATCHED = "patched"


@functools.cache  # torch drops the schemas with the object, so the cache keeps it
def _operator_schemas() -> Library:
    library = Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


@functools.cache
def ensure_torchvision() -> GuardState:
    """Import torchvision, defining the two missing operators if that is what it fails on.

    Call it before the first import of open_clip or timm.

    Raises:
        ImportError: torchvision is not installed, or fails for another reason.
        RuntimeError: torchvision fails for another reason.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    else:
        return GuardState.FITS
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    _operator_schemas()
    importlib.import_module("torchvision")
    return GuardState.PATCHED
