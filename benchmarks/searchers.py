"""What finds the candidates of a retrieval benchmark: by default a whole ranking, else an index.

`collection` searches as a collection of omnidex does: vectors of 16 bits, codes above 20,000 of
them, exact scores. The others are the engines of `indexer.baselines`. An index is asked for the
`DEPTH` best of each query: what it did not find there ranks behind everything else.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float32, Int64

from indexer.baselines import ENGINES
from indexer.build import write_segment
from indexer.coding import Recipe
from indexer.planner import Search, nearest
from indexer.rows import Items
from indexer.segment import Segment
from omni_encoder import Modality, OmniError

EXACT = "exact"
DEPTH = 100
_TARGET = 0.99  # recall that codes are tuned to, as a collection's are

Rows = Float32[np.ndarray, "rows dim"]
Hits = Int64[np.ndarray, " hits"]
Find = Callable[[Float32[np.ndarray, " dim"], int], Hits]
"""Gives the best candidates of a query, best first, at most so many."""


def names() -> list[str]:
    """What `--index` takes."""
    return [EXACT, *_builders()]


def found_by(
    name: str, queries: Rows, candidates: Rows, *, own: Int64[np.ndarray, " queries"] | None = None
) -> list[Hits]:
    """The best candidates of each query, best first, at most `DEPTH`.

    Args:
        name: Of the index; `exact` is a matrix product.
        queries: Unit rows.
        candidates: Unit rows.
        own: For each query the candidate that is left out, or -1.

    Raises:
        OmniError: There is no index of that name, or it isn't installed.
    """
    builders = {EXACT: _exact, **_builders()}
    if name not in builders:
        raise OmniError(
            f"there is no index called {name!r} to measure with",
            hint=f"use one of: {', '.join(names())}",
        )
    left_out = np.full(len(queries), -1) if own is None else own
    count = min(DEPTH + (own is not None), len(candidates))
    with TemporaryDirectory(prefix="omnidex-bench-") as folder:
        find = builders[name](candidates, Path(folder))
        lists = [find(query, count).astype(np.int64) for query in queries]
    return [
        hits[hits != leave][:DEPTH] for hits, leave in zip(lists, left_out.tolist(), strict=True)
    ]


def _builders() -> Mapping[str, Callable[[Rows, Path], Find]]:
    others = {name.replace("_", "-"): make for name, make in ENGINES.items() if name != "numpy"}
    return {"collection": _collection, **others}


def _exact(candidates: Rows, folder: Path) -> Find:
    del folder
    return lambda query, k: np.argsort(-(candidates @ query), kind="stable")[:k]


def _collection(candidates: Rows, folder: Path) -> Find:
    count, dim = candidates.shape
    numbers: Int64[np.ndarray, " rows"] = np.arange(count, dtype=np.int64)
    facts: Sequence[tuple[object, ...]] = [
        (f"{i:032x}.image.0", f"{i:032x}", "image", 0, *(None,) * 2, "image/jpeg", *(None,) * 6)
        for i in range(count)
    ]
    items = Items(numbers, numbers, candidates.astype(np.float16), facts)
    nothing = np.zeros(dim, np.float32)  # whether means are subtracted is the benchmark's business
    recipe = Recipe(nothing, _TARGET, np.zeros((0, dim), np.float32))
    entry = write_segment(folder, Modality.IMAGE, items, recipe, base=True)
    segment = Segment(entry, folder, folder, dim)
    segment.open()
    means = {Modality.IMAGE: nothing}
    return lambda query, k: nearest([segment], Search(query, k), means, None).rows
