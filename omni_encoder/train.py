"""Training the nano model: contrastive pairs of every modality, with frozen teachers alongside.

A step takes one kind of pair only (NExT-OMNI's one-modality batches): media with their captions, or
media with media that share a `pair_id` or label. What is learnt: the backbone, the projections into
it, the last vision stages and the sound classifier; the vision trunk and the audio encoder stay
frozen, so their features are made once and kept.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .losses import info_nce, match_similarities, mean_cosine_distance
from .model import encode_texts, pad_ids, text_tokenizer
from .network import MediaInput, OmniNetwork
from .start import start_network
from .train_batches import Corpus, Pairs
from .train_config import TrainConfig, TrainingError, read_config
from .train_heads import HeadStage
from .train_records import append_log, append_validation, save_progress
from .types import Modality

Progress = Callable[[str, int, int, dict[str, float]], None]
_TEACHER_SCALE = 20.0  # similarities are compared as softmax(20 cos), sharp enough to rank
_ANCHORS = 512


def train(config: Path, *, resume: bool = True, progress: Progress | None = None) -> Path:
    """Train as a TOML file says, and write `omni.safetensors` into its run folder.

    An interrupted run goes on from its last save, with the batches it would have seen.

    Args:
        config: The TOML file; see docs/training.md.
        resume: Whether to go on from an earlier save; else start anew (kept features are used).
        progress: Called with (phase, done, total, measured values).

    Returns:
        The finished checkpoint.

    Raises:
        TrainingError: The config or its data can't be used.
        CheckpointError: A pretrained part is not installed.
    """
    settings = read_config(config)
    torch.set_num_threads(settings.threads)
    return Trainer(settings, progress or _silent).run(resume=resume)


def _silent(phase: str, done: int, total: int, values: dict[str, float]) -> None:
    """Report nothing."""


class Trainer:
    """One training run."""

    def __init__(self, config: TrainConfig, progress: Progress) -> None:
        self.config = config
        self.progress = progress
        self.network, self.tokenizer = start_network(
            vision_size=config.vision_size, seed=config.seed
        )
        self.corpus = Corpus(config, self.network, lambda p, d, t: progress(p, d, t, {}))
        texts = self.corpus.texts
        progress("texts", 0, len(texts), {})
        self.frozen = torch.from_numpy(encode_texts(self.network, self.tokenizer, texts))
        self.ids = [
            e.ids for e in text_tokenizer(self.tokenizer, self.network.config).encode_batch(texts)
        ]
        self._freeze()
        self.average = {name: p.detach().clone() for name, p in self._trained().items()}
        self.optimizer = self._optimizer()
        self.step = 0
        self.log: list[dict[str, float]] = []

    def run(self, *, resume: bool) -> Path:
        """Go through all stages; see `train`."""
        saved = self.config.run / "progress.pt"
        if resume and saved.exists():
            self._restore(saved)
        else:
            self._stage("sounds", self._learn_sounds, resume=resume)
            self._stage("heads", self._learn_heads, resume=resume)
            for name, parameter in self._trained().items():
                self.average[name].copy_(parameter.detach())
        self.network.train()
        started, first = time.monotonic(), self.step
        while self.step < self.config.steps:
            values = self._joint_step()
            self.step += 1
            self.log.append({"step": float(self.step), **values})
            self.progress("training", self.step, self.config.steps, values)
            if self.step % self.config.save_every == 0 or self.step == self.config.steps:
                self._save(saved)
            if self.step % self.config.validate_every == 0:
                rate = (self.step - first) / (time.monotonic() - started)
                self._validate(self.averaged(), rate)
        return self._finish()

    # What is trained.

    def _freeze(self) -> None:
        late = self.network.vision.trunk_blocks
        for name, parameter in self.network.named_parameters():
            parts = name.split(".")
            vision = parts[0] == "vision" and not (
                parts[1] == "head" or (parts[1] == "blocks" and int(parts[2]) >= late)
            )
            fixed = name.startswith(("audio.", "text.", "image_concepts.")) or vision
            parameter.requires_grad = not fixed and not name.endswith("_concepts.vectors")
        for entry in self.network.inputs.values():
            assert isinstance(entry, MediaInput)
            entry.dropout.p = self.config.dropout

    def _trained(self) -> dict[str, torch.nn.Parameter]:
        return {n: p for n, p in self.network.named_parameters() if p.requires_grad}

    def _optimizer(self) -> torch.optim.AdamW:
        groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
        for name, parameter in self._trained().items():
            old = name.startswith(("backbone.", "vision.", "audio_concepts."))
            groups.setdefault((old, parameter.ndim >= 2), []).append(parameter)
        return torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "peak": self.config.backbone_rate if old else self.config.new_rate,
                    "weight_decay": self.config.weight_decay if matrix and not old else 0.0,
                }
                for (old, matrix), parameters in groups.items()
            ],
            betas=(0.9, 0.98),
        )

    # Stage one: the sound classifier learns the teacher's classes.

    def _learn_sounds(self) -> None:
        sounds = self.corpus.taught_sounds()
        if not len(sounds) or not self.config.sound_steps:
            return
        head = self.network.audio_concepts
        pooled, logits = self.corpus.pooled_sounds(self.network, sounds)
        optimizer = torch.optim.AdamW(head.classifier.parameters(), lr=1e-3, weight_decay=0.05)
        generator = np.random.default_rng([self.config.seed, 1])
        temperature = self.network.config.concept_temperature
        for step in range(self.config.sound_steps):
            rows = torch.from_numpy(generator.integers(0, len(pooled), 256))
            features = functional.dropout(pooled[rows], 0.2)
            guess = (head.classifier(features) / temperature).log_softmax(dim=1)
            target = (logits[rows] / temperature).log_softmax(dim=1)
            loss = functional.kl_div(guess, target, log_target=True, reduction="batchmean")
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * step / self.config.sound_steps))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 50 == 0:
                self.progress("sounds", step, self.config.sound_steps, {"loss": loss.item()})

    # Stage two: the adapters learn pairs on frozen features.

    def _learn_heads(self) -> None:
        stage = HeadStage(self.config, self.corpus, self.network, self.frozen)
        stage.run(lambda done, total, values: self.progress("adapters", done, total, values))
        self._validate(self.network, 0.0)

    def _stage(self, name: str, work: Callable[[], None], *, resume: bool) -> None:
        """Do a stage, or take over its end from an earlier run.

        The end is read back even when it was just written: it is rounded to half precision, and
        what follows must not depend on whether the run was interrupted.
        """
        path = self.config.run / f"{name}.safetensors"
        if not (resume and path.exists()):
            work()
            save_checkpoint(Checkpoint(self.network, self.tokenizer, None, {"stage": name}), path)
        self.network.load_state_dict(load_checkpoint(path).network.state_dict())

    # Stage three: everything together.

    def _joint_step(self) -> dict[str, float]:
        generator = np.random.default_rng([self.config.seed, 2, self.step])
        torch.manual_seed(self.config.seed * 1_000_003 + self.step)
        pairs = self.corpus.draw(generator, size=self.config.batch)
        loss, values = self._loss(pairs, generator)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * self._schedule()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(self._trained().values()), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.network.logit_scale.clamp_(max=math.log(100))
            # The average follows faster while it is young.
            decay = min(self.config.average, (1 + self.step) / (10 + self.step))
            for name, parameter in self._trained().items():
                self.average[name].lerp_(parameter, 1 - decay)
        if not math.isfinite(values["loss"]):
            raise TrainingError(
                f"the loss is {values['loss']} at step {self.step}", hint="lower the learning rates"
            )
        return values

    def _schedule(self) -> float:
        warm = min(1.0, (self.step + 1) / max(1, self.config.warmup))
        return warm * 0.5 * (1 + math.cos(math.pi * self.step / self.config.steps))

    def _loss(
        self, pairs: Pairs, generator: np.random.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        anchors = self.frozen[generator.integers(0, len(self.frozen), _ANCHORS)]
        left, extra = self._media(pairs.left, pairs.left_rows, pairs.views, anchors, generator)
        others: list[int] = []
        if pairs.right is None:
            others = list(pairs.right_rows)
        extra_texts = generator.integers(0, len(self.ids), self.config.texts_per_step)
        rows = [*others, *map(int, extra_texts)]
        texts = self.network.encode_text(*pad_ids([self.ids[i] for i in rows]))
        kept = mean_cosine_distance(texts, self.frozen[rows])
        if pairs.right is None:
            right = texts[: len(others)]
        else:
            right, more = self._media(
                pairs.right, pairs.right_rows, pairs.views, anchors, generator
            )
            extra = (extra + more) / 2
        positive = torch.from_numpy(pairs.positive)
        contrast = info_nce(left, right, positive, self.network.logit_scale.exp())
        loss = contrast + self.config.bridge_weight * extra + self.config.text_weight * kept
        return loss, {
            "loss": loss.item(),
            "contrast": contrast.item(),
            "bridge": extra.item(),
            "text": kept.item(),
        }

    def _media(
        self,
        modality: Modality,
        rows: np.ndarray,
        views: np.ndarray,
        anchors: Tensor,
        generator: np.random.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Vectors of media, and how far they are from what their teacher says of the anchors."""
        features, real, logits = self.corpus.features(
            self.network, modality, rows, views, generator
        )
        head = (
            self.network.audio_concepts
            if modality is Modality.AUDIO
            else self.network.image_concepts
        )
        with torch.no_grad():
            teacher = head.mix(logits)
        concept = self.network.concepts(modality, features, real)
        if modality is Modality.IMAGE and self.config.keep_tokens < 1:
            features, real = _thin(features, self.config.keep_tokens, generator)
        vectors = self.network.encode_media(modality, features, real, concept)
        # To the sound teacher all speech is "speech", so clips are held to it more loosely.
        strength = 0.2 if modality is Modality.AUDIO else 1.0
        bridge = match_similarities(vectors, teacher, anchors, scale=_TEACHER_SCALE)
        kept = match_similarities(concept, teacher, anchors, scale=_TEACHER_SCALE)
        return vectors, strength * (bridge + kept)

    # Progress, validation, result.

    def _save(self, path: Path) -> None:
        save_progress(
            {
                "step": self.step,
                "trained": {n: p.detach() for n, p in self._trained().items()},
                "average": self.average,
                "optimizer": self.optimizer.state_dict(),
            },
            path,
        )
        append_log(self.log, path.with_name("log.csv"))

    def _restore(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        with torch.no_grad():
            for name, parameter in self._trained().items():
                parameter.copy_(state["trained"][name])
                self.average[name].copy_(state["average"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def averaged(self) -> OmniNetwork:
        """A network with the running average of the weights."""
        network = OmniNetwork(self.network.config)
        network.load_state_dict(self.network.state_dict())
        network.load_state_dict(self.average, strict=False)
        return network.eval()

    def _validate(self, network: OmniNetwork, rate: float) -> None:
        values = self.corpus.validate(network.eval(), self.tokenizer)
        self.progress("validation", self.step, self.config.steps, {**values, "steps_per_s": rate})
        append_validation(self.config.run, {"step": self.step, **values})

    def _finish(self) -> Path:
        network = self.averaged()
        config = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self.config).items()
            if name not in {"run", "manifests", "split", "texts"}
        }
        training: dict[str, object] = {
            "config": config,
            "steps": self.step,
            "data": self.corpus.describe(),
            "torch": torch.__version__,
        }
        means = self.corpus.means(network, self.tokenizer)
        path = self.config.run / "omni.safetensors"
        save_checkpoint(Checkpoint(network, self.tokenizer, means, training), path)
        load_checkpoint(path)  # what can't be read must not be shipped
        return path


def _thin(features: Tensor, share: float, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Only some of the grid cells, chosen anew for each image; the whole-image token stays.

    Cells that are left out are marked as padding, so that positions keep their meaning.
    """
    batch, tokens = features.shape[:2]
    keep = torch.from_numpy(generator.random((batch, tokens)) < share)
    keep[:, 0] = True
    return features, keep
