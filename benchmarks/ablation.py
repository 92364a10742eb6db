"""The paper's ablation in small: what each part of the recipe is worth, over several seeds.

Protocol. Every rung of `omni_encoder.ablation_config.LADDER` is trained from the same start, on the
same pictures, for the same steps; a seed sets the tokenizers, the fresh weights and the batches.
Figures on held-out pictures:

    text->image, image->text  Success@1 and mAP of what the network reads, by cosine less the mean;
                              queries are the distinct captions, an item is relevant when it
                              carries the caption
    drawn                     Success@1 of pictures drawn from captions: is the caption's search
                              vector the nearest to the picture's, among all of them?
    written                   the same of captions written for pictures

A row is the mean over seeds, with the standard deviation; `less` is the mean difference to the row
before, seed by seed, with its standard error. Finished runs are kept in `ablation/runs.jsonl` of
the run folder and not done again.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from blake3 import blake3

from retrieval.evaluate import carries, centre, rank_vectors, summarise

from .generation import match
from .timing import machine

if TYPE_CHECKING:
    from omni_encoder.ablation import Outcome, Study

SCHEMA = 1
FIGURES = (
    *("text->image success@1", "text->image map", "image->text success@1", "image->text map"),
    *("drawn success@1", "written success@1"),
)


def run(
    config: Path, *, seeds: int = 3, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, object]:
    """Train and measure every rung with every seed.

    Args:
        config: A TOML file with a section `[ablation]`.
        seeds: How many.
        progress: Told what is done, how much of it, and of how much.

    Raises:
        TrainingError: The config or its data can't be used.
        CheckpointError: The encoder can't be loaded.
        ValueError: `seeds` is less than 1.
    """
    from omni_encoder.ablation import Study
    from omni_encoder.ablation_config import LADDER
    from omni_encoder.flow_checkpoint import FORMAT

    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds}")
    study = Study(config, progress)
    plain = {name: str(value) for name, value in asdict(study.settings).items()}
    # Another format is another network.
    key = blake3(json.dumps([FORMAT, plain, study.captions]).encode()).hexdigest(8)
    kept = study.common.run / "ablation" / "runs.jsonl"
    done = _read(kept, key)
    # Seed by seed, so that a run that is cut off has compared what it has.
    for seed in range(seeds):
        for variant in LADDER:
            if (variant.name, seed) not in done:
                figures = _figures(study, study.run(variant, seed))
                done[variant.name, seed] = figures
                _append(kept, {"key": key, "variant": variant.name, "seed": seed, **figures})
    names = [variant.name for variant in LADDER]
    return {
        "schema": SCHEMA,
        "settings": plain,
        "seeds": seeds,
        "queries": len(study.captions),
        "candidates": len(study.held),
        "chance_drawn": 1 / min(study.settings.drawn, len(study.held), len(study.captions)),
        "variants": _rows(names, seeds, done),
        "machine": machine("torch", "omnidex"),
    }


def _figures(study: "Study", outcome: "Outcome") -> dict[str, float]:
    relevant = carries(study.captions, study.held)
    images, texts = centre(outcome.images), centre(outcome.texts)
    there = summarise(rank_vectors(texts, images, relevant))
    back = summarise(rank_vectors(images, texts, relevant.T))
    values = (
        *(there.success[0], there.mean_average_precision),
        *(back.success[0], back.mean_average_precision),
        match(outcome.drawn, outcome.asked)["success@1"],
        match(outcome.described, outcome.true)["success@1"],
    )
    return dict(zip(FIGURES, values, strict=True))


def _rows(
    names: Sequence[str], seeds: int, done: Mapping[tuple[str, int], Mapping[str, float]]
) -> dict[str, object]:
    rows: dict[str, object] = {}
    before: dict[str, np.ndarray] = {}
    for name in names:
        row: dict[str, object] = {}
        for figure in FIGURES:
            values = np.array([done[name, seed][figure] for seed in range(seeds)])
            row[figure] = {"mean": float(values.mean()), "spread": _spread(values)}
            if figure in before:
                less = values - before[figure]
                error = _spread(less) / math.sqrt(seeds)
                row[f"{figure} less"] = {"mean": float(less.mean()), "error": error}
            before[figure] = values
        rows[name] = row
    return rows


def _spread(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _read(path: Path, key: str) -> dict[tuple[str, int], dict[str, float]]:
    if not path.exists():
        return {}
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {
        (line["variant"], line["seed"]): {figure: line[figure] for figure in FIGURES}
        for line in lines
        if line["key"] == key
    }


def _append(path: Path, line: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(dict(line)) + "\n")
