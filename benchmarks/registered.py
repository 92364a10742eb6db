"""Benchmarks that have a command of their own, as `omnidex bench run` runs them.

Each of these says which of its figures is the `ratio` to a floor or a peer, which are its `ratios`,
turn by turn, and what `--quick` leaves out. What they measure, and options beyond those of
`bench run`, is for the modules and commands of the same name.
"""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from omni_encoder import OmniError

from .protocol import Request
from .system import SystemBenchmark
from .timing import Spread, spread

_MANIFEST = "a manifest, as for `manifest`; --split FILE keeps the ids under its `validation`"
_CONFIG = "a TOML file with a section [ablation]"
# Recall that codes are tuned to, a point of the curve each; the last is what collections use.
_TARGETS = (0.95, 0.999, 0.99)


def _ann(request: Request) -> Mapping[str, object]:
    from .ann import AnnBenchmark, run

    rows, queries = (25_000, 20) if request.quick else (100_000, 100)
    curves: dict[str, list[dict[str, float]]] = {}
    result: dict[str, object] = {}
    engines: Mapping[str, Mapping[str, object]] = {}
    for number, target in enumerate(_TARGETS[-1:] if request.quick else _TARGETS):
        result = run(AnnBenchmark((rows,), queries=queries, target=target, collection=request.data))
        (size,) = cast("list[Mapping[str, object]]", result["sizes"])
        engines = cast("Mapping[str, Mapping[str, object]]", size["engines"])
        for name, figures in engines.items():
            if name == "default" or not number:  # the others don't depend on the target
                point = {
                    "recall": cast("float", figures["recall_across"]),
                    "queries_per_s": 1000 / cast("Spread", figures["cpu_ms"])["median"],
                }
                curves.setdefault(name, []).append(point)
        _tell(request, number + 1, len(_TARGETS))
    default, flat = (
        cast("Spread", engines[name]["cpu_ms"])["values"] for name in ("default", "faiss_flat")
    )
    ratios = [slow / fast for slow, fast in zip(flat, default, strict=True)]
    return {
        "ratio": statistics.median(ratios),
        "ratios": spread(ratios),
        "unit": "CPU time of a query by FAISS Flat / by the default search",
        "curves": curves,
        **{name: result[name] for name in ("vectors", "queries", "sizes", "machine")},
    }


def _rescan(request: Request) -> Mapping[str, object]:
    from .rescan import RescanBenchmark, run

    result = run(RescanBenchmark(2000 if request.quick else 20_000, 2 if request.quick else 5))
    change = cast("Spread", result["change_ratio"])
    encoder = {"name": str(result["encoder"]), "fingerprint": ""}
    unit = "CPU time of a run that finds one changed file, less its encoding / of a bare walk"
    return {"ratio": change["median"], "ratios": change, "unit": unit, **result, "encoder": encoder}


def _memory(request: Request) -> Mapping[str, object]:
    from .memory import run

    numbers = (200, 2000) if request.quick else (1000, 20_000)
    unit = f"peak of indexing {numbers[1]} files / {numbers[0]} files"
    return {"unit": unit, **run(numbers)}


def _speedup(request: Request) -> Mapping[str, object]:
    from .speedup import SpeedupBenchmark, run

    quick = request.quick
    result = run(
        SpeedupBenchmark(
            batch=4 if quick else 16,
            turns=1 if quick else 5,
            folder=request.data,
            seed=request.seed,
            progress=lambda done, total: _tell(request, done, total),
        )
    )
    kinds = cast("Mapping[str, Mapping[str, Spread]]", result["kinds"])
    ratios = kinds["image"]["ratio"]
    unit = "CPU time of an image by plain float32 torch / by omni"
    return {"ratio": ratios["median"], "ratios": ratios, "unit": unit, **result}


def _generate(request: Request) -> Mapping[str, object]:
    from omni_encoder import Modality
    from omni_encoder.flow_generate import GenerateRule
    from omni_encoder.generator import OmniGenerator
    from omni_encoder.samplers import FLOW, IN_ORDER

    from .generation import GenerationBenchmark, run

    rule = GenerateRule(steps=4 if request.quick else 16, seed=request.seed)
    options = GenerationBenchmark(
        Modality.IMAGE,
        rule,
        steps=() if request.quick else (4, 16),
        turns=1 if request.quick else 5,
        progress=request.progress,
    )
    result = run(options, OmniGenerator.load(threads=request.threads))
    samplers = cast("Mapping[str, Mapping[str, Spread]]", result["samplers"])
    slow, fast = (samplers[name]["seconds"]["values"] for name in (IN_ORDER, FLOW))
    ratios = [a / b for a, b in zip(slow, fast, strict=True)]
    unit = "time of drawing slot after slot / by the flow"
    return {"ratios": spread(ratios), "unit": unit, **result}


def _composed(request: Request) -> Mapping[str, object]:
    from .composed import ComposedOptions, run

    return run(
        _manifest(request, "composed"),
        encoder=request.encoder(),
        split=request.split,
        cache=request.cache,
        options=ComposedOptions(progress=request.progress),
    )


