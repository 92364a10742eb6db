"""Training the flow: captions from codes, and codes from captions, over one backbone.

A step takes one direction only (NExT-OMNI's one-modality batches): text to image, image to text,
text to audio, audio to text, or text to text (`train_flow_data`). Held-out items are only validated
on.
"""

# What numpy and torch return is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from blake3 import blake3
from torch import Tensor

from .errors import CheckpointError
from .flow_checkpoint import FORMAT, begin_from, new_flow, save_flow
from .flow_low_rank import is_own
from .flow_model import Part
from .flow_neighbours import NeighbourNoise
from .flow_objective import denoising_loss, flow_loss, noised
from .model import OmniEncoder
from .shipped import shipped_checkpoint, shipped_tokens
from .team import Team, device_of, team_on
from .token_checkpoint import Tokenizers, load_tokenizers
from .train_config import TrainConfig, TrainingError
from .train_flow_config import FlowConfig, read_flow_config
from .train_flow_data import Sequences
from .train_records import append_log, append_validation, save_progress
from .types import Modality

Progress = Callable[[str, int, int, dict[str, float]], None]
_CHECKED = 64  # held-out items a direction is validated on


def train_flow(config: Path, *, resume: bool = True, progress: Progress | None = None) -> Path:
    """Train the generating half as a TOML file says; writes `flow.safetensors` into its folder.

    An interrupted run goes on from its last save, with the batches it would have seen. Started by
    torch's launcher, several processes share the rows of each batch.

    Raises:
        TrainingError: The config or its data can't be used.
        CheckpointError: The encoder or its tokenizers can't be loaded.
    """
    common, settings = read_flow_config(config)
    torch.set_num_threads(common.threads)
    target = common.run / "flow.safetensors"
    if settings.start is not None and settings.start.resolve() == target.resolve():
        raise TrainingError(
            f"the run would write over its start, {settings.start}",
            hint="give this training a run folder of its own",
        )
    path = settings.encoder or shipped_checkpoint()
    encoder = OmniEncoder.load(path, name=f"omni:{path}")
    tokenizers = load_tokenizers(settings.tokens or shipped_tokens(), encoder.network)
    device = device_of(settings.device)
    with team_on(device) as team:
        told = _silent if progress is None or team.rank else progress
        trainer = FlowTrainer(common, settings, encoder, tokenizers, told, team=team)
        return trainer.run(resume=resume)


def _silent(phase: str, done: int, total: int, values: dict[str, float]) -> None:
    """Report nothing."""


