"""The array types of annotations: jaxtyping's for type checkers and whoever imports that first.

Importing jaxtyping imports `unittest.mock` and asyncio, and takes as long as a whole cached search.
Nothing but annotations needs it, so other processes do without: `Float32[np.ndarray, "rows dim"]`
is `np.ndarray` there.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Float16, Float32, Float64, Int8, Int32, Int64, UInt32
else:

    class _Unchecked:
        """An array of whatever numbers and shape."""

        def __class_getitem__(cls, kind_and_shape: tuple[type, str]) -> type:
            return kind_and_shape[0]

    Bool = Float = Float16 = Float32 = Float64 = Int8 = Int32 = Int64 = UInt32 = _Unchecked

__all__ = [
    "Bool",
    "Float",
    "Float16",
    "Float32",
    "Float64",
    "Int8",
    "Int32",
    "Int64",
    "UInt32",
]
