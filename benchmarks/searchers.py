"""What finds candidates in a retrieval benchmark: by default a whole ranking, else an index.

An index is a function from unit rows of candidates to something that is asked for the `k` best of
each query. It is registered by a line in `_SEARCHERS`, under the name that `--index` takes; its
lists of hits are cut off, so what it did not find ranks behind everything else.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64

from omni_encoder import OmniError

EXACT = "exact"
DEPTH = 1000

# Name on the command line: module and function. The module is imported when the name is asked for.
_SEARCHERS: Mapping[str, tuple[str, str]] = {
    "float16": ("omnidex_benchmarks.searchers", "float16"),
}


@runtime_checkable
class Searcher(Protocol):
    """An index over candidates."""

    def search(
        self, queries: Float32[np.ndarray, "queries dim"], *, k: int
    ) -> Sequence[Int64[np.ndarray, " hits"]]:
        """The numbers of the best candidates of each query, best first, at most `k`."""
        ...


@runtime_checkable
class BuildSearcher(Protocol):
    """Makes an index."""

    def __call__(self, candidates: Float32[np.ndarray, "candidates dim"]) -> Searcher:
        """An index over unit rows."""
        ...


def names() -> list[str]:
    """What `--index` takes."""
    return [EXACT, *_SEARCHERS]


def load(name: str) -> BuildSearcher:
    """The maker of an index.

    Raises:
        OmniError: There is none of that name.
    """
    if name not in _SEARCHERS:
        raise OmniError(
            f"there is no index called {name!r} to measure with",
            hint=f"use one of: {', '.join(names())}",
        )
    module, function = _SEARCHERS[name]
    found: object = getattr(import_module(module), function)
    assert isinstance(found, BuildSearcher)  # our own table
    return found


class _Float16:
    """Exact search over vectors in the 16 bits that a collection stores."""

    def __init__(self, candidates: Float32[np.ndarray, "candidates dim"]) -> None:
        self._rows = candidates.astype(np.float16).astype(np.float32)

    def search(
        self, queries: Float32[np.ndarray, "queries dim"], *, k: int
    ) -> Sequence[Int64[np.ndarray, " hits"]]:
        found: list[Int64[np.ndarray, " hits"]] = []
        for query in queries:
            scores = self._rows @ query
            found.append(np.argsort(-scores, kind="stable")[:k].astype(np.int64))
        return found


def float16(candidates: Float32[np.ndarray, "candidates dim"]) -> Searcher:
    """Exact search over vectors in the 16 bits that a collection stores."""
    return _Float16(candidates)