class FlowTrainer:
    """One run of flow training."""

    def __init__(
        self,
        config: TrainConfig,
        settings: FlowConfig,
        encoder: OmniEncoder,
        tokenizers: Tokenizers,
        progress: Progress,
        *,
        team: Team | None = None,
    ) -> None:
        self.config, self.settings, self.progress = config, settings, progress
        self.encoder, self.tokenizers = encoder, tokenizers
        self.team, self.device = team or Team(), device_of(settings.device)
        with self.team.one_first():
            self.sequences = Sequences(
                config, settings, encoder, tokenizers, lambda w, d, t: progress(w, d, t, {})
            )
        self.directions = self.sequences.directions
        fewest = min(settings.batch, self.sequences.fewest)
        if fewest < self.team.size:
            raise TrainingError(
                f"{self.team.size} processes can't share batches of {fewest}",
                hint="start fewer processes, or raise batch",
            )
        if settings.conversations and fewest < 2:
            raise TrainingError(
                "conversations need batches of at least 2 items", hint="raise batch, or add items"
            )
        self.shares = self._shares()
        torch.manual_seed(config.seed)
        self.flow = new_flow(encoder.network, tokenizers, inner=settings.inner, rank=settings.rank)
        self.aim: dict[str, object] = {
            "format": FORMAT,
            "start": "" if settings.start is None else _digest(settings.start),
            "sizes": [settings.inner, settings.rank],
            "precision": settings.precision,
        }
        words = self.flow.paths[Modality.TEXT][0]
        progress("word neighbours", 0, 1, {})
        self.near = NeighbourNoise(words, count=settings.near) if settings.near else None
        self.optimizer = self._optimizer()
        self.step = 0
        self.best = math.inf  # of `validate`'s overall values
        self.log: list[dict[str, float]] = []

    def _shares(self) -> np.ndarray:
        """How often each direction is taken."""
        draws = np.array([towards is not Modality.TEXT for _, towards in self.directions])
        sizes = [len(self.sequences.items(*direction).rows) ** 0.5 for direction in self.directions]
        media, words = np.where(draws, sizes, 0), np.where(draws, 0, 1)
        share = self.settings.media_share
        return share * media / media.sum() + (1 - share) * words / words.sum()

    def _optimizer(self) -> torch.optim.AdamW:
        for name, parameter in self.flow.model.named_parameters():
            parameter.requires_grad = is_own(name)
        trained = self._trained().values()
        decay = self.settings.weight_decay
        return torch.optim.AdamW(
            [
                {"params": [p for p in trained if p.ndim >= 2], "weight_decay": decay},
                {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
            ],
            betas=(0.9, 0.95),
        )

    def run(self, *, resume: bool) -> Path:
        """Take all steps, and write what was best when it was validated."""
        saved = self.config.run / "flow.pt"
        goes_on = resume and saved.exists()
        if not goes_on and self.settings.start is not None:
            begin_from(self.settings.start, self.flow, self.tokenizers)
        self.flow.model.to(self.device).train()
        if goes_on:
            self._restore(saved)
        # No one reads what the leader writes from here on.
        self.team.wait()
        while self.step < self.settings.steps:
            values = self._take_step()
            self.step += 1
            self.log.append({"step": float(self.step), **values})
            self.progress("flow", self.step, self.settings.steps, values)
            last = self.step == self.settings.steps
            if self.step % self.settings.validate_every == 0 or last:
                self._check()
            if self.step % self.settings.save_every == 0 or last:
                self._save(saved)
        if not self._target().exists():  # it was deleted after the last step
            self._check()
        self.team.wait()
        return self._target()

    def _target(self) -> Path:
        return self.config.run / "flow.safetensors"

    def _check(self) -> None:
        """Validate, and keep what is better than all before it."""
        if self.team.rank:
            return
        values = self.validate()
        self.progress("flow check", self.step, self.settings.steps, values)
        append_validation(self.config.run, {"stage": "flow", "step": self.step, **values})
        if not math.isfinite(values["overall"]):
            raise TrainingError(
                f"the validation at step {self.step} is not finite", hint="lower the rate"
            )
        if values["overall"] >= self.best and self._target().exists():
            return
        self.best = values["overall"]
        plain = {
            n: v
            for n, v in asdict(self.settings).items()
            if n not in ("encoder", "tokens", "start", "device")
        }
        training = self.flow.training
        training.update(config=plain, seed=self.config.seed, step=self.step, checks=values)
        if self.aim["start"]:
            training["start"] = self.aim["start"]
        self.flow.model.to("cpu")
        save_flow(self.flow, self._target())
        self.flow.model.to(self.device)

    def _take_step(self) -> dict[str, float]:
        settings = self.settings
        generator = np.random.default_rng([self.config.seed, 5, self.step])
        noise = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
        direction = int(generator.choice(len(self.directions), p=self.shares))
        source, towards = self.directions[direction]
        data = self.sequences.items(source, towards)
        rows = generator.choice(data.rows, min(settings.batch, len(data.rows)), replace=False)
        talks = bool(settings.conversations) and generator.random() < settings.conversations
        make = self.sequences.conversation if talks else self.sequences.parts
        parts = make(source, towards, rows, generator, noise=noise)
        batch = noised(self.flow.paths, parts, generator=noise, drop=settings.drop, words=self.near)
        own = batch.rows(self.team.share).to(self.device)
        loss = denoising_loss(self.flow.model, own, precision=settings.precision)
        warm = min(1.0, (self.step + 1) / settings.warmup)
        rate = warm * 0.5 * (1 + math.cos(math.pi * self.step / settings.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = settings.rate * rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        value = self.team.average(self._trained().values(), loss, own.slots)
        norm = torch.nn.utils.clip_grad_norm_(list(self.flow.model.parameters()), 1.0).item()
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise TrainingError(
                f"the loss or its gradient is not finite at step {self.step}", hint="lower the rate"
            )
        self.optimizer.step()
        return {"loss": value, "direction": float(direction)}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Nats a slot on held-out items, by direction: with the condition, and with another's.

        `shuffled` beyond the plain value is what the condition is worth. `overall` is the mean over
        directions of what is left of the nats that guessing blindly costs: 1 is no better.
        """
        self.flow.model.eval()
        values: dict[str, float] = {}
        left: list[float] = []
        for source, towards in self.directions:
            data = self.sequences.items(source, towards)
            rows = data.held if len(data.held) else data.rows
            # Manifests go class by class: spread out, few neighbours are of one class.
            rows = rows[np.linspace(0, len(rows) - 1, min(_CHECKED, len(rows))).astype(int)]
            generator = np.random.default_rng(self.config.seed)
            plain = self.sequences.parts(source, towards, rows, generator)
            name = f"{source}->{towards}"
            other = [part if part.target else _rolled(part) for part in plain]
            checked = {name: plain, f"{name} shuffled": other}
            if self.settings.conversations and len(rows) > 1:
                told = self.sequences.conversation(source, towards, rows, generator)
                checked[f"{name} conversing"] = told
            for label, parts in checked.items():
                loss = flow_loss(
                    self.flow.model,
                    self.flow.paths,
                    parts,
                    generator=torch.Generator().manual_seed(0),
                    drop=0,
                    words=self.near,
                )
                values[label] = loss.item()
            blind = sum(math.log(path.size) for path in self.flow.paths[towards])
            left.append(values[name] / blind)
        self.flow.model.train()
        return {**values, "overall": sum(left) / len(left)}

    def _trained(self) -> dict[str, Tensor]:
        return {n: p for n, p in self.flow.model.named_parameters() if p.requires_grad}

    def _save(self, path: Path) -> None:
        if self.team.rank:
            self.log.clear()
            return
        save_progress(
            {
                "step": self.step,
                "trained": {n: p.detach() for n, p in self._trained().items()},
                "optimizer": self.optimizer.state_dict(),
                "aim": self.aim,
                "best": self.best,
            },
            path,
        )
        append_log(self.log, path.with_name("flow.csv"))

    def _restore(self, path: Path) -> None:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state.get("aim") != self.aim:
            raise TrainingError(
                f"{path} is of another start, precision, inner or rank, or an earlier version",
                hint="give this training a run folder of its own",
            )
        with torch.no_grad():
            for name, parameter in self._trained().items():
                parameter.copy_(state["trained"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.best = state["step"], state.get("best", math.inf)


def _digest(path: Path) -> str:
    """Of a stored half that a run begins from.

    Raises:
        CheckpointError: The file can't be read.
    """
    try:
        return blake3(path.read_bytes()).hexdigest(16)
    except OSError as error:
        raise CheckpointError(
            f"{path} can't be read: {error.strerror}", hint="see `start`"
        ) from error


def _rolled(part: Part) -> Part:
    """The same conditions, each beside another item's target."""
    away = len(part.real) // 2
    vectors = None if part.vectors is None else part.vectors.roll(away, 0)
    return replace(
        part, tokens=part.tokens.roll(away, 0), real=part.real.roll(away, 0), vectors=vectors
    )
