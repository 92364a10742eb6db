import itertools
import subprocess
import sys
from collections.abc import Callable

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.metrics import (
    Ranking,
    Ties,
    average_precision,
    chance_success_at_k,
    first_rank,
    join,
    ndcg_at_k,
    rank,
    rank_found,
    rank_places,
    recall_at_k,
    reciprocal_rank,
    success_at_k,
)

METRICS: dict[str, Callable[[Ranking, Ties], np.ndarray]] = {
    "Success@1": lambda ranking, ties: success_at_k(ranking, k=1, ties=ties),
    "Success@5": lambda ranking, ties: success_at_k(ranking, k=5, ties=ties),
    "R@3": lambda ranking, ties: recall_at_k(ranking, k=3, ties=ties),
    "R@10": lambda ranking, ties: recall_at_k(ranking, k=10, ties=ties),
    "AP": lambda ranking, ties: average_precision(ranking, ties=ties),
    "RR": lambda ranking, ties: reciprocal_rank(ranking, ties=ties),
    "nDCG@1": lambda ranking, ties: ndcg_at_k(ranking, k=1, ties=ties),
    "nDCG@10": lambda ranking, ties: ndcg_at_k(ranking, k=10, ties=ties),
}


def by_ir_measures(name: str, scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """An independent oracle: trec_eval's figures for one measure, query by query."""
    qrels = {
        f"{q:05d}": {f"{c}": 1 for c in np.flatnonzero(relevant[q])} for q in range(len(relevant))
    }
    run = {
        f"{q:05d}": {f"{c}": float(score) for c, score in enumerate(scores[q])}
        for q in range(len(scores))
    }
    measure = ir_measures.parse_measure(name)
    values = {m.query_id: m.value for m in ir_measures.iter_calc([measure], qrels, run)}
    return np.array([values[query] for query in sorted(values)])


def untied(seed: int, *, queries: int, candidates: int, share: float) -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(seed)
    scores = np.stack([generator.permutation(candidates) for _ in range(queries)]).astype(float)
    relevant = generator.random((queries, candidates)) < share
    relevant[np.arange(queries), generator.integers(candidates, size=queries)] = True
    return scores, relevant


def in_order(relevant: np.ndarray) -> dict[str, float]:
    """The metrics of one query from a list of relevant or not, by their textbook definitions."""
    places = [i + 1 for i, hit in enumerate(relevant) if hit]
    ideal = [1 / np.log2(i + 2) for i in range(len(places))]
    gain = {k: sum(1 / np.log2(1 + p) for p in places if p <= k) for k in (1, 10)}
    return {
        "Success@1": float(places[0] <= 1),
        "Success@5": float(places[0] <= 5),
        "R@3": sum(p <= 3 for p in places) / len(places),
        "R@10": sum(p <= 10 for p in places) / len(places),
        "AP": float(np.mean([(i + 1) / p for i, p in enumerate(places)])),
        "RR": 1 / places[0],
        "nDCG@1": gain[1] / sum(ideal[:1]),
        "nDCG@10": gain[10] / sum(ideal[:10]),
        "first": float(places[0]),
    }


def all_orders(scores: np.ndarray, relevant: np.ndarray) -> list[dict[str, float]]:
    """The metrics under every order of equal scores."""
    levels = np.unique(-scores)
    groups = [np.flatnonzero(-scores == level) for level in levels]
    inner = [itertools.permutations(group) for group in groups]
    return [
        in_order(relevant[list(itertools.chain(*order))]) for order in itertools.product(*inner)
    ]


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(("candidates", "share"), [(7, 0.2), (60, 0.05), (300, 0.4)])
@pytest.mark.parametrize("ties", ["worst", "mean"])
def test_untied_rankings_get_the_figures_of_ir_measures(
    name: str, candidates: int, share: float, ties: Ties
) -> None:
    scores, relevant = untied(candidates, queries=40, candidates=candidates, share=share)

    ours = METRICS[name](rank(scores, relevant), ties)

    oracle = by_ir_measures(name, scores, relevant)
    np.testing.assert_allclose(ours, oracle, rtol=0, atol=1e-12)


tied_queries = st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6).filter(
    lambda row: any(hit for _, hit in row)
)


