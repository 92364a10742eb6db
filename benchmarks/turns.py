"""Whether a person who says more finds more: simulated users look for one item over three turns.

Question: how often is the item among the first 1, 5 or 10 hits after each turn, and which of the
two ways to put words together, `dialogue` or `rocchio`, does better? Data: the items of a split of
an annotated manifest, all kinds in one collection, each side less the mean of its kind as
collections have it. The user knows the item and says of it, by kind of user:

    words   a vague word (a tag, a category, or how its caption begins), then another, then what the
            caption says
    hits    the vague word, then twice "more like" the best wrong hit among the first ten: of the
            same label, else category, else with a tag in common; without such a hit, "less like 1"
    mixed   the vague word, then "more like" such a hit, then what the caption says

Turns go through the same code as `omnidex ask`. Everybody goes on to the third turn. Weights are
chosen on one half of the items (by group) and figures taken on the other. Three seeds draw three
sets of words; a figure is the mean over seeds, its interval a bootstrap over items.

Reading: `first` is the encoder alone, the first turn's hits whatever was said later; `found@10` is
the share of items that were among ten hits in this or an earlier turn, and `paging` what looking
at ten more of the first hits each turn would have found. A difference whose interval holds 0 is
none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from zlib import crc32

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from omni_encoder import Encoder, Modality, OmniError
from retrieval.embed import unit
from retrieval.evaluate import bootstrap_interval, rounded_scores
from retrieval.feedback import Feedback, Method, State, advance, joined_text, query_terms
from retrieval.significance import bootstrap_difference

from .protocol import Request
from .system import SystemBenchmark
from .timing import machine
from .turn_users import KINDS, Kind, Seen, Target, Words, load_targets, next_turn, words_about
from .vectors import VectorCache

TURNS = 3
SEEDS = 3
SHOWN = 10
USERS = 300
"""On each half, if nothing else is asked for."""
SUCCESS_AT = (1, 5, 10)
BETAS = (0.25, 0.5, 1.0, 2.0)
GAMMAS = (0.1, 0.25, 0.5)
# As in collections: the encoder's own mean counts as so many items.
_REFERENCE_ITEMS = 64

Ranks = Int64[np.ndarray, "turns dialogues"]


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """A collection as search sees it, and the words that users say.

    Attributes:
        targets: Its items.
        rows: Their centred unit vectors.
        texts: Centred unit vectors of texts.
    """

    targets: Sequence[Target]
    rows: Float32[np.ndarray, "items dim"]
    texts: Mapping[str, Float32[np.ndarray, " dim"]]


@dataclass(frozen=True, slots=True)
class Talk:
    """What one user will say: about which item, and in which words."""

    target: int
    words: Words


def run(request: Request) -> Mapping[str, object]:
    """Tune on one half of the items, and measure on the other.

    Raises:
        OmniError: There is no manifest, or too little in it.
    """
    if request.data is None or not request.data.is_file():
        raise OmniError(
            "turns need a manifest of annotated media",
            hint="--data manifest.jsonl, and --split FILE for the ids to keep",
        )
    targets = load_targets(request.data, request.split)
    tuning, held_out = _halves(targets, request.limit or USERS)
    if not tuning or not held_out:
        raise OmniError(f"{len(targets)} items with captions are too few to tune and to measure")
    seeds = range(request.seed, request.seed + SEEDS)
    tuned_with = _talks(targets, tuning, request.seed)
    talks = [_talks(targets, held_out, seed) for seed in seeds]
    world = _world(targets, [*tuned_with, *(talk for told in talks for talk in told)], request)
    chosen = {method: _tuned(world, tuned_with, method) for method in Method}
    users = {kind: _figures(world, talks, kind, chosen) for kind in KINDS}
    encoder = request.encoder()
    last = users["mixed"][-1]  # what reports show of it is one ratio
    return {
        "ratio": _success_at_10(last["dialogue"]) / max(_success_at_10(last["first"]), 1e-9),
        "unit": "Success@10 after three turns / after the first, users who mix words and hits",
        "encoder": {"name": encoder.spec.name, "fingerprint": encoder.spec.fingerprint},
        "items": len(targets),
        "tuned_on": len(tuning),
        "users": len(held_out),
        "seeds": SEEDS,
        "feedback": {
            str(method): {"beta": feedback.beta, "gamma": feedback.gamma}
            for method, feedback in chosen.items()
        },
        "by_user": users,
        "machine": machine("omnidex", "numpy", "torch"),
    }


def _halves(targets: Sequence[Target], limit: int) -> tuple[list[int], list[int]]:
    """The numbers of items to tune on and to measure with; whole groups go to one side."""
    sides: tuple[list[int], list[int]] = ([], [])
    for number, target in enumerate(targets):
        sides[crc32(target.group.encode()) % 2].append(number)
    first, second = (
        sorted({side[i * len(side) // limit] for i in range(limit)}) if side else []
        for side in sides
    )
    return first, second


def _talks(targets: Sequence[Target], numbers: Sequence[int], seed: int) -> list[Talk]:
    generator = np.random.default_rng(seed)
    return [Talk(number, words_about(targets[number], generator)) for number in numbers]


def _world(targets: Sequence[Target], talks: Sequence[Talk], request: Request) -> World:
    encoder = request.encoder()
    cache = VectorCache(request.cache, encoder)
    progress = request.progress
    embedded = cache.files(
        [target.item.path for target in targets],
        advance=None
        if progress is None
        else lambda done: progress("Encoding media", done, len(targets)),
    )
    if embedded.failures:
        raise OmniError(f"{len(embedded.failures)} files can't be decoded", hint="leave them out")
    texts = _all_texts(talks)
    rows = cache.texts(texts) - _reference(encoder, Modality.TEXT)
    cache.save()
    media = np.zeros_like(embedded.vectors)
    for modality in encoder.spec.modalities:
        own = np.array([target.item.modality is modality for target in targets])
        if own.any():
            sums = embedded.vectors[own].sum(axis=0, dtype=np.float64)
            mean = sums + _REFERENCE_ITEMS * _reference(encoder, modality)
            media[own] = embedded.vectors[own] - mean / (own.sum() + _REFERENCE_ITEMS)
    return World(
        targets,
        unit(media.astype(np.float64)),
        dict(zip(texts, unit(rows.astype(np.float64)), strict=True)),
    )


def _all_texts(talks: Sequence[Talk]) -> list[str]:
    """Every text that may have to be encoded: alone, and joined with what was said before."""
    texts: dict[str, None] = {}
    for talk in talks:
        words = talk.words
        for said in (words.vague, words.more, words.caption):
            texts[said] = None
        for joined in (
            (words.vague, words.more),
            (words.vague, words.caption),
            (words.vague, words.more, words.caption),
        ):
            texts[joined_text(joined)] = None
    return list(texts)


def _reference(encoder: Encoder, modality: Modality) -> Float32[np.ndarray, " dim"]:
    if encoder.means is None:
        return np.zeros(encoder.spec.dim, dtype=np.float32)
    return encoder.means[encoder.spec.modalities.index(modality)]


def _tuned(world: World, talks: Sequence[Talk], method: Method) -> Feedback:
    """The weights with the highest Success@10 after the last turn, over all users."""
    options = [Feedback(method, beta=b, gamma=g) for b, g in product(BETAS, GAMMAS)]

    def found(feedback: Feedback) -> float:
        ranks = [simulate(world, talks, kind, feedback)[-1] for kind in ("hits", "mixed")]
        return float(np.mean(np.stack(ranks) <= SUCCESS_AT[-1]))

    return max(options, key=found)


def simulate(world: World, talks: Sequence[Talk], kind: Kind, feedback: Feedback) -> Ranks:
    """The rank of every user's item after each turn; equal scores count as worst case."""
    states = [State() for _ in talks]
    seen = [Seen(talk.target, ()) for talk in talks]
    ranks = np.zeros((TURNS, len(talks)), dtype=np.int64)
    own = np.array([talk.target for talk in talks])
    places = np.arange(len(talks))
    for number in range(1, TURNS + 1):
        for i, talk in enumerate(talks):
            turn = next_turn(kind, number, talk.words, seen[i], world.targets)
            shown = {rank: str(item) for rank, item in enumerate(seen[i].shown, start=1)}
            states[i] = advance(states[i], turn, shown)
        scores = _scores(world, states, feedback)
        ranks[number - 1] = 1 + _better(scores, scores[places, own], own).sum(axis=1)
        best = _best(scores, SHOWN + 1).tolist()
        seen = [
            Seen(talk.target, tuple([item for item in row if item != talk.target][:SHOWN]))
            for talk, row in zip(talks, best, strict=True)
        ]
    return ranks


