"""Other engines over the same vectors, for `omnidex bench ann` to measure ours against."""

from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from omni_encoder import OmniError
from omni_encoder.arrays import Float32, Int64

if TYPE_CHECKING:
    from lancedb.query import LanceVectorQueryBuilder

Vectors = Float32[np.ndarray, "rows dim"]
Query = Float32[np.ndarray, " dim"]
Rows = Int64[np.ndarray, " hits"]
Search = Callable[[Query, int], Rows]
"""Gives the rows nearest to a query, best first."""


def flat(vectors: Vectors, folder: Path) -> Search:
    """FAISS's exact index, the reference that ratios name."""
    import faiss

    del folder
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return lambda query, k: index.search(query[None], k)[1][0]


def hnsw(vectors: Vectors, folder: Path) -> Search:
    """FAISS's graph index, at the settings where its recall is near 0.99."""
    import faiss

    del folder
    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 128
    index.add(vectors)
    index.hnsw.efSearch = 128
    return lambda query, k: index.search(query[None], k)[1][0]


def product(vectors: Vectors, folder: Path) -> Search:
    """One matrix product in numpy."""
    del folder

    def search(query: Query, k: int) -> Rows:
        scores = vectors @ query
        best = np.argpartition(-scores, k)[:k]
        return best[np.argsort(-scores[best])]

    return search


def usearch(vectors: Vectors, folder: Path) -> Search:
    """Usearch's graph of half-precision vectors."""
    del folder
    module = _load("usearch.index", "usearch")
    make = cast("Callable[..., object]", getattr(module, "Index"))  # noqa: B009 - untyped
    index = make(ndim=vectors.shape[1], metric="ip", dtype="f16", expansion_search=128)
    add = cast("Callable[..., object]", getattr(index, "add"))  # noqa: B009
    add(np.arange(len(vectors)), vectors, threads=1)
    search = cast("Callable[..., object]", getattr(index, "search"))  # noqa: B009

    def nearest(query: Query, k: int) -> Rows:
        found = search(query, k, threads=1)
        return np.asarray(getattr(found, "keys"), dtype=np.int64)  # noqa: B009

    return nearest


def hnswlib(vectors: Vectors, folder: Path) -> Search:
    """Hnswlib's graph."""
    del folder
    module = _load("hnswlib", "hnswlib")
    make = cast("Callable[..., object]", getattr(module, "Index"))  # noqa: B009 - untyped
    index = make(space="ip", dim=vectors.shape[1])
    for name, options in (
        ("init_index", {"max_elements": len(vectors), "M": 16, "ef_construction": 128}),
        ("set_num_threads", {"num_threads": 1}),
    ):
        cast("Callable[..., object]", getattr(index, name))(**options)
    cast("Callable[..., object]", getattr(index, "add_items"))(vectors)  # noqa: B009
    cast("Callable[..., object]", getattr(index, "set_ef"))(128)  # noqa: B009
    query_rows = cast(
        "Callable[..., tuple[np.ndarray, np.ndarray]]",
        getattr(index, "knn_query"),  # noqa: B009
    )
    return lambda query, k: query_rows(query[None], k=k)[0][0].astype(np.int64)


def lance(vectors: Vectors, folder: Path) -> Search:
    """LanceDB with its best index on this class of machine: IVF with 5-bit RaBitQ."""
    import lancedb
    import pyarrow as pa
    from lancedb.index import IvfRq

    flat_values = pa.array(vectors.reshape(-1))
    column = cast(
        "pa.Array[pa.FloatScalar]", pa.FixedSizeListArray.from_arrays(flat_values, vectors.shape[1])
    )
    numbers = cast("pa.Array[pa.Int64Scalar]", pa.array(np.arange(len(vectors))))
    database = lancedb.connect(folder / "lance", read_consistency_interval=timedelta(days=1))
    rows = pa.Table.from_arrays([numbers, column], names=["number", "vector"])
    table = database.create_table("rows", rows)
    table.create_index("vector", config=IvfRq(distance_type="dot", num_bits=5))

    def search(query: Query, k: int) -> Rows:
        asked = cast("LanceVectorQueryBuilder", table.search(query))
        asked = asked.distance_type("dot").nprobes(16).refine_factor(2).limit(k)
        found = asked.select(["number", "_distance"]).to_arrow()
        return found["number"].to_numpy().astype(np.int64)

    return search


ENGINES: dict[str, Callable[[Vectors, Path], Search]] = {
    "numpy": product,
    "faiss_flat": flat,
    "faiss_hnsw": hnsw,
    "usearch": usearch,
    "hnswlib": hnswlib,
    "lance_ivf_rq": lance,
}


def _load(module: str, package: str) -> object:
    try:
        return import_module(module)
    except ImportError as error:
        raise OmniError(
            f"{package} isn't installed", hint="pip install 'omnidex[bench]'"
        ) from error