def _mixed(request: Request) -> Mapping[str, object]:
    from .mixed import run

    return run(
        _manifest(request, "mixed"),
        encoder=request.encoder(),
        split=request.split,
        cache=request.cache,
        progress=request.progress,
    )


def _weak(request: Request) -> Mapping[str, object]:
    from retrieval.reference import find_reference

    from .weak import run

    encoder = request.encoder()
    reference = find_reference(encoder.spec.name, encoder.spec.fingerprint)
    if reference is None:
        raise OmniError(
            f"there is no reference of {encoder.spec.name}",
            hint="make one: omnidex bench reference MANIFEST --split FILE -o FILE",
        )
    return run(
        _manifest(request, "weak"),
        encoder=encoder,
        reference=reference,
        split=request.split,
        cache=request.cache,
        progress=request.progress,
    )


def _reranking(request: Request) -> Mapping[str, object]:
    from retrieval.rerank import Judge, load_flow

    from .rerank import RerankOptions, run

    def judge(seed: int) -> Judge:
        return load_flow(seed=request.seed + seed).judge

    options = RerankOptions(
        queries=4 if request.quick else request.limit,
        seeds=1 if request.quick else 3,
        progress=request.progress,
    )
    return run(
        _manifest(request, "reranking"),
        encoder=request.encoder(),
        judge=judge,
        split=request.split,
        cache=request.cache,
        options=options,
    )


def _imagine(request: Request) -> Mapping[str, object]:
    from retrieval.imagine import ModelDrawer

    from .imagine import ImagineOptions, run

    manifest = _manifest(request, "imagine")
    asked = ImagineOptions(
        queries=4 if request.quick else request.limit or ImagineOptions().queries,
        seeds=1 if request.quick else 3,
        progress=request.progress,
    )
    return run(
        manifest,
        encoder=request.encoder(),
        drawer=ModelDrawer(),
        split=request.split,
        cache=request.cache,
        options=asked,
    )


def _drawing(request: Request) -> Mapping[str, object]:
    from omni_encoder.flow_generate import GenerateRule
    from omni_encoder.generator import OmniGenerator

    from .drawing import DrawingOptions, run

    options = DrawingOptions(
        GenerateRule(steps=4 if request.quick else 16, seed=request.seed),
        4 if request.quick else request.limit or 100,
        request.progress,
    )
    generator = OmniGenerator.load(threads=request.threads)
    manifest = _manifest(request, "drawing")
    return run(manifest, generator=generator, split=request.split, options=options)


def _ablation(request: Request) -> Mapping[str, object]:
    from .ablation import run

    if request.data is None or not request.data.is_file():
        raise OmniError("ablation has no config", hint=f"--data: {_CONFIG}")
    return run(request.data, seeds=1 if request.quick else 3, progress=request.progress)


def _manifest(request: Request, name: str) -> Path:
    if request.data is None or not request.data.is_file():
        raise OmniError(f"{name} has no data: no manifest was named", hint=f"--data: {_MANIFEST}")
    return request.data


def _tell(request: Request, done: int, total: int) -> None:
    if request.progress is not None:
        request.progress("Measuring", done, total)


ANN = SystemBenchmark(
    "ann", "Searching by codes against FAISS Flat and numpy", _ann, "a collection; else made"
)
RESCAN = SystemBenchmark("rescan", "Indexing again, one file changed, against a bare walk", _rescan)
MEMORY = SystemBenchmark("memory", "The peak of indexing many files against that of few", _memory)
SPEEDUP = SystemBenchmark(
    "speedup", "omni against its network in plain float32 torch", _speedup, "media to compare"
)
GENERATE = SystemBenchmark(
    "generate", "Drawing by the flow against drawing slot after slot", _generate
)
COMPOSED = SystemBenchmark(
    "composed", "Queries of several parts, beside each part alone", _composed, _MANIFEST, "asking"
)
MIXED = SystemBenchmark(
    "mixed",
    "All kinds of media in one collection, with and without means",
    _mixed,
    _MANIFEST,
    "asking",
)
WEAK = SystemBenchmark(
    "weak", "Whether the weak mark tells nonsense from true hits", _weak, _MANIFEST, "asking"
)
RERANKING = SystemBenchmark(
    "reranking",
    "What re-ranking the first hits by the flow is worth",
    _reranking,
    _MANIFEST,
    "asking",
)
IMAGINE = SystemBenchmark(
    "imagine",
    "What an answer drawn from the query is worth, beside the query alone",
    _imagine,
    _MANIFEST,
    "asking",
)
DRAWING = SystemBenchmark(
    "drawing", "Whether what is drawn is what was asked for", _drawing, _MANIFEST, "asking"
)
ABLATION = SystemBenchmark(
    "ablation", "Small models that differ in one thing each; trains", _ablation, _CONFIG, "asking"
)