def _scores(
    world: World, states: Sequence[State], feedback: Feedback
) -> Float32[np.ndarray, "dialogues items"]:
    queries = np.zeros((len(states), world.rows.shape[1]))
    for i, state in enumerate(states):
        for term in query_terms(state, feedback):
            known = term.modality is None
            content = str(term.content)
            row = world.rows[int(content)] if known else world.texts[content]
            queries[i] += term.weight * row.astype(np.float64)
    scores = rounded_scores(unit(queries), world.rows)
    for i, state in enumerate(states):  # items that were named aren't found themselves
        scores[i, [int(id) for id in (*state.more, *state.less)]] = -np.inf
    return scores


def _best(
    scores: Float32[np.ndarray, "dialogues items"], count: int
) -> Int64[np.ndarray, "dialogues best"]:
    """The columns of the highest scores of each row, best first."""
    count = min(count, scores.shape[1])
    found = np.argpartition(scores, -count, axis=1)[:, -count:]
    order = np.argsort(-np.take_along_axis(scores, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)


def _better(
    scores: Float32[np.ndarray, "dialogues items"],
    mine: Float32[np.ndarray, " dialogues"],
    own: Int64[np.ndarray, " dialogues"],
) -> Bool[np.ndarray, "dialogues items"]:
    better = scores >= mine[:, None]
    better[np.arange(len(own)), own] = False
    return better


def _figures(
    world: World, talks: Sequence[Sequence[Talk]], kind: Kind, chosen: Mapping[Method, Feedback]
) -> list[dict[str, dict[str, object]]]:
    """What users of one kind find, turn by turn."""
    ranks = {
        method: np.stack([simulate(world, told, kind, feedback) for told in talks])
        for method, feedback in chosen.items()
    }
    first = ranks[Method.DIALOGUE][:, 0]
    turns: list[dict[str, dict[str, object]]] = []
    for number in range(TURNS):
        row: dict[str, dict[str, object]] = {"first": _success(first)}
        row["paging"] = {"found@10": float((first <= SHOWN * (number + 1)).mean())}
        for method in Method:
            now = ranks[method][:, number]
            so_far = ranks[method][:, : number + 1].min(axis=1)
            row[str(method)] = {
                **_success(now),
                "found@10": float((so_far <= SHOWN).mean()),
                "above_first": _differences(first, now),
            }
        row["dialogue_above_rocchio"] = _differences(
            ranks[Method.ROCCHIO][:, number], ranks[Method.DIALOGUE][:, number]
        )
        turns.append(row)
    return turns


def _success_at_10(figures: Mapping[str, object]) -> float:
    value = figures["success@10"]
    assert isinstance(value, float)
    return value


def _success(ranks: Int64[np.ndarray, "seeds items"]) -> dict[str, object]:
    figures: dict[str, object] = {}
    for k in SUCCESS_AT:
        values = _per_item(ranks, k)
        figures[f"success@{k}"] = float(values.mean())
        figures[f"success@{k}_interval"] = list(bootstrap_interval(values, seed=0))
        figures[f"success@{k}_seeds"] = (ranks <= k).mean(axis=1).tolist()
    return figures


def _differences(
    a: Int64[np.ndarray, "seeds items"], b: Int64[np.ndarray, "seeds items"]
) -> dict[str, object]:
    """By how much `b` is above `a`, with intervals over items."""
    figures: dict[str, object] = {}
    for k in SUCCESS_AT:
        one, other = _per_item(a, k), _per_item(b, k)
        figures[f"success@{k}"] = float((other - one).mean())
        figures[f"success@{k}_interval"] = list(bootstrap_difference(one, other))
    return figures


def _per_item(ranks: Int64[np.ndarray, "seeds items"], k: int) -> Float64[np.ndarray, " items"]:
    return (ranks <= k).mean(axis=0)


TURNS_BENCHMARK = SystemBenchmark(
    "turns",
    "Finding one item over three turns",
    run,
    "a manifest, as for `manifest`; --split FILE keeps the ids under its `validation`",
    "asking",
)
