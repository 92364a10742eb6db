"""Training data: items of manifests, and the features that the frozen towers made of them.

Features are kept on disk in blocks of items, each written whole or not at all, so an interrupted
run goes on where it stopped. The first view of an item is plain; further views of an image are
random crops, flips and changes of colour.
"""

# What numpy and JSON return is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from zlib import crc32

import numpy as np
from jaxtyping import Float16, Float32, Int64

from .errors import MediaError
from .media import open_media
from .splits import read_manifest
from .train_config import TrainConfig, TrainingError
from .types import MediaItem, MediaLayout, Modality

BLOCK_ITEMS = 256
TOWER_BATCH = 32


@dataclass(frozen=True, slots=True)
class TrainItem:
    """One line of a manifest, as training uses it.

    Attributes:
        id: Its id in the manifest.
        modality: Image, audio or video.
        path: The file.
        captions: What it is called; tags, joined, count as one more.
        label: Its class within its source, or None.
        pair: What it shares with items of other modalities or styles, or None.
        held_out: Whether it belongs to the validation split.
        licence: As the manifest says.
        source: As the manifest says.
        spoken: Whether it is speech with a transcript, of which a sound teacher knows little.
    """

    id: str
    modality: Modality
    path: Path
    captions: tuple[str, ...]
    label: str | None
    pair: str | None
    held_out: bool
    licence: str
    source: str


def read_items(config: TrainConfig) -> list[TrainItem]:
    """The items of all manifests, validation items marked.

    Raises:
        TrainingError: A manifest or the split file is missing.
    """
    try:
        held = (
            set(json.loads(config.split.read_text(encoding="utf-8"))["validation"])
            if config.split
            else set()
        )
        tables = [(manifest, read_manifest(manifest)) for manifest in config.manifests]
    except (OSError, json.JSONDecodeError, KeyError) as error:
        raise TrainingError(f"can't read the training data: {error}") from error
    items: list[TrainItem] = []
    for at, (manifest, rows) in enumerate(tables):
        for row in rows:
            licence = str(row.get("license", ""))
            if any(part in licence for part in config.exclude_licences):
                continue
            items.append(_item(row, manifest, held_out=at == 0 and row["id"] in held))
    return items


