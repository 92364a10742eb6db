"""Train and validation ids of a manifest, split by groups so that nothing leaks across.

A group is what shares a `pair_id`, else a label within one source, else a single item; groups that
hold near-duplicate images (equal 64-bit difference hashes up to 3 bits) are joined. So validation
classes are never seen in training.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

NEAR_DUPLICATE_BITS = 3


def difference_hash(path: Path) -> int:
    """64 bits that say where an image gets brighter from left to right, on a 9 x 8 grid."""
    from PIL import Image

    with Image.open(path) as image:
        image.draft("L", (64, 64))
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        grey = np.asarray(Image.alpha_composite(white, rgba).convert("L").resize((9, 8)), np.int16)
    bits = (grey[:, 1:] > grey[:, :-1]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def near_duplicates(hashes: Sequence[int], *, bits: int = NEAR_DUPLICATE_BITS) -> list[list[int]]:
    """Pairs of positions whose hashes differ in at most `bits` bits. Flat ones (0) never match."""
    values = np.array(hashes, dtype=np.uint64)
    pairs: list[list[int]] = []
    for i in range(len(values) - 1):
        if values[i] == 0:
            continue
        near = np.bitwise_count(values[i + 1 :] ^ values[i]) <= bits
        pairs += [[i, i + 1 + int(j)] for j in np.flatnonzero(near & (values[i + 1 :] != 0))]
    return pairs


def group_key(row: Mapping[str, object]) -> str:
    """What an item's group is called: its pair, else its label within its source, else its id."""
    if row.get("pair_id"):
        return f"pair:{row['pair_id']}"
    if row.get("label"):
        return f"label:{row['label']}@{row['source']}"
    return f"id:{row['id']}"


def split_ids(
    rows: Sequence[Mapping[str, object]],
    *,
    joined: Iterable[Sequence[int]] = (),
    fraction: float = 0.25,
    seed: int = 0,
) -> list[str]:
    """Choose the validation ids: about `fraction` of the items of every source, in whole groups.

    Args:
        rows: Manifest rows.
        joined: Pairs of row numbers that must lie on the same side, such as near-duplicates.
        fraction: Share of each source's items to hold out, in (0, 1).
        seed: Of the order in which groups are drawn.

    Raises:
        ValueError: `fraction` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must be between 0 and 1, got {fraction}")
    parent = list(range(len(rows)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[str, int] = {}
    for i, row in enumerate(rows):
        parent[root(i)] = root(first.setdefault(group_key(row), i))
    for i, j in joined:
        parent[root(i)] = root(j)
    members: dict[int, list[int]] = defaultdict(list)
    for i in range(len(rows)):
        members[root(i)].append(i)
    by_source: dict[str, list[list[int]]] = defaultdict(list)
    for group in members.values():
        by_source[str(rows[group[0]]["source"])].append(group)
    chosen: list[int] = []
    for source in sorted(by_source):
        groups = by_source[source]
        order = np.random.default_rng([seed, len(groups)]).permutation(len(groups))
        wanted, taken = fraction * sum(map(len, groups)), 0
        for g in map(int, order):
            # A group that would overshoot by more than it fills is left for a smaller one.
            if taken + len(groups[g]) / 2 <= wanted:
                chosen += groups[g]
                taken += len(groups[g])
    return sorted(str(rows[i]["id"]) for i in chosen)


def read_manifest(path: Path) -> list[dict[str, object]]:
    """The rows of a manifest (one JSON object a line), without those marked `low_content`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, filter(str.strip, lines)) if not row.get("low_content")]


def make_split(manifest: Path, *, fraction: float = 0.25, seed: int = 0) -> dict[str, object]:
    """Split a manifest; the result is what a split file holds, as JSON."""
    rows = read_manifest(manifest)
    images = [i for i, row in enumerate(rows) if row["modality"] == "image"]
    hashes = [difference_hash(manifest.parent / str(rows[i]["file"])) for i in images]
    joined = [[images[a], images[b]] for a, b in near_duplicates(hashes)]
    return {
        "schema": 1,
        "fraction": fraction,
        "seed": seed,
        "near_duplicate_bits": NEAR_DUPLICATE_BITS,
        "validation": split_ids(rows, joined=joined, fraction=fraction, seed=seed),
    }