@given(row=tied_queries)
@settings(max_examples=60, deadline=None)
def test_worst_is_the_least_and_mean_the_average_over_all_orders_of_ties(
    row: list[tuple[int, bool]],
) -> None:
    scores = np.array([[score for score, _ in row]], dtype=np.float32)
    relevant = np.array([[hit for _, hit in row]])
    orders = all_orders(scores[0], relevant[0])

    ranking = rank(scores, relevant)

    for name, metric in METRICS.items():
        values = [order[name] for order in orders]
        assert metric(ranking, "worst")[0] == pytest.approx(min(values), abs=1e-12), name
        assert metric(ranking, "mean")[0] == pytest.approx(np.mean(values), abs=1e-12), name
    firsts = [order["first"] for order in orders]
    assert first_rank(ranking, ties="worst")[0] == max(firsts)
    assert first_rank(ranking, ties="mean")[0] == pytest.approx(np.mean(firsts))


@given(
    seed=st.integers(0, 10_000),
    levels=st.integers(1, 60),
    share=st.sampled_from([0.02, 0.3, 0.9]),
    ties=st.sampled_from(["worst", "mean"]),
)
@settings(max_examples=60, deadline=None)
def test_candidates_in_another_order_change_nothing(
    seed: int, levels: int, share: float, ties: Ties
) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(levels, size=(3, 80)).astype(np.float32)
    relevant = generator.random((3, 80)) < share
    relevant[:, 0] = True
    order = generator.permutation(80)

    for metric in METRICS.values():
        np.testing.assert_array_equal(
            metric(rank(scores, relevant), ties),
            metric(rank(scores[:, order], relevant[:, order]), ties),
        )


