"""Training the flow: captions from codes, and codes from captions, over one backbone.

A step takes one direction only (NExT-OMNI's one-modality batches): text to image, image to text,
text to audio, audio to text, or text to text. Conditions come as they come in use: words or codes,
the item's search vector, or both. Codes of all items are made once; held-out items are only
validated on.
"""

# What numpy and torch return is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from blake3 import blake3
from torch import Tensor
from torch.nn import functional

from .errors import CheckpointError
from .flow_checkpoint import END_ID, FORMAT, PAD_ID, START_ID, begin_from, new_flow, save_flow
from .flow_low_rank import is_own
from .flow_model import Part
from .flow_neighbours import NeighbourNoise
from .flow_objective import block_padded, denoising_loss, flow_loss, noised
from .model import OmniEncoder, centred, pad_ids
from .shipped import shipped_checkpoint, shipped_tokens
from .team import Team, device_of, team_on
from .token_checkpoint import Tokenizers, load_tokenizers
from .train_config import TrainConfig, TrainingError
from .train_data import TrainItem, read_items
from .train_flow_config import FlowConfig, read_flow_config
from .train_records import append_log, append_validation, save_progress
from .train_token_data import ImageSource, SoundSource, token_features
from .types import Modality

Progress = Callable[[str, int, int, dict[str, float]], None]
_CHUNK = 64
_CHECKED = 64  # held-out items a direction is validated on
_MEDIA = (Modality.IMAGE, Modality.AUDIO)
# Of a number drawn for each step: words have their text's vector beside them below the first share,
# and beyond the others nothing but the search vector stands as the condition.
_WORDS_WITH_VECTOR, _VECTOR_ALONE_TO_MEDIA, _VECTOR_ALONE_TO_TEXT = 0.4, 0.75, 0.5


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