def _item(row: dict[str, object], manifest: Path, *, held_out: bool) -> TrainItem:
    captions, tags = row["captions"], row.get("tags")
    assert isinstance(captions, list)
    names = [str(caption) for caption in captions]
    if isinstance(tags, list) and tags and not held_out:
        names.append(", ".join(str(tag) for tag in tags[:6]))
    label, pair = row.get("label"), row.get("pair_id")
    return TrainItem(
        id=str(row["id"]),
        modality=Modality(str(row["modality"])),
        path=manifest.parent / str(row["file"]),
        captions=tuple(names),
        label=f"{label}@{row['source']}" if label else None,
        pair=str(pair) if pair else None,
        held_out=held_out,
        licence=str(row.get("license", "")),
        source=str(row.get("source", "")),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Tower features of many items, end to end, and what a teacher says of each.

    Attributes:
        tokens: Half precision, [all tokens, width].
        starts: Where an item's tokens begin, [items + 1]; equal neighbours mark a file that failed.
        teacher: The teacher's logits, [items, classes].
    """

    tokens: Float16[np.ndarray, "tokens width"]
    starts: Int64[np.ndarray, " items_and_1"]
    teacher: Float32[np.ndarray, "items classes"]

    def counts(self) -> Int64[np.ndarray, " items"]:
        """How many tokens each item has."""
        return np.diff(self.starts)

    def padded(
        self, rows: Sequence[int] | np.ndarray
    ) -> tuple[Float32[np.ndarray, "rows longest width"], np.ndarray]:
        """The tokens of some items as one batch, and which are real (bool [rows, longest])."""
        counts = self.counts()[rows]
        out = np.zeros((len(rows), int(counts.max()), self.tokens.shape[1]), dtype=np.float32)
        for target, row, count in zip(out, rows, counts, strict=True):
            start = self.starts[row]
            target[:count] = self.tokens[start : start + count]
        return out, np.arange(out.shape[1])[None] < counts[:, None]


class Tower(Protocol):
    """Turns decoded items into feature tokens and a teacher's logits, a pair for each item."""

    def __call__(
        self, items: Sequence[MediaItem]
    ) -> list[tuple[Float16[np.ndarray, "tokens width"], Float32[np.ndarray, " classes"]]]:
        """Feature tokens and logits of each item, in the order given."""
        ...


def build_features(
    items: Sequence[TrainItem],
    tower: Tower,
    folder: Path,
    *,
    view: int,
    seed: int,
    layout: MediaLayout,
    progress: Callable[[int, int], None],
) -> Features:
    """Features of items in order, from `folder` as far as it holds them.

    Args:
        items: Of one modality.
        tower: What makes the features.
        folder: Where blocks are kept; the caller names it after all that features depend on.
        view: 0 for the plain view; others are random, each its own.
        seed: Of random views.
        layout: How media are decoded.
        progress: Called with (items done, all items).
    """
    folder.mkdir(parents=True, exist_ok=True)
    blocks = []
    for start in range(0, len(items), BLOCK_ITEMS):
        path = folder / f"{start:07d}.npz"
        if not path.exists():
            block = _encode_block(items[start : start + BLOCK_ITEMS], tower, view, seed, layout)
            unfinished = path.with_suffix(".partial")
            with unfinished.open("wb") as file:
                np.savez(
                    file,
                    tokens=np.concatenate([tokens for tokens, _ in block]),
                    counts=np.array([len(tokens) for tokens, _ in block]),
                    teacher=np.stack([logits for _, logits in block]),
                )
            unfinished.replace(path)
        with np.load(path, allow_pickle=False) as arrays:
            blocks.append({name: arrays[name] for name in ("tokens", "counts", "teacher")})
        progress(min(start + BLOCK_ITEMS, len(items)), len(items))
    counts = np.concatenate([block["counts"] for block in blocks])
    return Features(
        tokens=np.concatenate([block["tokens"] for block in blocks]),
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        teacher=np.concatenate([block["teacher"] for block in blocks]),
    )


def _encode_block(
    items: Sequence[TrainItem], tower: Tower, view: int, seed: int, layout: MediaLayout
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Features of each item; none for a file that can't be decoded, so rows keep their number."""
    decoded: list[tuple[int, MediaItem]] = []
    for row, item in enumerate(items):
        try:
            media = next(iter(open_media(item.path, layout)[1]))
        except MediaError:
            continue
        if view:
            media = random_view(media, np.random.default_rng([seed, view, crc32(item.id.encode())]))
        decoded.append((row, media))
    if not decoded:
        raise TrainingError(f"no file can be decoded from {items[0].path} to {items[-1].path}")
    made: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for start in range(0, len(decoded), TOWER_BATCH):
        batch = decoded[start : start + TOWER_BATCH]
        pairs = tower([media for _, media in batch])
        made.update(zip([row for row, _ in batch], pairs, strict=True))
    tokens, logits = next(iter(made.values()))
    nothing = (tokens[:0], np.zeros_like(logits))
    return [made.get(row, nothing) for row in range(len(items))]


def random_view(item: MediaItem, generator: np.random.Generator) -> MediaItem:
    """Another view of an item.

    An image cropped to 50-100% of its area, perhaps mirrored, brighter or darker; a clip louder or
    softer, with a little noise. Videos stay as they are.
    """
    content = item.content
    if isinstance(content, str) or item.modality is Modality.VIDEO:
        return item
    if item.modality is Modality.AUDIO:
        gain = 10 ** generator.uniform(-0.5, 0.3)
        noise = generator.normal(0, 10 ** generator.uniform(-4, -2.3), len(content))
        return MediaItem(item.modality, np.clip(content * gain + noise, -1, 1).astype(np.float32))
    height, width = content.shape[:2]
    share = generator.uniform(0.5, 1) ** 0.5
    shape = 2 ** generator.uniform(-0.25, 0.25)
    high = min(height, max(1, round(height * share * shape)))
    wide = min(width, max(1, round(width * share / shape)))
    top = int(generator.integers(0, height - high + 1))
    left = int(generator.integers(0, width - wide + 1))
    crop = content[top : top + high, left : left + wide]
    if generator.random() < 0.5:
        crop = crop[:, ::-1]
    light = crop * generator.uniform(0.8, 1.2) + generator.uniform(-15, 15, 3)
    return MediaItem(item.modality, np.clip(light, 0, 255).astype(np.uint8))
