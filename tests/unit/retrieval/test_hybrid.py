import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.hybrid import Hybrid, fuse


@st.composite
def cases(
    draw: st.DrawFn,
) -> tuple[list[str], list[tuple[str, float]], frozenset[str], Hybrid]:
    """Any two orders: of 30 items some are near, some hold the words, some have none at all."""
    items = draw(st.permutations([f"i{n}" for n in range(30)]))
    near = items[: draw(st.integers(1, 30))]
    held = draw(st.lists(st.sampled_from(items), unique=True, max_size=30))
    scores = sorted(draw(st.lists(st.integers(1, 4), min_size=30, max_size=30)), reverse=True)
    silent = frozenset(draw(st.sets(st.sampled_from(near)))) - set(held)
    weight = draw(st.floats(0, 1000))
    hybrid = Hybrid(weight, draw(st.floats(0, 1000)))
    by_text = [(key, float(score)) for key, score in zip(held, scores, strict=False)]
    return list(near), by_text, silent, hybrid


@given(cases())
@settings(max_examples=300, deadline=None)
def test_an_item_without_words_loses_at_most_as_many_places_as_it_had_before_it(
    case: tuple[list[str], list[tuple[str, float]], frozenset[str], Hybrid],
) -> None:
    near, by_text, silent, hybrid = case
    ranked = fuse(near, by_text, silent=silent, hybrid=hybrid)

    places = {one.key: place for place, one in enumerate(ranked, start=1)}
    assert sorted(places) == sorted({*near, *(key for key, _ in by_text)})
    for rank, key in enumerate(near, start=1):
        if key in silent:
            assert places[key] <= 2 * rank - 1


@given(cases())
@settings(max_examples=100, deadline=None)
def test_items_without_a_match_stay_in_the_order_of_the_vectors_among_their_like(
    case: tuple[list[str], list[tuple[str, float]], frozenset[str], Hybrid],
) -> None:
    near, by_text, silent, hybrid = case
    order = [one.key for one in fuse(near, by_text, silent=silent, hybrid=hybrid)]
    held = {key for key, _ in by_text}

    assert [key for key in order if key in silent] == [key for key in near if key in silent]
    spoken = [key for key in near if key not in silent and key not in held]
    assert [key for key in order if key in spoken] == spoken
    without = fuse(near, [], silent=silent, hybrid=hybrid)
    assert [one.key for one in without] == near  # words without a match change nothing
    weightless = fuse(near, by_text, silent=silent, hybrid=Hybrid(0.0, hybrid.constant))
    assert [one.key for one in weightless][: len(near)] == near


def test_ten_captions_do_not_push_out_the_second_nearest_that_has_none() -> None:
    near = [f"i{n}" for n in range(1, 101)]
    far = [(f"caption{n}", 10.0 - n) for n in range(10)]

    ranked = fuse(near, far, silent=frozenset({"i2"}), hybrid=Hybrid(weight=1000.0))

    assert [one.key for one in ranked].index("i2") <= 2


def test_of_equal_matches_the_nearer_is_first_and_ranks_say_where_each_came_from() -> None:
    near = ["a", "b", "c", "d"]
    ranked = fuse(near, [("d", 2.0), ("far", 2.0), ("c", 2.0)], silent=frozenset(), hybrid=Hybrid())

    ranks = {one.key: (one.vector_rank, one.text_rank) for one in ranked}
    assert ranks["c"] == (3, 1)
    assert ranks["d"] == (4, 2)
    assert ranks["far"] == (None, 3)
    assert ranks["a"] == (1, None)
    assert ranked[0].key == "c"


@pytest.mark.parametrize(
    "wrong", [{"weight": -1}, {"weight": float("nan")}, {"constant": -0.1}, {"share": 1.1}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Hybrid(**wrong)
