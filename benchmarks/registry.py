"""All benchmarks by name. A new one is a line in `_BENCHMARKS`; its module is imported if asked."""

from collections.abc import Mapping
from importlib import import_module

from omni_encoder import OmniError

from .protocol import Benchmark

_DATASETS = "omnidex_benchmarks.datasets"
_REGISTERED = "omnidex_benchmarks.registered"

# Name on the command line: module, and the `Benchmark` in it.
_BENCHMARKS: Mapping[str, tuple[str, str]] = {
    "manifest": (f"{_DATASETS}.own", "MANIFEST"),
    "flickr30k": (f"{_DATASETS}.karpathy", "FLICKR30K"),
    "coco-5k": (f"{_DATASETS}.karpathy", "COCO_5K"),
    "coco-1k": (f"{_DATASETS}.karpathy", "COCO_1K"),
    "audiocaps": (f"{_DATASETS}.audiocaps", "AUDIOCAPS"),
    "clotho": (f"{_DATASETS}.clotho", "CLOTHO"),
    "msrvtt-1ka": (f"{_DATASETS}.msrvtt", "MSRVTT_1KA"),
    "msvd": (f"{_DATASETS}.msvd", "MSVD"),
    "vggsound": (f"{_DATASETS}.vggsound", "VGGSOUND"),
    "esc50": (f"{_DATASETS}.esc50", "ESC50"),
    "cirr": (f"{_DATASETS}.cirr", "CIRR"),
    "fashioniq": (f"{_DATASETS}.fashioniq", "FASHIONIQ"),
    "mbeir": (f"{_DATASETS}.mbeir", "MBEIR"),
    "mixbench": (f"{_DATASETS}.mixbench", "MIXBENCH"),
    "turns": ("omnidex_benchmarks.turns", "TURNS_BENCHMARK"),
    "composed": (_REGISTERED, "COMPOSED"),
    "mixed": (_REGISTERED, "MIXED"),
    "weak": (_REGISTERED, "WEAK"),
    "reranking": (_REGISTERED, "RERANKING"),
    "imagine": (_REGISTERED, "IMAGINE"),
    "drawing": (_REGISTERED, "DRAWING"),
    "ablation": (_REGISTERED, "ABLATION"),
    "ann": (_REGISTERED, "ANN"),
    "ingest": ("omnidex_benchmarks.system", "INGEST"),
    "rescan": (_REGISTERED, "RESCAN"),
    "memory": (_REGISTERED, "MEMORY"),
    "encode": ("omnidex_benchmarks.encode", "ENCODE"),
    "speedup": (_REGISTERED, "SPEEDUP"),
    "rerank": ("omnidex_benchmarks.rerank_cost", "RERANK"),
    "generate": (_REGISTERED, "GENERATE"),
    "startup": ("omnidex_benchmarks.system", "STARTUP"),
    "cold-start": ("omnidex_benchmarks.cold_start", "COLD_START"),
}


def names() -> list[str]:
    """What `omnidex bench run` takes: retrieval, then asking, then the system."""
    return list(_BENCHMARKS)


def find(name: str) -> Benchmark:
    """The benchmark of a name.

    Raises:
        OmniError: There is none.
    """
    if name not in _BENCHMARKS:
        raise OmniError(
            f"there is no benchmark called {name!r}", hint="omnidex bench list names them all"
        )
    module, attribute = _BENCHMARKS[name]
    found: object = getattr(import_module(module), attribute)
    assert isinstance(found, Benchmark)  # our own table; a test imports every line of it
    return found
