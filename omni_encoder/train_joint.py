"""Training of pseudo-words: a caption's vector must read as the caption does, alone and in company.

Only texts of training items are used. A step draws pairs of captions, puts pseudo-words of one or
both where the captions would stand ("X", "X, y", "y, X", "X, Y"), and pulls the `<EOS>` feature to
that of the words themselves: InfoNCE over the batch, and one minus the cosine. Noise on the vectors
stands for what tells a picture's vector from its caption's (LinCIR, 2312.01998).
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from .joint import PseudoWords, read_sequences, save_pseudo_words, word_ids
from .model import OmniEncoder, encode_texts, pad_ids
from .registry import shipped_checkpoint
from .train_config import TrainConfig, TrainingError, read_config
from .train_data import read_items

Progress = Callable[[str, int, int, dict[str, float]], None]
_CLS_ID, _EOS_ID = 101, 102


@dataclass(frozen=True, slots=True)
class JointConfig:
    """The `[joint]` section of a training run.

    Attributes:
        encoder: The checkpoint whose backbone reads; the shipped one if not given.
        words: How many pseudo-words stand for a vector.
        steps: Optimiser steps; at least 2.
        batch: Pairs of captions a step.
        rate: Peak learning rate, of a one-cycle schedule.
        noise: Length of the noise on a unit vector, at most.
        temperature: Of the contrastive loss.
        tokens: Captions of more tokens are left out.
    """

    encoder: Path | None = None
    words: int = 3
    steps: int = 800
    batch: int = 64
    rate: float = 1e-3
    noise: float = 0.5
    temperature: float = 0.05
    tokens: int = 12

    def __post_init__(self) -> None:
        for name, least in (("words", 1), ("steps", 2), ("batch", 2), ("tokens", 1)):
            value: int = getattr(self, name)
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")


def read_joint_config(path: Path) -> tuple[TrainConfig, JointConfig]:
    """Read a run's TOML file that has a `[joint]` section.

    Raises:
        TrainingError: The file is missing, is not TOML, or a value is unknown or out of range.
    """
    common = read_config(path)
    table: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8")).get("joint", {})
    unknown = sorted(table.keys() - {field.name for field in fields(JointConfig)})
    if unknown:
        raise TrainingError(f"{path}: unknown setting joint.{unknown[0]}")
    if "encoder" in table:
        table["encoder"] = path.resolve().parent / str(table["encoder"])
    try:
        return common, JointConfig(**table)  # pyright: ignore[reportArgumentType] - checked above
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{path}: joint: {error}", hint="see docs/training.md") from error


def train_joint(config: Path, *, progress: Progress | None = None) -> Path:
    """Train pseudo-words as a TOML file says; writes `omni-joint.safetensors` into its run folder.

    It takes minutes and is not resumed.

    Raises:
        TrainingError: The config or its data can't be used.
        CheckpointError: The encoder can't be loaded.
    """
    common, settings = read_joint_config(config)
    torch.set_num_threads(common.threads)
    path = settings.encoder or shipped_checkpoint()
    encoder = OmniEncoder.load(path, name=f"omni:{path}")
    items = [item for item in read_items(common) if not item.held_out]
    captions = sorted({caption for item in items for caption in item.captions})
    trainer = JointTrainer(encoder, captions, settings, seed=common.seed)
    for step in range(settings.steps):
        values = trainer.take_step(step)
        if progress is not None:
            progress("pseudo-words", step + 1, settings.steps, values)
    target = common.run / "omni-joint.safetensors"
    save_pseudo_words(trainer.words, target, fingerprint=encoder.spec.fingerprint)
    return target


class JointTrainer:
    """Learns one linear map; the encoder is frozen."""

    def __init__(
        self, encoder: OmniEncoder, captions: Sequence[str], settings: JointConfig, *, seed: int
    ) -> None:
        self.settings, self.seed = settings, seed
        self.network = encoder.network.requires_grad_(requires_grad=False)
        ids = [word_ids(encoder.tokenizer, caption) for caption in captions]
        kept = [i for i, row in enumerate(ids) if 0 < len(row) <= settings.tokens]
        if len(kept) < settings.batch:
            raise TrainingError(f"{len(kept)} captions are too few for batches of {settings.batch}")
        self.ids = [ids[i] for i in kept]
        self.between = word_ids(encoder.tokenizer, ",")
        vectors = encode_texts(
            self.network, encoder.tokenizer.to_str(), [captions[i] for i in kept]
        )
        mean = encoder.means[0] if encoder.means is not None else vectors.mean(axis=0)
        self.mean = torch.from_numpy(np.asarray(mean, dtype=np.float32))
        self.vectors = _unit(torch.from_numpy(vectors) - self.mean)
        torch.manual_seed(seed)
        self.words = PseudoWords(encoder.spec.dim, settings.words)
        self._begin()
        self.optimizer = torch.optim.AdamW(self.words.parameters(), weight_decay=0.0)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, settings.rate, total_steps=settings.steps
        )

    def _begin(self) -> None:
        """Start every pseudo-word as the ridge regression to the mean word embedding."""
        table: Tensor = self.network.text.words.weight
        means = torch.stack([table[row].mean(dim=0) for row in self.ids])
        centre = means.mean(dim=0)
        width = self.vectors.shape[1]
        ridge = 0.1 * len(self.vectors) / width * torch.eye(width)
        gram = self.vectors.T @ self.vectors + ridge
        solved = torch.linalg.solve(gram, self.vectors.T @ (means - centre))
        with torch.no_grad():
            self.words.project.weight.copy_(solved.T.repeat(self.settings.words, 1))
            self.words.project.bias.copy_(centre.repeat(self.settings.words))

    def take_step(self, step: int) -> dict[str, float]:
        """One step; what it says is the loss and the mean cosine to the words' own reading."""
        generator = np.random.default_rng([self.seed, step])
        torch.manual_seed(self.seed * 1_000_003 + step)
        count = self.settings.batch
        first = generator.choice(len(self.ids), count, replace=False)
        second = generator.choice(len(self.ids), count)
        pseudo = [self.words(self._noisy(rows)) for rows in (first, second)]
        read: list[list[list[int] | Tensor]] = []
        said: list[list[int]] = []
        for i, form in enumerate(generator.integers(0, 4, count)):
            x, y = self.ids[first[i]], self.ids[second[i]]
            words, more = pseudo[0][i], pseudo[1][i]
            read.append(([words], [words, y], [y, words], [words, more])[form])
            spoken = (x, [*x, *self.between, *y], [*y, *self.between, *x], [*x, *self.between, *y])
            said.append([_CLS_ID, *spoken[form], _EOS_ID])
        made = self._centred(read_sequences(self.network, read, between=self.between))
        with torch.no_grad():
            target = self._centred(self.network.encode_text(*pad_ids(said)))
        logits = made @ target.T / self.settings.temperature
        cosine = (made * target).sum(dim=1).mean()
        loss = functional.cross_entropy(logits, torch.arange(count)) + 2 * (1 - cosine)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if step + 1 < self.settings.steps:
            self.schedule.step()
        return {"loss": float(loss.detach()), "cosine": float(cosine.detach())}

    def _noisy(self, rows: np.ndarray) -> Float[Tensor, "batch width"]:
        vectors = self.vectors[torch.from_numpy(rows)]
        noise = torch.randn_like(vectors) / vectors.shape[1] ** 0.5
        return _unit(vectors + self.settings.noise * torch.rand(len(rows), 1) * noise)

    def _centred(self, vectors: Tensor) -> Tensor:
        return _unit(vectors - self.mean)


def _unit(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors, dim=-1)
