"""The array types of annotations."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("first", "checked"), [("import sys", False), ("import sys, jaxtyping", True)]
)
def test_array_types_are_jaxtypings_only_where_that_is_imported(first: str, checked: bool) -> None:
    code = (
        f"{first}; import numpy as np; from omni_encoder.arrays import Float32;"
        "print(Float32[np.ndarray, 'rows dim'] is np.ndarray, 'jaxtyping' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [str(not checked), str(checked)]
