"""The paper's ablation in small: one part of the recipe changed after the other, all else equal.

The backbone is cut to its first layers, reads pictures by their codes and learns, in one run, to
find (contrastive pairs of what it reads), to draw and to caption. Each loss is divided by what
guessing costs, so all begin at about 1. The ladder of NExT-OMNI's table 5 (2510.13721):

    in order, decoupled   slots are guessed one after the other, each seeing those before
    flow, decoupled       all slots are denoised at once
    flow, unified         pictures are read by the same codes that are drawn
    + dynamic length      texts end at a whole block, not always at the longest
    + reconstruction      the codes were also shaped by rebuilding the picture

"Decoupled" reads codes that were shaped by meaning alone and draws codes that were shaped by
rebuilding alone; "unified" without reconstruction does both with the former, whose decoder learns
pixels without a say in the codes.
"""

# What numpy and torch return is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch import Tensor

from .ablation_config import Codes, Variant, read_ablation_config
from .ablation_model import VariantModel
from .flow_neighbours import NeighbourNoise
from .model import OmniEncoder, centred
from .shipped import shipped_checkpoint
from .tokenizer import MediaTokenizer
from .train_config import TrainingError
from .train_data import TrainItem, read_items
from .train_tokens import TokensConfig, TokenTrainer
from .types import MediaItem, Modality

