"""Results in the JSON of CLIP_benchmark (LAION), so that its tables and notebooks read ours.

Its `image_retrieval_recall@5` is success@5 of text to image, `text_retrieval_recall@5` that of the
way back, and `acc1` of a zero-shot task is success@1. Its torch.topk breaks ties in no stated way;
ours count as worst case.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from retrieval.evaluate import SUCCESS_AT

from .results import read

_NAMES = {"text->image": "image_retrieval", "image->text": "text_retrieval"}
_DATASETS = {"coco-5k": "mscoco_captions", "flickr30k": "flickr30k"}


def write_clip_benchmark(result: Path, *, folder: Path) -> Path | None:
    """Write a retrieval result as CLIP_benchmark would have.

    Returns:
        The file, or None when the result has no direction that CLIP_benchmark knows.

    Raises:
        OmniError: The result can't be read.
    """
    document = read(result)
    converted = as_clip_benchmark(document)
    if converted is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.parent.name}-{result.name}"
    path.write_text(json.dumps(converted) + "\n", encoding="utf-8")
    return path


def as_clip_benchmark(document: Mapping[str, object]) -> dict[str, object] | None:
    """The same figures under CLIP_benchmark's names, or None when there are none."""
    directions = cast("dict[str, dict[str, object]]", document.get("directions") or {})
    metrics: dict[str, object] = {}
    for name, theirs in _NAMES.items():
        if name in directions:
            metrics |= {
                f"{theirs}_recall@{k}": directions[name][f"success@{k}"] for k in SUCCESS_AT
            }
    task = "zeroshot_retrieval"
    if not metrics and "audio->class" in directions:
        task = "zeroshot_classification"
        figures = directions["audio->class"]
        metrics = {"acc1": figures["success@1"], "acc5": figures["success@5"]}
    if not metrics:
        return None
    encoder = cast("dict[str, str]", document["encoder"])
    model, _, pretrained = encoder["name"].partition("/")
    name = str(document["benchmark"])
    return {
        "dataset": _DATASETS.get(name, name),
        "model": model,
        "pretrained": pretrained or encoder["fingerprint"],
        "task": task,
        "metrics": metrics,
        "language": "en",
    }
