from pathlib import Path

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.metrics import (
    average_precision,
    ndcg_at_k,
    rank_places,
    recall_at_k,
    reciprocal_rank,
    success_at_k,
)
from retrieval.trec import (
    FoundList,
    best,
    places_of,
    read_qrels,
    read_run,
    write_qrels,
    write_run,
)


@pytest.mark.parametrize("levels", [2, 9, 10_000])
def test_anyone_who_rescores_the_files_gets_our_figures(tmp_path: Path, levels: int) -> None:
    generator = np.random.default_rng(levels)
    scores = generator.integers(levels, size=(20, 60)).astype(np.float32)
    places = [np.sort(generator.choice(60, size=n % 5 + 1, replace=False)) for n in range(20)]
    names, queries = [f"c {i}" for i in range(60)], [f"query {i}" for i in range(20)]

    write_qrels(tmp_path / "qrels", queries, places, names)
    found = [best(row, relevant, k=60) for row, relevant in zip(scores, places, strict=True)]
    lists = [
        FoundList(q, n, scores[i, n]) for i, (q, n) in enumerate(zip(queries, found, strict=True))
    ]
    write_run(tmp_path / "run", lists, names, tag="a tag")

    ranking = rank_places(scores, places)
    for name, ours in {
        "Success@1": success_at_k(ranking, k=1),
        "R@10": recall_at_k(ranking, k=10),
        "RR": reciprocal_rank(ranking),
        "AP": average_precision(ranking),
        "nDCG@10": ndcg_at_k(ranking, k=10),
    }.items():
        measure = ir_measures.parse_measure(name)
        qrels = list(ir_measures.read_trec_qrels(str(tmp_path / "qrels")))
        run = list(ir_measures.read_trec_run(str(tmp_path / "run")))
        theirs = ir_measures.calc_aggregate([measure], qrels, run)[measure]
        assert ours.mean() == pytest.approx(theirs, abs=1e-12), name


def test_files_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    names = ["plain", "with blank", "per%cent", "tab\there", "ü/é"]
    write_qrels(tmp_path / "q", ["a b"], [np.array([1, 3])], names)
    write_run(
        tmp_path / "r",
        [FoundList("a b", np.array([4, 2, 1]), np.array([0.75, 0.5, 0.25]))],
        names,
    )

    assert read_qrels(tmp_path / "q") == {"a b": {"with blank": 1, "tab\there": 1}}
    assert read_run(tmp_path / "r") == {"a b": {"ü/é": 0.75, "per%cent": 0.5, "with blank": 0.25}}
    (places,) = places_of(read_qrels(tmp_path / "q"), ["a b"], names)
    np.testing.assert_array_equal(places, [1, 3])


def test_a_line_of_the_wrong_form_is_named(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("q Q0 d 1 0.5 tag\n\nq Q0 d\n")
    with pytest.raises(ValueError, match="r:3: 3 fields, 6 are wanted"):
        read_run(tmp_path / "r")


@given(
    seed=st.integers(0, 10_000), levels=st.integers(1, 30), k=st.integers(1, 50), own=st.booleans()
)
def test_the_best_are_a_prefix_of_the_whole_order(
    seed: int, levels: int, k: int, own: bool
) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(levels, size=40).astype(np.float32)
    relevant = np.sort(generator.choice(40, size=5, replace=False))
    late = np.isin(np.arange(40), relevant)
    left_out = 7 if own else -1

    whole = [i for i in np.lexsort((np.arange(40), late, -scores)) if i != left_out]

    np.testing.assert_array_equal(best(scores, relevant, k=k, own=left_out), whole[:k])