Progress = Callable[[str, int, int], None]
_CHUNK = 64
_BATCHES = 6  # what random numbers are for


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a trained variant makes of the held-out pictures; all rows are at unit length.

    Attributes:
        images: What it reads in each picture.
        texts: What it reads in each of `Study.captions`.
        drawn: Search vectors, by the encoder, of pictures drawn from the first captions.
        asked: Those of the captions.
        described: Search vectors of captions written for the first pictures; zeros where none was.
        true: Those of the pictures' own captions.
    """

    images: Float32[np.ndarray, "images width"]
    texts: Float32[np.ndarray, "captions width"]
    drawn: Float32[np.ndarray, "drawn dim"]
    asked: Float32[np.ndarray, "drawn dim"]
    described: Float32[np.ndarray, "drawn dim"]
    true: Float32[np.ndarray, "drawn dim"]


class Study:
    """The data of an ablation, and its runs.

    Attributes:
        captions: The distinct captions of the held-out pictures.
        held: The captions of each held-out picture.
    """

    def __init__(self, config: Path, progress: Progress | None = None) -> None:
        """Read the pictures of the manifests.

        Args:
            config: A TOML file with a section `[ablation]`.
            progress: Told what is done, how much of it, and of how much.

        Raises:
            TrainingError: The config or its data can't be used.
            CheckpointError: The encoder can't be loaded.
        """
        self.common, self.settings = read_ablation_config(config)
        self.progress = progress or _silent
        torch.set_num_threads(self.common.threads)
        path = self.settings.encoder or shipped_checkpoint()
        self.encoder = OmniEncoder.load(path, name=f"omni:{path}")
        every = read_items(self.common)
        self._items = [item for item in every if item.modality is Modality.IMAGE]
        self._trainer = self._tokens(self._items, TokensConfig())
        self._rows, held = (
            np.array([i for i in rows if self._items[i].captions], dtype=np.int64)
            for rows in (self._trainer.rows, self._trainer.held)
        )
        if len(self._rows) < self.settings.batch or len(held) < 2:
            raise TrainingError(
                "an ablation needs pictures with captions, some of them held out",
                hint="name a split; see docs/training.md",
            )
        self._held = held
        self.held: list[Sequence[str]] = [self._items[i].captions for i in held]
        self.captions: list[str] = list(
            dict.fromkeys(c for captions in self.held for c in captions)
        )
        self._near: NeighbourNoise | None = None  # words are noised alike in all
        self._made: dict[tuple[Codes, int], MediaTokenizer] = {}

    def run(self, variant: Variant, seed: int) -> Outcome:
        """Train a variant, and let it find, draw and caption what was held out."""
        reader, drawer = (self._tokenizer(kind, seed) for kind in (variant.reads, variant.draws))
        torch.manual_seed(seed)
        trained = VariantModel(
            variant, self.settings, self.encoder, reader, drawer, near=self._near
        )
        self._near = trained.near
        self._train(trained, reader, drawer, seed)
        trained.model.eval()
        with torch.no_grad():
            return self._outcome(trained, reader, drawer)

    def _tokens(self, items: list[TrainItem], settings: TokensConfig) -> TokenTrainer:
        def tell(what: str, done: int, total: int, _values: dict[str, float]) -> None:
            self.progress(what, done, total)

        return TokenTrainer(self.common, settings, self.encoder, items, tell)

    def _tokenizer(self, kind: Codes, seed: int) -> MediaTokenizer:
        if (kind, seed) not in self._made:
            settings = TokensConfig(
                steps=self.settings.token_steps,
                save_every=self.settings.token_steps,
                validate_every=self.settings.token_steps,
                semantic_weight=0.0 if kind == "pixels" else 0.2,
                reconstruct=kind != "meaning",
            )
            trainer = self._tokens(self._items, settings)
            run = self.common.run / "ablation" / f"{kind}-{self.settings.token_steps}-{seed}"
            trainer.config = replace(self.common, run=run, seed=seed)
            torch.manual_seed(seed)
            self._made[kind, seed] = trainer.run(resume=True)
        return self._made[kind, seed]

    @torch.no_grad()
    def _codes(self, tokenizer: MediaTokenizer, rows: np.ndarray) -> Int[Tensor, "rows 64 books"]:
        made: list[Tensor] = []
        for start in range(0, len(rows), _CHUNK):
            deep, patches, _ = self._trainer.batch(rows[start : start + _CHUNK])
            made.append(tokenizer.encode(deep, patches))
        return torch.cat(made)

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self.encoder.tokenizer.encode_batch(list(texts))
        return [one.ids[1:-1][: self.settings.words] for one in encoded]

    def _train(
        self, trained: VariantModel, reader: MediaTokenizer, drawer: MediaTokenizer, seed: int
    ) -> None:
        settings = self.settings
        optimizer = torch.optim.AdamW(
            [p for p in trained.model.parameters() if p.requires_grad],
            betas=(0.9, 0.95),
            weight_decay=0.02,
        )
        trained.model.train()
        for step in range(settings.steps):
            draws = np.random.default_rng([seed, _BATCHES, step])
            noise = torch.Generator().manual_seed(seed * 1_000_003 + step)
            rows = draws.choice(self._rows, settings.batch, replace=False)
            said = [
                self._items[i].captions[int(draws.integers(len(self._items[i].captions)))]
                for i in rows
            ]
            read = self._codes(reader, rows)
            drawn = read if reader is drawer else self._codes(drawer, rows)
            loss = trained.loss((read, drawn, self._ids(said)), said, noise, to_text=step % 2 == 1)
            warm = min(1.0, (step + 1) / settings.warmup)
            for group in optimizer.param_groups:
                half = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
                group["lr"] = settings.rate * warm * half
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(list(trained.model.parameters()), 1.0)
            optimizer.step()
            self.progress(f"{trained.variant.name}, seed {seed}", step + 1, settings.steps)

    def _outcome(
        self, trained: VariantModel, reader: MediaTokenizer, drawer: MediaTokenizer
    ) -> Outcome:
        count = min(self.settings.drawn, len(self._held), len(self.captions))
        # Manifests go class by class: spread out, few are of one class.
        few = np.linspace(0, len(self._held) - 1, count).astype(int)
        codes = self._codes(reader, self._held)
        texts = [self.held[i][0] for i in few]
        pixels = ((drawer.decode(trained.draw(self._ids(texts))) + 1) * 127.5).round()
        frames = pixels.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
        written = [self.encoder.tokenizer.decode(row).strip() for row in trained.write(codes[few])]
        return Outcome(
            images=_in_chunks(len(codes), lambda part: trained.read_codes(codes[part])),
            texts=_in_chunks(
                len(self.captions), lambda part: trained.read_ids(self._ids(self.captions[part]))
            ),
            drawn=self._vectors([MediaItem(Modality.IMAGE, frame) for frame in frames]),
            asked=self._texts(texts),
            described=self._texts(written),
            true=self._texts(texts),
        )

    def _texts(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts dim"]:
        there = [i for i, text in enumerate(texts) if text]
        made = np.zeros((len(texts), self.encoder.spec.dim), np.float32)
        if there:
            made[there] = self._vectors([MediaItem(Modality.TEXT, texts[i]) for i in there])
        return made

    def _vectors(self, items: list[MediaItem]) -> Float32[np.ndarray, "items dim"]:
        vectors = torch.from_numpy(self.encoder.encode(items))
        return centred(vectors, self.encoder.means, items[0].modality).numpy()


def _in_chunks(count: int, make: Callable[[slice], Tensor]) -> Float32[np.ndarray, "rows width"]:
    parts = [make(slice(start, start + _CHUNK)) for start in range(0, count, _CHUNK)]
    return torch.cat(parts).numpy()


def _silent(what: str, done: int, total: int) -> None:
    """Report nothing."""
