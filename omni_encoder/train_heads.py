"""The stage that trains what sits on frozen towers: adapters, biases and the text map.

Everything up to the pooled features, concept vectors and `<EOS>` features of texts is fixed, so it
is computed once; a step then costs milliseconds.
"""

# What numpy's choice and unique return is typed only in part.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .losses import info_nce, match_similarities
from .network import OmniNetwork
from .train_batches import Corpus, Pairs
from .train_config import TrainConfig
from .types import Modality

_TEACHER_SCALE = 20.0  # similarities are compared as softmax(20 cos), sharp enough to rank
_ANCHORS = 512
_CHUNK = 64


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """What a frozen tower and its concept head say of each item of one modality."""

    features: Tensor
    concepts: Tensor


@torch.no_grad()
def pool(corpus: Corpus, network: OmniNetwork, modality: Modality) -> Pooled:
    """Pooled features and concept vectors of all items; zeros for files that failed."""
    usable = np.flatnonzero(corpus.views[modality][0].counts() > 0)
    count = len(corpus.items[modality])
    made: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(usable), _CHUNK):
        rows = usable[start : start + _CHUNK]
        features, real, _ = corpus.features(network, modality, rows, np.zeros(len(rows), np.int64))
        made.append(
            (network.pooled(modality, features, real), network.concepts(modality, features, real))
        )
    out: list[Tensor] = []
    for column in zip(*made, strict=True):
        values = torch.cat(column)
        full = torch.zeros(count, values.shape[1])
        full[usable] = values
        out.append(full)
    return Pooled(*out)