@dataclass(frozen=True, slots=True, eq=False)
class _Coded:
    """Items of one modality with codes and at least one caption.

    Attributes:
        codes: [items, 64, books].
        vectors: Search vectors less the mean of their modality, at unit length.
        captions: Word ids of each item's captions, without [CLS] and `<EOS>`.
        rows: Which may be trained on.
        held: Which are held out.
    """

    codes: Tensor
    vectors: Tensor
    captions: list[list[list[int]]]
    rows: np.ndarray
    held: np.ndarray


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
        items = read_items(config)
        with self.team.one_first():
            self.data = {m: self._coded(m, [i for i in items if i.modality is m]) for m in _MEDIA}
        there = [modality for modality, data in self.data.items() if len(data.rows)]
        if not there:
            raise TrainingError("no item has a caption and codes", hint="see docs/training.md")
        text = Modality.TEXT
        self.directions = [pair for m in there for pair in ((text, m), (m, text))]
        self.directions.append((text, text))
        fewest = min(
            settings.batch, *(len(data.rows) for data in self.data.values() if len(data.rows))
        )
        if fewest < self.team.size:
            raise TrainingError(
                f"{self.team.size} processes can't share batches of {fewest}",
                hint="start fewer processes, or raise batch",
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
        sizes = [len(self._data(*direction).rows) ** 0.5 for direction in self.directions]
        media, words = np.where(draws, sizes, 0), np.where(draws, 0, 1)
        share = self.settings.media_share
        return share * media / media.sum() + (1 - share) * words / words.sum()

    @torch.inference_mode()
    def _coded(self, modality: Modality, items: list[TrainItem]) -> _Coded:
        tokenizer = self.tokenizers.by_modality.get(modality)
        if not items or tokenizer is None:
            nothing = np.zeros(0, dtype=np.int64)
            return _Coded(
                torch.zeros(0, 64, 1, dtype=torch.long), torch.zeros(0, 1), [], nothing, nothing
            )
        source = (ImageSource if modality is Modality.IMAGE else SoundSource)(self.encoder)
        kept = token_features(
            items, source, self.config.run, lambda w, d, t: self.progress(w, d, t, {})
        )
        codes = torch.zeros(len(items), 64, tokenizer.config.books, dtype=torch.long)
        usable = np.flatnonzero(kept.counts() > 0)
        deep = tokenizer.config.deep
        for start in range(0, len(usable), _CHUNK):
            rows = usable[start : start + _CHUNK]
            tokens = torch.from_numpy(kept.padded(rows)[0])
            patches = tokens[..., deep:]
            if modality is Modality.IMAGE:
                patches = patches / 127.5 - 1
            codes[rows] = tokenizer.encode(tokens[..., :deep], patches)
        encode = self.encoder.tokenizer.encode_batch
        captions = [
            [e.ids[1:-1][: self.settings.words] for e in encode(list(item.captions))]
            for item in items
        ]
        captions = [[ids for ids in one if ids] for one in captions]
        named = np.array([i for i in usable if captions[i]], dtype=np.int64)
        held = np.array([items[i].held_out for i in named], dtype=bool)
        vectors = centred(torch.from_numpy(kept.teacher), self.encoder.means, modality)
        return _Coded(codes, vectors, captions, named[~held], named[held])

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
            if self.step % self.settings.validate_every == 0 and not last:
                self._check()
            if self.step % self.settings.save_every == 0 or last:
                self._save(saved)
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
        data = self._data(source, towards)
        rows = generator.choice(data.rows, min(settings.batch, len(data.rows)), replace=False)
        parts = self.parts(source, towards, rows, generator, noise=noise)
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
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is not finite at step {self.step}", hint="lower the rate"
            )
        torch.nn.utils.clip_grad_norm_(list(self.flow.model.parameters()), 1.0)
        self.optimizer.step()
        return {"loss": value, "direction": float(direction)}

    def _data(self, source: Modality, towards: Modality) -> _Coded:
        """The items of a direction; texts are the captions of pictures, or of sounds."""
        known = next((m for m in (towards, source) if m in self.data), None)
        return self.data[known or self.directions[1][0]]

    def parts(
        self,
        source: Modality,
        towards: Modality,
        rows: np.ndarray,
        generator: np.random.Generator,
        *,
        noise: torch.Generator | None = None,
    ) -> list[Part]:
        """The sequence of one direction: condition, then target.

        Args:
            source: Modality of the condition.
            towards: Modality of the target.
            rows: Items.
            generator: What draws captions and, in training, kinds of condition.
            noise: What draws the noise of search vectors in training; None gives conditions whole
                and as they are.
        """
        data = self._data(source, towards)
        ids = [data.captions[r][int(generator.integers(len(data.captions[r])))] for r in rows]
        at = torch.from_numpy(rows)
        codes = data.codes[at]
        every = torch.ones(codes.shape[:2], dtype=torch.bool)
        share = float(generator.random()) if noise is not None else 0.0
        if towards is Modality.TEXT:
            padded, real = block_padded(ids, end=END_ID, pad=PAD_ID, block=self.settings.block)
            target = Part(Modality.TEXT, padded[..., None], real, target=True)
            if source is Modality.TEXT:
                return [self._vector_only(source, self._text_vectors(ids), noise), target]
            vectors = self._noised(data.vectors[at], noise)
            if share > _VECTOR_ALONE_TO_TEXT:
                return [self._vector_only(source, vectors, None), target]
            return [Part(source, codes, every, vectors=vectors), target]
        target = Part(towards, codes, every, target=True)
        if share > _VECTOR_ALONE_TO_MEDIA:
            return [self._vector_only(towards, data.vectors[at], noise), target]
        tokens, real = _padded(ids)
        vectors = None
        if share < _WORDS_WITH_VECTOR:
            vectors = self._noised(self._text_vectors(ids), noise)
        return [Part(Modality.TEXT, tokens[..., None], real, vectors=vectors), target]

    def _vector_only(
        self, modality: Modality, vectors: Tensor, noise: torch.Generator | None
    ) -> Part:
        nothing = torch.zeros(len(vectors), 0, 1, dtype=torch.long)
        return Part(modality, nothing, nothing[..., 0].bool(), vectors=self._noised(vectors, noise))

    def _noised(self, vectors: Tensor, noise: torch.Generator | None) -> Tensor:
        if noise is None:
            return vectors
        length = self.settings.vector_noise * torch.rand(len(vectors), 1, generator=noise)
        away = torch.randn(vectors.shape, generator=noise) / vectors.shape[1] ** 0.5
        return functional.normalize(vectors + length * away, dim=-1)

    @torch.no_grad()
    def _text_vectors(self, ids: list[list[int]]) -> Tensor:
        """Search vectors of texts, given without [CLS] and `<EOS>`."""
        rows = [[START_ID, *row, END_ID] for row in ids]
        vectors = self.encoder.network.encode_text(*pad_ids(rows))
        return centred(vectors, self.encoder.means, Modality.TEXT)

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
            data = self._data(source, towards)
            rows = data.held if len(data.held) else data.rows
            # Manifests go class by class: spread out, few neighbours are of one class.
            rows = rows[np.linspace(0, len(rows) - 1, min(_CHECKED, len(rows))).astype(int)]
            parts = self.parts(source, towards, rows, np.random.default_rng(self.config.seed))
            name = f"{source}->{towards}"
            for label, condition in ((name, parts[0]), (f"{name} shuffled", _rolled(parts[0]))):
                loss = flow_loss(
                    self.flow.model,
                    self.flow.paths,
                    [condition, parts[1]],
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
        state = torch.load(path, weights_only=True)
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


def _padded(ids: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Texts as conditions: ids and which are real, [texts, longest]."""
    longest = max(map(len, ids))
    padded = torch.zeros(len(ids), longest, dtype=torch.long)
    for target, row in zip(padded, ids, strict=True):
        target[: len(row)] = torch.tensor(row)
    return padded, torch.arange(longest)[None] < torch.tensor([len(row) for row in ids])[:, None]
