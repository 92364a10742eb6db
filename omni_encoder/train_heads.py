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
        order = list(Modality)
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
        # The sound classes call all speech "speech", so they hold clips more loosely. Holding
        # sounds fully and speech not at all was measured: audio to text fell from .216 to .147.
        strength = 0.1 if modality is Modality.AUDIO else 1.0
        return vectors, strength * match_similarities(
            vectors, concepts, anchors, scale=_TEACHER_SCALE
        )


def _cosine(step: int, steps: int, *, warmup: int) -> float:
    """A learning rate's share of its peak: linear up, then down as a cosine."""
    return min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))
