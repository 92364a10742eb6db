"""The training corpus in memory, and the batches that are drawn from it."""

# What numpy and torch return is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from blake3 import blake3
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from .model import encode_texts
from .network import OmniNetwork
from .teachers import SoundTeacher
from .towers import AudioTower, ImageTower, VideoTower
from .train_config import TrainConfig, TrainingError
from .train_data import Features, Tower, TrainItem, build_features, read_items
from .types import Modality

_MEDIA = (Modality.IMAGE, Modality.AUDIO, Modality.VIDEO)
_MEAN_TEXTS = 4096
_CHUNK = 64


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """A batch of pairs.

    Attributes:
        left: Modality of the left items.
        left_rows: Their rows in the corpus, within their modality.
        right: Modality of the right items; None if they are texts.
        right_rows: Their rows, or rows of `Corpus.texts`.
        views: Which view of each left (and right) item to take.
        positive: Which pairs belong together.
    """

    left: Modality
    left_rows: Int64[np.ndarray, " batch"]
    right: Modality | None
    right_rows: Int64[np.ndarray, " batch"]
    views: Int64[np.ndarray, " batch"]
    positive: Bool[np.ndarray, "batch batch"]


class Corpus:
    """Items, their kept features and the texts that name them."""

    def __init__(
        self, config: TrainConfig, network: OmniNetwork, progress: Callable[[str, int, int], None]
    ) -> None:
        self.config = config
        items = read_items(config)
        self.items = {m: [item for item in items if item.modality is m] for m in _MEDIA}
        self.views = {m: self._features(m, network, progress) for m in _MEDIA if self.items[m]}
        captions = {caption for item in items for caption in item.captions}
        corpus = set(_lines(config.texts)) if config.texts else set()
        held = {c for item in items if item.held_out for c in item.captions}
        # A training item that carries a held-out caption goes without it.
        self.texts = sorted((captions | corpus) - held)
        self._text_row = {text: row for row, text in enumerate(self.texts)}
        self._prepare()

    def _features(
        self, modality: Modality, network: OmniNetwork, progress: Callable[[str, int, int], None]
    ) -> list[Features]:
        """Every view's features, built or read from the run folder."""
        items = self.items[modality]
        layout = replace(network.config.layout(), image_pixels=320)
        key = blake3(
            "\n".join(f"{i.id} {i.path.stat().st_size}" for i in items if i.path.exists()).encode()
        )
        count = self.config.views if modality is Modality.IMAGE else 1
        made = []
        for view in range(count):
            # Random views are for training items only; validation looks at plain ones.
            name = f"{modality}-{self.config.vision_size}-{key.hexdigest(6)}-view{view}"
            made.append(
                build_features(
                    items,
                    self._tower(modality, network),
                    self.config.run / "features" / name,
                    view=view,
                    seed=self.config.seed,
                    layout=layout if modality is Modality.IMAGE else network.config.layout(),
                    progress=lambda done, total: progress(f"{modality} features", done, total),
                )
            )
        return made

    def _tower(self, modality: Modality, network: OmniNetwork) -> Tower:
        if modality is Modality.AUDIO:
            return AudioTower(network, SoundTeacher(threads=self.config.threads))
        return ImageTower(network) if modality is Modality.IMAGE else VideoTower(network)

    def _prepare(self) -> None:
        """Find what may be drawn: usable training rows, caption rows, rows by what they share."""
        self.rows: dict[Modality, np.ndarray] = {}
        self.captions: dict[Modality, list[list[int]]] = {}
        self.shared: dict[Modality, dict[str, list[int]]] = {}
        self.odds: dict[Modality, np.ndarray] = {}
        for modality, views in self.views.items():
            items = self.items[modality]
            usable = views[0].counts() > 0
            rows = [i for i, item in enumerate(items) if usable[i] and not item.held_out]
            self.captions[modality] = [
                [self._text_row[c] for c in item.captions if c in self._text_row] for item in items
            ]
            groups: dict[str, list[int]] = defaultdict(list)
            for row in rows:
                for key in (items[row].pair, items[row].label):
                    if key:
                        groups[key].append(row)
            self.shared[modality] = dict(groups)
            self.rows[modality] = np.array(
                [row for row in rows if self.captions[modality][row]], dtype=np.int64
            )
            self.odds[modality] = _balance([items[row] for row in self.rows[modality]])
        self.keys = {
            task: self._keys(*task.split("-"))
            for task, _ in self.config.tasks
            if not task.endswith("-text")
        }
        self.tasks = [(name, weight) for name, weight in self.config.tasks if self._possible(name)]

    def describe(self) -> list[dict[str, object]]:
        """What was trained on: items by source, modality and licence."""
        counted = Counter(
            (item.source, str(item.modality), item.licence)
            for items in self.items.values()
            for item in items
            if not item.held_out
        )
        return [
            {"source": source, "modality": modality, "licence": licence, "items": count}
            for (source, modality, licence), count in sorted(counted.items())
        ]

    # Batches.

    def draw(self, generator: np.random.Generator, *, size: int) -> Pairs:
        """A batch of at most `size` pairs; it depends on the generator only."""
        if not self.tasks:
            raise TrainingError("no task can be drawn from this data", hint="see docs/training.md")
        weights = np.array([weight for _, weight in self.tasks])
        name = self.tasks[generator.choice(len(self.tasks), p=weights / weights.sum())][0]
        left_name, right_name = name.split("-")
        left = Modality(left_name)
        if right_name == "text":
            return self._with_captions(left, generator, size)
        return self._with_media(left, Modality(right_name), generator, size)

    def _possible(self, task: str) -> bool:
        left, right = task.split("-")
        if right == "text":
            return left in self.views and len(self.rows[Modality(left)]) > 1
        return len(self.keys[task]) > 1

    def _with_captions(
        self, modality: Modality, generator: np.random.Generator, size: int
    ) -> Pairs:
        pool = self.rows[modality]
        size = min(size, len(pool))
        rows = generator.choice(pool, size, replace=False, p=self.odds[modality])
        texts = np.array([generator.choice(self.captions[modality][row]) for row in rows])
        # Another item that carries the same caption is no negative.
        positive = np.array([np.isin(texts, self.captions[modality][row]) for row in rows])
        return Pairs(modality, rows, None, texts, self._draw_views(size, generator), positive)

    def _keys(self, left: str, right: str) -> list[str]:
        """What items of two modalities share, sorted."""
        if left not in self.views or right not in self.views:
            return []
        ours, theirs = self.shared[Modality(left)], self.shared[Modality(right)]
        if left == right:
            return sorted(key for key, rows in ours.items() if len(rows) > 1)
        return sorted(ours.keys() & theirs.keys())

    def _with_media(
        self, left: Modality, right: Modality, generator: np.random.Generator, size: int
    ) -> Pairs:
        keys = self.keys[f"{left}-{right}"]
        size = min(size // 2, len(keys))
        chosen = [keys[i] for i in generator.choice(len(keys), size, replace=False)]
        if left is right:
            both = [generator.choice(self.shared[left][key], 2, replace=False) for key in chosen]
        else:
            both = [
                [
                    generator.choice(self.shared[left][key]),
                    generator.choice(self.shared[right][key]),
                ]
                for key in chosen
            ]
        rows = np.array(both, dtype=np.int64)
        views = self._draw_views(size, generator)
        names = [
            [{self.items[m][row].pair, self.items[m][row].label} - {None} for row in column]
            for m, column in ((left, rows[:, 0]), (right, rows[:, 1]))
        ]
        positive = np.array([[bool(a & b) for b in names[1]] for a in names[0]])
        return Pairs(left, rows[:, 0], right, rows[:, 1], views, positive)

    def _draw_views(self, size: int, generator: np.random.Generator) -> np.ndarray:
        return generator.integers(0, self.config.views, size)

    def features(
        self,
        network: OmniNetwork,
        modality: Modality,
        rows: np.ndarray,
        views: np.ndarray,
        generator: np.random.Generator | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fusion features of items, which tokens are real, and the teacher's logits.

        With a generator, trunk grids are cropped and mirrored at random, which costs nothing.
        """
        stored = self.views[modality]
        if modality is Modality.AUDIO:
            tokens, real = stored[0].padded(rows)
            return torch.from_numpy(tokens), torch.from_numpy(real), _teacher(stored[0], rows)
        kept = [stored[int(view) % len(stored)] for view in views]
        trunk = np.stack(
            [k.tokens[k.starts[r] : k.starts[r + 1]] for k, r in zip(kept, rows, strict=True)]
        )
        logits = torch.from_numpy(np.stack([k.teacher[r] for k, r in zip(kept, rows, strict=True)]))
        features = _late(network, modality, torch.from_numpy(trunk.astype(np.float32)), generator)
        return features, torch.ones(features.shape[:2], dtype=torch.bool), logits

    # Sounds.

    def taught_sounds(self) -> np.ndarray:
        """Rows of the training clips that the sound teacher has an opinion on."""
        if Modality.AUDIO not in self.views:
            return np.zeros(0, dtype=np.int64)
        items = self.items[Modality.AUDIO]
        counts = self.views[Modality.AUDIO][0].counts()
        return np.array(
            [
                i
                for i, item in enumerate(items)
                if item.captions and not item.held_out and counts[i]
            ],
            dtype=np.int64,
        )

    @torch.no_grad()
    def pooled_sounds(self, network: OmniNetwork, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Pooled audio features and teacher logits of some clips."""
        stored = self.views[Modality.AUDIO][0]
        pooled = []
        for start in range(0, len(rows), _CHUNK):
            tokens, real = stored.padded(rows[start : start + _CHUNK])
            pooled.append(network.pooled_audio(torch.from_numpy(tokens), torch.from_numpy(real)))
        return torch.cat(pooled), _teacher(stored, rows)

    # Vectors of everything, for validation and means.

    @torch.inference_mode()
    def vectors(
        self, network: OmniNetwork, modality: Modality, rows: np.ndarray
    ) -> Float32[np.ndarray, "rows dim"]:
        """Vectors of items' plain views."""
        made = []
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            features, real, _ = self.features(
                network, modality, part, np.zeros(len(part), np.int64)
            )
            made.append(network.encode_media(modality, features, real).numpy())
        return np.concatenate(made)

    def validate(self, network: OmniNetwork, tokenizer: str) -> dict[str, float]:
        """Success@1 of text->X and X->text on the held-out items, for a look on the way."""
        values: dict[str, float] = {}
        for modality, views in self.views.items():
            counts, items = views[0].counts(), self.items[modality]
            rows = np.array([i for i, item in enumerate(items) if item.held_out and counts[i]])
            if not len(rows):
                continue
            media = self.vectors(network, modality, rows)
            texts = sorted({c for row in rows for c in items[row].captions})
            scores = encode_texts(network, tokenizer, texts) @ media.T
            carries = np.array([[t in items[row].captions for row in rows] for t in texts])
            values[f"text->{modality}"] = _success(scores, carries)
            values[f"{modality}->text"] = _success(scores.T, carries.T)
        return values

    def means(self, network: OmniNetwork, tokenizer: str) -> Float32[np.ndarray, "modalities dim"]:
        """Mean vector of each modality over training items; zeros for one that has none."""
        out = np.zeros((len(Modality), network.config.backbone.width), dtype=np.float32)
        generator = np.random.default_rng(self.config.seed)
        some = generator.permutation(len(self.texts))[:_MEAN_TEXTS]
        for row, modality in enumerate(Modality):
            if modality is Modality.TEXT:
                out[row] = encode_texts(network, tokenizer, [self.texts[i] for i in some]).mean(
                    axis=0
                )
            elif len(self.rows.get(modality, ())):
                chosen = generator.permutation(self.rows[modality])[:2048]
                out[row] = self.vectors(network, modality, chosen).mean(axis=0)
        return out


def _late(
    network: OmniNetwork,
    modality: Modality,
    trunk: Tensor,
    generator: np.random.Generator | None,
) -> Tensor:
    """The trainable half of the vision encoder, from kept trunk grids to fusion features."""
    cells = (network.config.vision.pixels + 15) // 16
    grids = trunk.unflatten(1, (-1, cells, cells))
    batch, frames = grids.shape[:2]
    maps = grids.flatten(0, 1).permute(0, 3, 1, 2)
    if generator is not None:
        maps = _random_crop(maps, generator)
    maps = maps.contiguous(memory_format=torch.channels_last)
    config = network.config
    grid = config.image_grid if modality is Modality.IMAGE else config.frame_grid
    features = network.grid_features(network.vision.late(maps), grid=grid)
    return features.unflatten(0, (batch, frames)).flatten(1, 2)


def _random_crop(maps: Tensor, generator: np.random.Generator) -> Tensor:
    """The same window of all grids, at least 6/7 of a side, and half of the grids mirrored."""
    side = maps.shape[-1]
    high, wide = (int(n) for n in generator.integers(side * 6 // 7, side + 1, 2))
    top, left = int(generator.integers(side - high + 1)), int(generator.integers(side - wide + 1))
    maps = maps[:, :, top : top + high, left : left + wide]
    mirrored = torch.from_numpy(generator.random(len(maps)) < 0.5)[:, None, None, None]
    return torch.where(mirrored, maps.flip(3), maps)


def _teacher(stored: Features, rows: np.ndarray) -> Tensor:
    return torch.from_numpy(stored.teacher[rows])


def _balance(items: Sequence[TrainItem]) -> Float32[np.ndarray, " items"]:
    """Draw odds: a source counts by the square root of its size, so that big ones don't rule."""
    sizes = Counter(item.source for item in items)
    odds = np.array([sizes[item.source] ** -0.5 for item in items])
    return odds / odds.sum()


def _success(scores: np.ndarray, relevant: np.ndarray) -> float:
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    return float((((scores >= best) & ~relevant).sum(axis=1) == 0).mean())


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
