"""Run and qrels files as trec_eval, ir_measures and ranx read them, so that anyone can re-score.

A run line is `query Q0 candidate rank score tag`, a qrels line `query 0 candidate grade`. Tools
sort by score and each breaks ties in its own way, so where a query has equal scores, whole numbers
in the order of its hits stand in their place. White space in ids is percent-encoded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from urllib.parse import quote, unquote

import numpy as np

from omni_encoder.arrays import Float, Float64, Int64


@dataclass(frozen=True, slots=True, eq=False)
class FoundList:
    """What one query found, best first.

    Attributes:
        query: Its id.
        candidates: The numbers of what it found.
        scores: Their scores, none greater than the one before.
    """

    query: str
    candidates: Int64[np.ndarray, " hits"]
    scores: Float[np.ndarray, " hits"]


def best(
    scores: Float[np.ndarray, " candidates"],
    relevant: Int64[np.ndarray, " relevant"],
    *,
    k: int,
    own: int = -1,
) -> Int64[np.ndarray, " hits"]:
    """The `k` best candidates of one query; among equals the irrelevant come first.

    Args:
        scores: Finite numbers, higher is better.
        relevant: The relevant candidates.
        k: How many, at most; fewer come back only if there are fewer.
        own: A candidate that is left out, or -1.
    """
    late = np.zeros(len(scores), dtype=bool)
    late[relevant] = True
    chosen = np.arange(len(scores))
    if k + 1 < len(scores):
        least = np.partition(scores, len(scores) - k - 1)[len(scores) - k - 1]
        chosen = np.flatnonzero(scores >= least)
    chosen = chosen[chosen != own]
    order = np.lexsort((chosen, late[chosen], -scores[chosen]))
    return chosen[order[:k]]


def write_run(
    path: Path, found: Iterable[FoundList], names: Sequence[str], *, tag: str = "omnidex"
) -> None:
    """Write a run file.

    Args:
        path: A file, replaced if it is there.
        found: The lists of hits, one for each query.
        names: The ids of the candidates.
        tag: What the run is called.
    """
    with path.open("w", encoding="utf-8") as file:
        for hits in found:
            _write_hits(file, hits, names, tag=_quoted(tag))


def _write_hits(file: TextIO, hits: FoundList, names: Sequence[str], *, tag: str) -> None:
    query = _quoted(hits.query)
    scores = strictly_falling(hits.scores.astype(np.float64))
    for i, (number, score) in enumerate(
        zip(map(int, hits.candidates), map(float, scores), strict=True)
    ):
        file.write(f"{query} Q0 {_quoted(names[number])} {i + 1} {score!r} {tag}\n")


def strictly_falling(scores: Float64[np.ndarray, " hits"]) -> Float64[np.ndarray, " hits"]:
    """The scores if none equals the one before, even in 32 bits, as which trec_eval keeps them.

    Otherwise whole numbers in the same order: n for the first of n hits, 1 for the last.
    """
    if not len(scores) or np.all(np.diff(scores.astype(np.float32)) < 0):
        return scores
    return np.arange(len(scores), 0, -1, dtype=np.float64)


def write_qrels(
    path: Path,
    queries: Sequence[str],
    relevant: Sequence[Int64[np.ndarray, " relevant"]],
    names: Sequence[str],
) -> None:
    """Write which candidates answer which query; what is not listed doesn't.

    Args:
        path: A file, replaced if it is there.
        queries: The ids of the queries.
        relevant: For each query the numbers of its relevant candidates.
        names: The ids of the candidates.
    """
    with path.open("w", encoding="utf-8") as file:
        for query, places in zip(queries, relevant, strict=True):
            for number in map(int, places):
                file.write(f"{_quoted(query)} 0 {_quoted(names[number])} 1\n")


def read_run(path: Path) -> dict[str, dict[str, float]]:
    """The scores of a run file: query, then candidate.

    Raises:
        ValueError: A line has not six fields, or its score is no number.
    """
    run: dict[str, dict[str, float]] = {}
    for query, _, candidate, _, score, _ in _lines(path, fields=6):
        run.setdefault(unquote(query), {})[unquote(candidate)] = float(score)
    return run


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """The grades of a qrels file: query, then candidate.

    Raises:
        ValueError: A line has not four fields, or its grade is no number.
    """
    qrels: dict[str, dict[str, int]] = {}
    for query, _, candidate, grade in _lines(path, fields=4):
        qrels.setdefault(unquote(query), {})[unquote(candidate)] = int(grade)
    return qrels


def places_of(
    qrels: Mapping[str, Mapping[str, int]], queries: Sequence[str], names: Sequence[str]
) -> list[Int64[np.ndarray, " relevant"]]:
    """For each query the numbers of the candidates with a grade above 0, ascending."""
    number = {name: i for i, name in enumerate(names)}
    return [
        np.array(
            sorted(number[name] for name, grade in qrels.get(query, {}).items() if grade > 0),
            dtype=np.int64,
        )
        for query in queries
    ]


def _lines(path: Path, *, fields: int) -> Iterable[list[str]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            parts = line.split()
            if parts and len(parts) != fields:
                raise ValueError(f"{path}:{number}: {len(parts)} fields, {fields} are wanted")
            if parts:
                yield parts


def _quoted(name: str) -> str:
    """The name without white space; an empty one would vanish between its neighbours."""
    if name and not any(character.isspace() or character == "%" for character in name):
        return name
    return quote(name, safe="/:,;=@+()[]'!~*$&#?") or "%00"
