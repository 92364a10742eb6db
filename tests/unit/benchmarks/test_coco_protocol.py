"""Our COCO figures against the procedures that open_clip and CLIP_benchmark publish."""

import importlib.util

import numpy as np
import pytest
from omnidex_benchmarks.entry_vectors import PartVectors
from omnidex_benchmarks.protocol import Request
from omnidex_benchmarks.retrieval_benchmark import measure_tasks
from omnidex_benchmarks.tasks import Entry, Part, Task, both_ways

from omni_encoder import Modality
from tests.miniatures import NumberEncoder

SENTENCES = 5


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def coco(images: int, *, dim: int = 24, seed: int = 0) -> tuple[list[Task], PartVectors]:
    """Tasks like COCO's with five sentences near each image, and their vectors."""
    generator = np.random.default_rng(seed)
    pictures = unit(generator.standard_normal((images, dim)))
    noise = generator.standard_normal((images * SENTENCES, dim))
    texts = unit(np.repeat(pictures, SENTENCES, axis=0) + 0.35 * noise)
    left = [Entry.text(f"s{i}", f"s{i}") for i in range(len(texts))]
    right = [Entry(f"p{i}", (Part(Modality.IMAGE, f"p{i}"),)) for i in range(images)]
    pairs = [(i, i // SENTENCES) for i in range(len(texts))]
    parts = [entry.parts[0] for entry in (*left, *right)]
    rows = np.concatenate([texts, pictures])
    vectors = PartVectors(rows, {part: i for i, part in enumerate(parts)}, {})
    return both_ways(left, right, pairs, name="text->image"), vectors


def by_clip_benchmark(texts: np.ndarray, images: np.ndarray, owner: np.ndarray) -> dict[str, float]:
    """CLIP_benchmark's figures: a hit is any positive among the k greatest scores of a row."""
    scores = texts.astype(np.float64) @ images.T.astype(np.float64)
    positive = np.zeros(scores.shape, dtype=bool)
    positive[np.arange(len(texts)), owner] = True
    figures: dict[str, float] = {}
    for k in (1, 5, 10):
        for name, rows, truth in (
            ("image_retrieval", scores, positive),
            ("text_retrieval", scores.T, positive.T),
        ):
            top = np.argsort(-rows, axis=1, kind="stable")[:, :k]
            recall = np.take_along_axis(truth, top, axis=1).sum(axis=1) / truth.sum(axis=1)
            figures[f"{name}_recall@{k}"] = float((recall > 0).mean())
    return figures


def ours(tasks: list[Task], vectors: PartVectors) -> dict[str, float]:
    figures, _, _ = measure_tasks(tasks, vectors, Request(encoder=NumberEncoder))
    return {
        f"{theirs}_recall@{k}": figures[name][f"success@{k}"]
        for name, theirs in (("text->image", "image_retrieval"), ("image->text", "text_retrieval"))
        for k in (1, 5, 10)
    }


@pytest.mark.parametrize("images", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_the_5k_protocol_is_that_of_clip_benchmark(images: int) -> None:
    tasks, vectors = coco(images)
    texts, pictures = vectors.rows[:-images], vectors.rows[-images:]

    theirs = by_clip_benchmark(texts, pictures, np.arange(len(texts)) // SENTENCES)

    assert ours(tasks, vectors) == pytest.approx(theirs, abs=1e-12)
    assert 0.05 < theirs["image_retrieval_recall@1"] < 0.99


@pytest.mark.skipif(
    importlib.util.find_spec("clip_benchmark") is None,
    reason="clip-benchmark is not installed; its procedure is also written out above",
)
def test_the_written_out_procedure_is_that_of_the_installed_package() -> None:
    torch = pytest.importorskip("torch")
    source = pytest.importorskip("clip_benchmark.metrics.zeroshot_retrieval")
    tasks, vectors = coco(40)
    texts, pictures = vectors.rows[:-40], vectors.rows[-40:]
    scores = torch.from_numpy(texts.astype(np.float64) @ pictures.T.astype(np.float64))
    positive = torch.zeros_like(scores, dtype=torch.bool)
    positive[torch.arange(len(scores)), torch.arange(len(scores)) // SENTENCES] = True

    theirs = {}
    for k in (1, 5, 10):
        for name, rows, truth in (
            ("image_retrieval", scores, positive),
            ("text_retrieval", scores.T, positive.T),
        ):
            recall = source.batchify(source.recall_at_k, rows, truth, 16, "cpu", k=k)
            theirs[f"{name}_recall@{k}"] = (recall > 0).double().mean().item()

    assert ours(tasks, vectors) == pytest.approx(theirs, abs=1e-12)


def test_paired_figures_are_those_of_open_clip() -> None:
    # open_clip's training loop: one caption an image, the place of the diagonal in each row.
    generator = np.random.default_rng(5)
    images = unit(generator.standard_normal((200, 16)))
    texts = unit(images + 0.5 * generator.standard_normal((200, 16)))
    left = [Entry.text(f"s{i}", f"s{i}") for i in range(200)]
    right = [Entry(f"p{i}", (Part(Modality.IMAGE, f"p{i}"),)) for i in range(200)]
    parts = [entry.parts[0] for entry in (*left, *right)]
    vectors = PartVectors(
        np.concatenate([texts, images]), {part: i for i, part in enumerate(parts)}, {}
    )
    tasks = both_ways(left, right, [(i, i) for i in range(200)], name="text->image")
    logits = 100.0 * images.astype(np.float64) @ texts.T.astype(np.float64)

    theirs: dict[str, float] = {}
    for name, rows in (("image->text", logits), ("text->image", logits.T)):
        ranking = np.argsort(-rows, axis=1)
        places = np.where(ranking == np.arange(200)[:, None])[1]
        theirs[f"{name} median"] = float(np.floor(np.median(places)) + 1)
        for k in (1, 5, 10):
            theirs[f"{name} R@{k}"] = float(np.mean(places < k))

    figures, _, _ = measure_tasks(tasks, vectors, Request(encoder=NumberEncoder))
    for name in ("image->text", "text->image"):
        assert np.floor(figures[name]["median_rank"]) == theirs[f"{name} median"]
        for k in (1, 5, 10):
            assert figures[name][f"success@{k}"] == pytest.approx(
                theirs[f"{name} R@{k}"], abs=1e-12
            )


def test_the_1k_figure_is_the_mean_over_folds_and_not_that_of_all_images() -> None:
    tasks, vectors = coco(50, dim=6)
    folds: list[Task] = []
    means: dict[str, list[float]] = {}
    for start in range(0, 50, 10):
        sentences = range(start * SENTENCES, (start + 10) * SENTENCES)
        left = [tasks[0].queries[i] for i in sentences]
        right = list(tasks[0].candidates[start : start + 10])
        folds += both_ways(
            left, right, [(i, i // SENTENCES) for i in range(len(left))], name="text->image"
        )
        owner = np.arange(50) // SENTENCES
        for name, value in by_clip_benchmark(vectors.of(left), vectors.of(right), owner).items():
            means.setdefault(name, []).append(value)

    averaged = ours(folds, vectors)

    assert averaged == pytest.approx({name: np.mean(v) for name, v in means.items()}, abs=1e-12)
    assert averaged["image_retrieval_recall@1"] > ours(tasks, vectors)["image_retrieval_recall@1"]