@given(seed=st.integers(0, 10_000), levels=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_leaving_out_the_own_item_equals_deleting_its_column(seed: int, levels: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(levels, size=(4, 30)).astype(np.float32)
    relevant = generator.random((4, 30)) < 0.6
    own = generator.integers(-1, 30, size=4)
    others = [np.delete(np.arange(30), column) if column >= 0 else np.arange(30) for column in own]
    for i, kept in enumerate(others):
        relevant[i, kept[0]] = True

    together = rank(scores, relevant, own=own)

    apart = join(
        [rank(scores[[i]][:, kept], relevant[[i]][:, kept]) for i, kept in enumerate(others)]
    )
    np.testing.assert_array_equal(together.candidates, apart.candidates)
    np.testing.assert_array_equal(together.relevant, apart.relevant)
    for ties in ("worst", "mean"):
        for metric in METRICS.values():
            np.testing.assert_array_equal(metric(together, ties), metric(apart, ties))


def test_an_encoder_that_gives_everything_one_vector_scores_the_worst_not_the_best() -> None:
    scores = np.ones((5, 100), dtype=np.float32)
    relevant = np.zeros((5, 100), dtype=bool)
    relevant[:, :3] = True

    ranking = rank(scores, relevant)

    assert success_at_k(ranking, k=10).sum() == 0
    assert set(first_rank(ranking)) == {98.0}
    np.testing.assert_allclose(
        success_at_k(ranking, k=10, ties="mean"), chance_success_at_k(ranking, k=10)
    )


def test_chance_is_the_exact_expectation_over_all_orders() -> None:
    relevant = np.array([[True, True, False, False, False], [True, False, False, False, False]])
    ranking = rank(np.arange(10, dtype=float).reshape(2, 5), relevant)

    for k in range(1, 8):
        hits = [
            np.mean([any(row[list(order)][:k]) for order in itertools.permutations(range(5))])
            for row in relevant
        ]
        np.testing.assert_allclose(chance_success_at_k(ranking, k=k), hits, atol=1e-15)


def test_selecting_queries_equals_ranking_them_alone() -> None:
    generator = np.random.default_rng(3)
    scores = generator.integers(6, size=(20, 40)).astype(np.float32)
    relevant = generator.random((20, 40)) < 0.2
    relevant[:, 7] = True
    wanted = generator.random(20) < 0.5

    chosen = rank(scores, relevant).select(wanted)

    alone = rank(scores[wanted], relevant[wanted])
    assert len(chosen) == wanted.sum()
    for field in ("candidates", "relevant", "query", "above", "tied", "hits"):
        np.testing.assert_array_equal(getattr(chosen, field), getattr(alone, field))


@pytest.mark.parametrize(
    ("scores", "relevant", "message"),
    [
        (np.zeros((1, 2)), np.zeros((1, 2), bool), "1 of 1 queries have nothing relevant"),
        (np.array([[np.nan, 0.0]]), np.ones((1, 2), bool), "finite"),
    ],
)
def test_what_cannot_be_ranked_is_a_value_error(
    scores: np.ndarray, relevant: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rank(scores, relevant)


def test_scores_and_relevance_of_different_shapes_are_refused() -> None:
    with pytest.raises((ValueError, TypeError)):  # TypeError where beartype looks at shapes first
        rank(np.zeros((1, 2)), np.ones((2, 1), bool))


def test_a_metric_at_zero_is_a_value_error() -> None:
    ranking = rank(np.zeros((1, 1)), np.ones((1, 1), bool))

    for metric in (success_at_k, recall_at_k, ndcg_at_k, chance_success_at_k):
        with pytest.raises(ValueError, match="k must be at least 1"):
            metric(ranking, k=0)


def worst_case_oracle(scores: np.ndarray, relevant: np.ndarray) -> dict[str, np.ndarray]:
    """trec_eval's figures; it breaks ties by descending id, so ids put the irrelevant first."""
    names = [[f"{'a' if hit else 'b'}{i:03d}" for i, hit in enumerate(row)] for row in relevant]
    qrels, run = {}, {}
    for q, (ids, row, hits) in enumerate(zip(names, scores, relevant, strict=True)):
        qrels[f"{q:05d}"] = {ids[c]: 1 for c in np.flatnonzero(hits)}
        run[f"{q:05d}"] = {ids[c]: float(score) for c, score in enumerate(row)}
    measures = {ir_measures.parse_measure(name): name for name in METRICS}
    values: dict[str, dict[str, float]] = {name: {} for name in METRICS}
    for metric in ir_measures.iter_calc(list(measures), qrels, run):
        values[measures[metric.measure]][metric.query_id] = metric.value
    return {name: np.array([by[q] for q in sorted(by)]) for name, by in values.items()}


@pytest.mark.parametrize("cases", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_random_and_tied_cases_get_the_figures_of_ir_measures(cases: int) -> None:
    for seed in range(cases):
        generator = np.random.default_rng(seed)
        candidates = int(generator.integers(1, 120))
        levels = int(generator.choice([1, 2, 5, 50, 10**6]))
        scores = generator.integers(levels, size=(3, candidates)).astype(np.float32)
        relevant = generator.random((3, candidates)) < generator.choice([0.02, 0.2, 0.7])
        relevant[:, generator.integers(candidates)] = True

        ranking = rank(scores, relevant)

        for name, theirs in worst_case_oracle(scores, relevant).items():
            ours = METRICS[name](ranking, "worst")
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12, err_msg=f"{name} {seed}")


def test_columns_of_the_relevant_rank_as_a_matrix_of_them_does() -> None:
    generator = np.random.default_rng(4)
    scores = generator.integers(9, size=(30, 50)).astype(np.float32)
    relevant = generator.random((30, 50)) < 0.5  # more than are compared one by one
    own = generator.integers(-1, 50, size=30)

    matrix = rank(scores, relevant, own=own)

    columns = rank_places(scores, [np.flatnonzero(row) for row in relevant], own=own)
    for field in ("candidates", "relevant", "query", "above", "tied", "hits"):
        np.testing.assert_array_equal(getattr(matrix, field), getattr(columns, field))


def test_a_list_of_hits_ranks_as_scores_that_put_the_rest_last() -> None:
    found = [np.array([4, 2]), np.array([0, 1, 2]), np.array([], dtype=int)]
    places = [np.array([2, 3]), np.array([4]), np.array([0])]

    ranking = rank_found(found, places, candidates=6)

    np.testing.assert_array_equal(first_rank(ranking), [2, 6, 6])
    np.testing.assert_array_equal(recall_at_k(ranking, k=2), [0.5, 0, 0])
    assert first_rank(ranking, ties="mean")[2] == 3.5
    with pytest.raises(ValueError, match="twice"):
        rank_found([np.array([1, 1])], [np.array([1])], candidates=2)


@pytest.mark.slow
def test_five_thousand_by_twenty_five_thousand_takes_seconds_and_little_memory() -> None:
    # CPU time: wall time would measure what else the machine does. Two cores halve it at best.
    script = """
import resource, time
import numpy as np
from retrieval.evaluate import rank_vectors, summarise

generator = np.random.default_rng(0)
images = generator.standard_normal((5000, 128), dtype=np.float32)
images /= np.linalg.norm(images, axis=1, keepdims=True)
texts = np.repeat(images, 5, axis=0) + generator.standard_normal((25000, 128), dtype=np.float32)
texts /= np.linalg.norm(texts, axis=1, keepdims=True)
start = time.process_time()
summarise(rank_vectors(images, texts, list(np.arange(25000).reshape(5000, 5))))
print(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    cpu_s, peak_bytes = map(float, done.stdout.split())

    assert cpu_s < 6.0
    assert peak_bytes < 2e9
