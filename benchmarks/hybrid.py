"""Do words beside vectors help where media have words, without harm to media that have none?

Every image and sound of a split becomes an item. Its visible words are its file name and its first
caption; of a share of the items both are taken away. Questions are the other captions of items
that have several (one right answer), and the class names of classes (every item of the class is
right). Reading: success at 1 and at 10, and the share of the first 10 that is right, of what can
be; apart for sentences whose answer has words and those whose has none, first by vectors alone and
then by every setting. A good setting lifts the first and leaves the second. The last line is JSON.

Run: python -m omnidex_benchmarks.hybrid MANIFEST SPLIT [VECTORS]
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import Bool, Float32, Int64

from indexer.build import Recipe, write_segment
from indexer.catalogue import Catalogue
from indexer.entries import ContentKey, ContentRow, FileRow, FileStamp
from indexer.exact import centre_rows
from indexer.matches import Wanted, matches
from indexer.names import NamesFile
from indexer.rows import Items
from indexer.segment import Segment
from indexer.where import FACTS
from indexer.words import units_of
from omni_encoder import Modality
from retrieval.hybrid import DEPTH, Hybrid, fuse

from .manifest import ManifestItem

WEIGHTS = (0.5, 1.0, 2.0)
CONSTANTS = (2.0, 5.0, 10.0, 60.0)
SHARES = (0.0, 0.5)
CUTS = (1, 10)
SEEDS = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Question:
    """A text, its number among the texts, and the numbers of the items that answer it."""

    text: str
    number: int
    right: frozenset[int]


def questions(items: Sequence[ManifestItem], *, most: int, seed: int) -> list[Question]:
    """Captions that nobody sees, and names of classes, evenly drawn."""
    single = [
        (caption, frozenset([i]))
        for i, item in enumerate(items)
        if item.caption_kind == "human-sentence"
        for caption in item.captions[1:]
    ]
    classes: dict[str, set[int]] = {}
    for i, item in enumerate(items):
        if item.label and item.caption_kind != "human-sentence":
            classes.setdefault(item.label, set()).add(i)
    several = [(label, frozenset(right)) for label, right in sorted(classes.items())]
    generator = np.random.default_rng(seed)
    drawn: list[tuple[str, frozenset[int]]] = []
    for kind in (single, several):
        order = cast("list[int]", generator.permutation(len(kind)).tolist())
        drawn += [kind[i] for i in order[:most]]
    return [Question(text, n, right) for n, (text, right) in enumerate(drawn)]


class Words:
    """The items' visible words, in a segment and a catalogue of their own."""

    def __init__(self, folder: Path, items: Sequence[ManifestItem], said: Bool[np.ndarray, " n"]):
        """Write them; `said` tells which items have words at all."""
        rows: Int64[np.ndarray, " items"] = np.arange(len(items))
        facts: list[tuple[object, ...]] = []
        files: list[FileRow] = []
        contents: list[ContentRow] = []
        for i, item in enumerate(items):
            key = ContentKey(f"{i:032x}", Modality.IMAGE)
            caption = item.captions[0] if said[i] and item.captions else None
            known = {"id": str(i), "content": key.content, "modality": "image", "part": 0}
            known |= {"mime": "image/x", "caption": caption}
            facts.append(tuple(known.get(name) for name in FACTS))
            name = item.path.name if said[i] else f"{i}.jpg"
            files.append(FileRow(f"/{i}/{name}".encode(), FileStamp(1, i, i), key))
            contents.append(ContentRow(key, 1, partial=False))
        catalogue = Catalogue.open_to_write(folder)
        catalogue.record(files, contents)
        catalogue.close()
        vectors = np.ones((len(items), 4), np.float16)
        recipe = Recipe(np.zeros(4, np.float32), 0.99, np.zeros((0, 4), np.float32))
        listed = Items(rows, np.zeros(len(items), np.int64), vectors, facts)
        entry = write_segment(folder, Modality.IMAGE, listed, recipe, base=True)
        self._segments = [Segment(entry, folder, folder, 4)]
        self._names = NamesFile(folder, folder)

    def matches(self, text: str, share: float) -> list[tuple[str, float]]:
        """Keys and scores, best first."""
        wanted = Wanted(units_of(text), share, None)
        found = matches(self._segments, None, self._names, wanted)
        return list(zip(found.keys, found.scores.tolist(), strict=True))


