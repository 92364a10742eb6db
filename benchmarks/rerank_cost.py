"""What re-ranking costs: judging the first hits of a query, against encoding the query.

Question: how much longer does a search take with `--rerank flow`? A made text is encoded, as every
search does, and its 20 first hits, made pictures, are judged by the flow, turn about after one turn
to warm up. Reading: `ratio` is the median over turns of judging / encoding, in CPU time, and both
grow with the machine alike. What re-ranking is worth is for `omnidex bench rerank` on a manifest.
"""

import statistics
from collections.abc import Mapping

import numpy as np

from omni_encoder import MediaItem, Modality
from retrieval.rerank import RerankRule, load_flow

from .encode import cpu_seconds, made_items
from .protocol import Request
from .system import SystemBenchmark
from .timing import machine, spread

_TEXT = "two children watch a dog run along a beach"


def run(request: Request) -> Mapping[str, object]:
    """Measure it with the shipped flow and its encoder."""
    encoder, rule = request.encoder(), RerankRule()
    flow = load_flow(draws=rule.draws, seed=request.seed)
    generator = np.random.default_rng(request.seed)
    pictures = made_items(Modality.IMAGE, encoder, generator, count=rule.top)
    vectors, kinds = encoder.encode(pictures), [Modality.IMAGE] * rule.top
    query = MediaItem(Modality.TEXT, _TEXT)
    turns = 2 if request.quick else 7
    judging: list[float] = []
    encoding: list[float] = []
    for turn in range(turns + 1):
        judging.append(cpu_seconds(lambda: flow.judge(query, vectors, kinds)))
        encoding.append(cpu_seconds(lambda: encoder.encode([query])))
        if request.progress is not None:
            request.progress("Measuring", turn + 1, turns + 1)
    ratios = [slow / max(fast, 1e-9) for slow, fast in zip(judging, encoding, strict=True)][1:]
    return {
        "encoder": {"name": encoder.spec.name, "fingerprint": encoder.spec.fingerprint},
        "ratio": statistics.median(ratios),
        "ratios": spread(ratios),
        "unit": f"CPU time of judging {rule.top} pictures / of encoding the query",
        "judging_cpu_s": spread(judging[1:]),
        "encoding_cpu_s": spread(encoding[1:]),
        "top": rule.top,
        "draws": rule.draws,
        "turns": turns,
        "machine": machine("omnidex", "torch", "numpy"),
    }


RERANK = SystemBenchmark("rerank", "Judging a query's first hits against encoding the query", run)