class HeadStage:
    """Contrastive training of the adapters over kept features."""

    def __init__(
        self, config: TrainConfig, corpus: Corpus, network: OmniNetwork, texts: Tensor
    ) -> None:
        self.config, self.corpus, self.network = config, corpus, network
        self.texts = texts
        self.pooled = {modality: pool(corpus, network, modality) for modality in corpus.views}
        self._speech = corpus.speech()
        order = list(Modality)
        if not network.bias.any():  # untrained
            with torch.no_grad():
                network.bias[order.index(Modality.TEXT)] = -texts.mean(dim=0)
        quick = [*network.adapters.parameters(), network.bias, network.logit_scale]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": quick, "peak": 1e-3},
                {"params": list(network.text_adapter.parameters()), "peak": 2e-4},
            ],
            weight_decay=0.05,
        )

    def run(self, report: Callable[[int, int, dict[str, float]], None]) -> None:
        """Take all steps; the network is changed in place."""
        self.network.adapters.train()
        for step in range(self.config.head_steps):
            generator = np.random.default_rng([self.config.seed, 3, step])
            torch.manual_seed(self.config.seed * 1_000_003 + step)
            pairs = self.corpus.draw(generator, size=self.config.head_batch)
            loss, values = self._loss(pairs, generator)
            for group in self.optimizer.param_groups:
                group["lr"] = group["peak"] * _cosine(step, self.config.head_steps, warmup=50)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            if step % 20 == 0:
                report(step, self.config.head_steps, values)
        self.network.adapters.eval()

    def _loss(
        self, pairs: Pairs, generator: np.random.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        anchors = self.network.adapt_text(
            self.texts[generator.integers(0, len(self.texts), _ANCHORS)]
        ).detach()
        left, bridge = self._media(pairs.left, pairs.left_rows, anchors)
        if pairs.right is None:
            right = self.network.adapt_text(self.texts[pairs.right_rows])
        else:
            right, more = self._media(pairs.right, pairs.right_rows, anchors)
            bridge = (bridge + more) / 2
        positive = torch.from_numpy(pairs.positive)
        contrast = info_nce(left, right, positive, self.network.logit_scale.exp().clamp(max=100))
        loss = contrast + self.config.bridge_weight * bridge
        return loss, {"loss": loss.item(), "contrast": contrast.item(), "bridge": bridge.item()}

    def _media(
        self, modality: Modality, rows: np.ndarray, anchors: Tensor
    ) -> tuple[Tensor, Tensor]:
        pooled = self.pooled[modality]
        concepts = pooled.concepts[rows]
        vectors = self.network.fuse(modality, pooled.features[rows], concepts)
        if modality is not Modality.AUDIO:
            return vectors, match_similarities(vectors, concepts, anchors, scale=_TEACHER_SCALE)
        # To the sound classes all speech is "speech", so only other sounds are held to them.
        sounds = torch.from_numpy(~self._speech[rows])
        if not sounds.any():
            return vectors, vectors.new_zeros(())
        return vectors, match_similarities(
            vectors[sounds], concepts[sounds], anchors, scale=_TEACHER_SCALE
        )


class LateStage(HeadStage):
    """The last vision stages learn along with the vision adapter; everything else stays.

    A step encodes few images, so it borrows negatives: texts cost nothing, and other images stand
    in with the features they had before this stage.
    """

    def __init__(
        self, config: TrainConfig, corpus: Corpus, network: OmniNetwork, texts: Tensor
    ) -> None:
        super().__init__(config, corpus, network, texts)
        late = [*network.vision.blocks[network.vision.trunk_blocks :].parameters()]
        late += network.vision.head.parameters()
        self.learning = [*late, *network.adapters["vision"].parameters(), network.logit_scale]
        self.average = [parameter.detach().clone() for parameter in self.learning]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": late, "peak": config.late_rate, "weight_decay": 0.01},
                {"params": self.learning[len(late) :], "peak": 3e-4, "weight_decay": 0.05},
            ]
        )
        with torch.no_grad():
            self.right = network.adapt_text(texts)
        captions = corpus.captions[Modality.IMAGE]
        rows = corpus.rows[Modality.IMAGE]
        self.caption_rows = np.unique(np.concatenate([captions[row] for row in rows]))

    def run(self, report: Callable[[int, int, dict[str, float]], None]) -> None:
        """Take all steps, then put the running average of the weights in place."""
        self.network.adapters.train()
        total = self.config.late_steps
        for step in range(total):
            generator = np.random.default_rng([self.config.seed, 4, step])
            torch.manual_seed(self.config.seed * 1_000_003 + step)
            loss, values = self._late_loss(generator)
            for group in self.optimizer.param_groups:
                group["lr"] = group["peak"] * _cosine(step, total, warmup=50)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.learning, 1.0)
            self.optimizer.step()
            decay = min(self.config.average, (1 + step) / (10 + step))
            with torch.no_grad():
                for average, parameter in zip(self.average, self.learning, strict=True):
                    average.lerp_(parameter, 1 - decay)
            report(step, total, values)
        with torch.no_grad():
            for average, parameter in zip(self.average, self.learning, strict=True):
                parameter.copy_(average)
        self.network.adapters.eval()

    def _late_loss(self, generator: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        image = Modality.IMAGE
        pool, odds = self.corpus.rows[image], self.corpus.odds[image]
        size = self.config.head_batch
        rows = generator.choice(pool, min(size, len(pool)), replace=False, p=odds)
        live = rows[: self.config.batch]
        texts = np.array([generator.choice(self.corpus.captions[image][row]) for row in rows])
        more = generator.choice(self.caption_rows, min(size, len(self.caption_rows)), replace=False)
        texts = np.unique(np.concatenate([texts, more]))
        positive = torch.from_numpy(
            np.array([np.isin(texts, self.corpus.captions[image][row]) for row in rows])
        )
        views = np.zeros(len(live), dtype=np.int64)
        features, real, logits = self.corpus.features(self.network, image, live, views, generator)
        concepts = self.network.concepts(image, features, real)
        pooled = self.network.pooled(image, features, real)
        vectors = self.network.fuse(image, pooled, concepts)
        kept = self.pooled[image]
        with torch.no_grad():
            teacher = self.network.image_concepts.mix(logits)
            old = rows[self.config.batch :]
            stale = self.network.fuse(image, kept.features[old], kept.concepts[old])
        scale = self.network.logit_scale.exp().clamp(max=100)
        contrast = info_nce(torch.cat([vectors, stale]), self.right[texts], positive, scale)
        anchors = self.right[generator.integers(0, len(self.right), _ANCHORS)]
        bridge = match_similarities(vectors, teacher, anchors, scale=_TEACHER_SCALE)
        bridge = bridge + match_similarities(concepts, teacher, anchors, scale=_TEACHER_SCALE)
        loss = contrast + self.config.bridge_weight * bridge
        return loss, {"loss": loss.item(), "contrast": contrast.item(), "bridge": bridge.item()}


def _cosine(step: int, steps: int, *, warmup: int) -> float:
    """A learning rate's share of its peak: linear up, then down as a cosine."""
    return min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))