def measure(
    items: Sequence[ManifestItem],
    asked: Sequence[Question],
    orders: Int64[np.ndarray, "questions depth"],
    *,
    visible: float,
    seed: int,
) -> dict[str, dict[str, list[float]]]:
    """Success of each setting, apart by whether the answers have words.

    Args:
        items: What is searched.
        asked: What is asked.
        orders: The nearest items of each question.
        visible: Share of the items that keep their words.
        seed: Which items these are.
    """
    said: Bool[np.ndarray, " items"] = np.random.default_rng(seed).random(len(items)) < visible
    results: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        words = Words(Path(name), items, said)
        silent = frozenset(str(i) for i in np.flatnonzero(~said).tolist())
        for question, order in zip(asked, orders, strict=True):
            by_vector = [str(i) for i in order.tolist()]
            right = {str(i) for i in question.right}
            has = "words" if any(said[i] for i in question.right) else "none"
            group = "class" if len(right) > 1 else f"sentence/{has}"
            _enter(results, "vectors", group, by_vector, right)
            for share in SHARES:
                by_text = words.matches(question.text, share)
                for weight, constant in product(WEIGHTS, CONSTANTS):
                    hybrid = Hybrid(weight, constant, share)
                    ranked = fuse(by_vector, by_text, silent=silent, hybrid=hybrid)
                    keys = [one.key for one in ranked[: max(CUTS)]]
                    setting = f"w={weight:g} c={constant:g} share={share:g}"
                    _enter(results, setting, group, keys, right)
    return results


def _enter(
    results: dict[str, dict[str, list[float]]],
    setting: str,
    group: str,
    keys: Sequence[str],
    right: set[str],
) -> None:
    for cut in CUTS:
        success = float(not right.isdisjoint(keys[:cut]))
        results.setdefault(setting, {}).setdefault(f"{group}@{cut}", []).append(success)
    if len(right) > 1:
        share = len(right & set(keys[: max(CUTS)])) / min(len(right), max(CUTS))
        results[setting].setdefault(f"{group} share", []).append(share)


def summarise(
    runs: Sequence[dict[str, dict[str, list[float]]]],
) -> dict[str, dict[str, float]]:
    """The mean success of each setting and group over all runs, in percent."""
    return {
        setting: {
            group: round(
                100 * float(np.mean(np.concatenate([run[setting].get(group, []) for run in runs]))),
                1,
            )
            for group in sorted({group for run in runs for group in run[setting]})
        }
        for setting in runs[0]
    }


def nearest(
    texts: Float32[np.ndarray, "questions dim"],
    vectors: Float32[np.ndarray, "items dim"],
    kinds: Sequence[Modality],
) -> Int64[np.ndarray, "questions depth"]:
    """The nearest items of each question, after the mean of each modality was subtracted."""
    centred = np.zeros_like(vectors)
    for kind in set(kinds):
        own = np.array([one is kind for one in kinds])
        centred[own] = centre_rows(vectors[own], vectors[own].mean(axis=0))
    scores = centre_rows(texts, texts.mean(axis=0)) @ centred.T
    return np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH].astype(np.int64)


def main(manifest: Path, split: Path, vectors: Path | None, *, most: int = 200) -> None:
    """Measure, and print what came out."""
    from omni_encoder import load_encoder

    from .manifest import load_items
    from .vectors import VectorCache

    cache = VectorCache(vectors, load_encoder("omni"))
    loaded = [item for item in load_items(manifest, split=split) if item.captions]
    items = [item for item in loaded if item.modality is not Modality.VIDEO]
    asked = questions(items, most=most, seed=0)
    files = cache.files([item.path for item in items]).vectors
    texts = cache.texts([question.text for question in asked])
    cache.save()
    orders = nearest(texts, files, [item.modality for item in items])
    report(items, asked, orders)


def report(
    items: Sequence[ManifestItem],
    asked: Sequence[Question],
    orders: Int64[np.ndarray, "questions depth"],
) -> None:
    """Measure with half of the words, all of them and none, and write a table and JSON."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for visible in (0.5, 1.0, 0.0):
        seeds = SEEDS if visible == 0.5 else SEEDS[:1]
        runs = [measure(items, asked, orders, visible=visible, seed=seed) for seed in seeds]
        found[f"{visible:g}"] = summarise(runs)
        sys.stdout.write(f"words visible of {visible:.0%} of {len(items)} items\n")
        for setting, groups in found[f"{visible:g}"].items():
            cells = "  ".join(f"{group} {value:5.1f}" for group, value in groups.items())
            sys.stdout.write(f"  {setting:24} {cells}\n")
    sys.stdout.write(json.dumps({"items": len(items), "questions": len(asked), "success": found}))
    sys.stdout.write("\n")


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:]]
    main(paths[0], paths[1], paths[2] if len(paths) > 2 else None)
