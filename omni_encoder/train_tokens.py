"""Training the tokenizers: reconstruct, quantize, and keep the meaning.

NExT-OMNI's warm-up (2510.13721, eq. 1) in small: reconstruction, quantization and a semantic loss,
which here regresses the item's frozen search vector. Held-out items are only validated on.
"""

# What numpy and torch return is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import math
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .model import OmniEncoder
from .patches import IMAGE_GRID, mirrored
from .perceptual import perception
from .quantize import MultiCodebook, Quantized, perplexity
from .shipped import shipped_checkpoint
from .token_checkpoint import Tokenizers, load_tokenizers, save_tokenizers, towers_digest
from .token_samples import write_contact_sheet, write_sounds
from .tokenizer import MediaTokenizer, TokenizerConfig, reconstruction_loss
from .train_config import TrainConfig, TrainingError, read_config
from .train_data import Features, TrainItem, read_items
from .train_records import append_log, append_validation, save_progress
from .train_token_data import ImageSource, SoundSource, token_features
from .types import Modality

Progress = Callable[[str, int, int, dict[str, float]], None]
_CHUNK = 64
_SAMPLES = 48
_REVIVE_EVERY = 20
# The search vector's gradient is several times that of the features, and the less honest one.
_VECTOR_SHARE = 0.5
_BOOKS = {Modality.IMAGE: 4, Modality.AUDIO: 2}


@dataclass(frozen=True, slots=True)
class TokensConfig:
    """The `[tokens]` section of a training run.

    Attributes:
        encoder: The checkpoint whose encoders the tokenizers read; the shipped one if not given.
        steps: Steps of each modality.
        batch: Items a step.
        rate: Peak learning rate.
        warmup: Steps until the learning rate peaks; it falls to zero as a cosine.
        weight_decay: Decoupled weight decay of matrices.
        semantic_weight: Of one minus the cosine to the search vector.
        perceptual_weight: Of how unlike what is rebuilt is to its original for the encoder's eyes
            and ears (`perceptual`); 0 doesn't look.
        start: A tokens file to start from, of the same shape; random weights if not given.
        only_decoder: Whether only what draws from codes is trained, and codes stay what they are.
        reconstruct: Whether reconstruction shapes the codes; without it only the decoder learns it.
        width: Inner width of the tokenizers.
        codes: Entries of a codebook.
        use_deep: Whether the understanding encoder's features are read.
        use_patch: Whether pixels and spectrogram strips are read.
        save_every: Steps between saves.
        validate_every: Steps between validations.
        modalities: Which tokenizers to train.
    """

    encoder: Path | None = None
    steps: int = 2000
    batch: int = 64
    rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.02
    semantic_weight: float = 0.2
    perceptual_weight: float = 0.0
    start: Path | None = None
    only_decoder: bool = False
    reconstruct: bool = True
    width: int = 192
    codes: int = 256
    use_deep: bool = True
    use_patch: bool = True
    save_every: int = 100
    validate_every: int = 500
    modalities: tuple[str, ...] = (Modality.IMAGE, Modality.AUDIO)

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "warmup", "width", "codes", "save_every", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        weight = self.perceptual_weight
        if type(weight) not in (int, float):
            raise TypeError(f"perceptual_weight must be a number, got {weight!r}")
        if not 0 <= weight < math.inf:
            raise ValueError(f"perceptual_weight must be finite and at least 0, got {weight}")
        for name in ("only_decoder", "reconstruct", "use_deep", "use_patch"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be true or false, got {getattr(self, name)!r}")
        if self.only_decoder and self.start is None:
            raise ValueError("only_decoder needs start, the tokens file whose codes are kept")
        unknown = set(self.modalities) - {str(m) for m in _BOOKS}
        if unknown or not self.modalities:
            raise ValueError(f"modalities must be image and audio, got {self.modalities}")


def read_tokens_config(path: Path) -> tuple[TrainConfig, TokensConfig]:
    """Read a run's TOML file that has a `[tokens]` section.

    Raises:
        TrainingError: The file is missing, is not TOML, or a value is unknown or out of range.
    """
    common = read_config(path)
    table: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8")).get("tokens", {})
    unknown = sorted(table.keys() - {field.name for field in fields(TokensConfig)})
    if unknown:
        raise TrainingError(f"{path}: unknown setting tokens.{unknown[0]}")
    for name in table.keys() & {"encoder", "start"}:
        table[name] = path.resolve().parent / str(table[name])
    listed = table.get("modalities")
    if isinstance(listed, list):
        table["modalities"] = tuple(map(str, listed))
    try:
        return common, TokensConfig(**table)  # pyright: ignore[reportArgumentType] - checked above
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{path}: tokens: {error}", hint="see docs/training.md") from error


def train_tokens(config: Path, *, resume: bool = True, progress: Progress | None = None) -> Path:
    """Train the tokenizers as a TOML file says; writes `tokens.safetensors` into its run folder.

    An interrupted run goes on from its last save, with the batches it would have seen.

    Raises:
        TrainingError: The config or its data can't be used.
        CheckpointError: The encoder can't be loaded.
    """
    common, settings = read_tokens_config(config)
    torch.set_num_threads(common.threads)
    path = settings.encoder or shipped_checkpoint()
    encoder = OmniEncoder.load(path, name=f"omni:{path}")
    items = read_items(common)
    made: dict[Modality, MediaTokenizer] = {}
    report: dict[str, object] = {"config": _plain(settings), "seed": common.seed}
    earlier = None
    if settings.start is not None:
        earlier = load_tokenizers(settings.start, encoder.network)
        made |= earlier.by_modality  # what isn't trained stays
        report["start"] = earlier.training
    for name in settings.modalities:
        modality = Modality(name)
        own = [item for item in items if item.modality is modality]
        trainer = TokenTrainer(common, settings, encoder, own, progress or _silent, earlier=earlier)
        made[modality] = trainer.run(resume=resume)
        report[name] = trainer.validate()
        trainer.write_samples()
    tokenizers = Tokenizers(made, towers_digest(encoder.network), report)
    save_tokenizers(tokenizers, common.run / "tokens.safetensors")
    return common.run / "tokens.safetensors"


def _silent(phase: str, done: int, total: int, values: dict[str, float]) -> None:
    """Report nothing."""


def _plain(settings: TokensConfig) -> dict[str, object]:
    return {n: v for n, v in asdict(settings).items() if n not in ("encoder", "start")}


_USUAL_AIM = {"perceptual_weight": 0.0, "only_decoder": False, "start": None}


class TokenTrainer:
    """One tokenizer's training."""

    def __init__(
        self,
        config: TrainConfig,
        settings: TokensConfig,
        encoder: OmniEncoder,
        items: list[TrainItem],
        progress: Progress,
        *,
        earlier: Tokenizers | None = None,
    ) -> None:
        self.config, self.settings, self.progress = config, settings, progress
        self.modality = items[0].modality if items else Modality.IMAGE
        source = (ImageSource if self.modality is Modality.IMAGE else SoundSource)(encoder)
        self.data: Features = token_features(
            items, source, config.run, lambda what, done, total: progress(what, done, total, {})
        )
        usable = self.data.counts() > 0
        held = np.array([item.held_out for item in items])
        self.rows = np.flatnonzero(usable & ~held)
        self.held = np.flatnonzero(usable & held)
        patch = {Modality.IMAGE: 192, Modality.AUDIO: 256}[self.modality]
        self.deep = self.data.tokens.shape[1] - patch
        torch.manual_seed(config.seed)
        self.tokenizer = self._new_tokenizer(patch)
        if earlier is not None:
            self._start_from(earlier)
        if settings.only_decoder:
            self.tokenizer.only_decoder()
        self.look = perception(encoder, self.modality) if settings.perceptual_weight else None
        learning = [p for p in self.tokenizer.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            [
                {
                    "params": [p for p in learning if p.ndim == 2],
                    "weight_decay": settings.weight_decay,
                },
                {"params": [p for p in learning if p.ndim != 2], "weight_decay": 0.0},
            ],
            betas=(0.9, 0.95),
        )
        self.step = 0
        self.log: list[dict[str, float]] = []
        # What a run that goes on must have in common with its beginning.
        self.aim: dict[str, object] = {
            "perceptual_weight": float(settings.perceptual_weight),
            "only_decoder": settings.only_decoder,
            "start": None if earlier is None else json.dumps(earlier.training, sort_keys=True),
        }

    def _new_tokenizer(self, patch: int) -> MediaTokenizer:
        settings = self.settings
        return MediaTokenizer(
            TokenizerConfig(
                str(self.modality),
                deep=self.deep,
                patch=patch,
                books=_BOOKS[self.modality],
                codes=settings.codes,
                width=settings.width,
                vector=self.data.teacher.shape[1],
                use_deep=settings.use_deep,
                use_patch=settings.use_patch,
            )
        )

    def _start_from(self, found: Tokenizers) -> None:
        """Take the weights of a file's tokenizer.

        Raises:
            TrainingError: It holds no tokenizer of this kind, or one of another shape.
        """
        own = found.by_modality.get(self.modality)
        if own is None or own.config != self.tokenizer.config:
            raise TrainingError(
                f"{self.settings.start} holds no {self.modality} tokenizer of the shape asked for",
                hint="width, codes, use_deep and use_patch must be those it was trained with",
            )
        self.tokenizer.load_state_dict(own.state_dict())

    def run(self, *, resume: bool) -> MediaTokenizer:
        """Take all steps, and return the tokenizer in evaluation mode."""
        saved = self.config.run / f"tokens-{self.modality}.pt"
        if resume and saved.exists():
            self._restore(saved)
        self._train_mode()
        while self.step < self.settings.steps:
            values = self._take_step()
            self.step += 1
            self.log.append({"step": float(self.step), **values})
            self.progress(f"{self.modality} codes", self.step, self.settings.steps, values)
            if self.step % self.settings.save_every == 0 or self.step == self.settings.steps:
                self._save(saved)
            if self.step % self.settings.validate_every == 0:
                values = self.validate()
                self.progress(f"{self.modality} check", self.step, self.settings.steps, values)
                append_validation(
                    self.config.run,
                    {"stage": f"tokens-{self.modality}", "step": self.step, **values},
                )
        return self.tokenizer.eval()

    def _take_step(self) -> dict[str, float]:
        settings = self.settings
        generator = np.random.default_rng([self.config.seed, 4, self.step])
        torch.manual_seed(self.config.seed * 1_000_003 + self.step)
        rows = generator.choice(self.rows, min(settings.batch, len(self.rows)), replace=False)
        deep, patches, target = self.batch(rows, mirror=bool(generator.random() < 0.5))
        true = self.tokenizer.joined(patches)
        vectors, values, loss = self._quantize(deep, patches, target)
        made = self.tokenizer.draw(vectors)
        rebuilt = reconstruction_loss(made, true, scales=3)
        loss = loss + rebuilt
        values = {"rebuilt": rebuilt.item(), **values}
        if self.look is not None:
            views = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
            features, vector = self.look(made, true, target, views)
            loss = loss + settings.perceptual_weight * (features + _VECTOR_SHARE * vector)
            values |= {"features": features.item(), "vector": vector.item()}
        warm = min(1.0, (self.step + 1) / settings.warmup)
        rate = warm * 0.5 * (1 + math.cos(math.pi * self.step / settings.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = settings.rate * rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(self.tokenizer.parameters()), 1.0)
        self.optimizer.step()
        values = {"loss": loss.item(), **values}
        if not math.isfinite(values["loss"]):
            raise TrainingError(
                f"the loss is not finite at step {self.step}", hint="lower the rate"
            )
        return values

    def _quantize(
        self, deep: Tensor, patches: Tensor, target: Tensor
    ) -> tuple[Tensor, dict[str, float], Tensor]:
        """Code vectors to draw from, what to log, and the losses of the codes themselves."""
        settings, tokenizer = self.settings, self.tokenizer
        if settings.only_decoder:
            with torch.no_grad():
                vectors = tokenizer.books.lookup(tokenizer.encode(deep, patches))
            return vectors, {}, torch.zeros(())
        latents = tokenizer.latents(deep, patches)
        # Late in training the codebooks rest, so that no code changes its meaning at the end.
        if self.step % _REVIVE_EVERY == 0 and self.step < 0.8 * settings.steps:
            order = torch.Generator().manual_seed(self.step)
            tokenizer.books.revive(latents.detach(), order)
        quantized: Quantized = tokenizer.books(latents)
        meant = tokenizer.meaning(quantized.vectors)
        lost = 1 - torch.einsum("bd,bd->b", meant, target).mean()
        vectors = quantized.vectors if settings.reconstruct else quantized.vectors.detach()
        values = {"codes": quantized.loss.item(), "meaning": lost.item()}
        return vectors, values, quantized.loss + settings.semantic_weight * lost

    def _train_mode(self) -> None:
        """As training goes on: latents are spread by batches, unless codes must stay."""
        self.tokenizer.train(not self.settings.only_decoder)

    def batch(self, rows: np.ndarray, *, mirror: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Encoder features, patches as the tokenizer reads them, and search vectors of items."""
        tokens = torch.from_numpy(self.data.padded(rows)[0])
        deep, patches = tokens[..., : self.deep], tokens[..., self.deep :]
        if self.modality is Modality.IMAGE:
            patches = patches / 127.5 - 1
            if mirror:
                deep, patches = mirrored(deep, inner=2), mirrored(patches, inner=IMAGE_GRID)
        return deep, patches, torch.from_numpy(self.data.teacher[rows])

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Loss, code use and meaning on the held-out items.

        `l1` is the mean absolute error of pixels in [-1, 1] or log-mel values; `perplexity` is the
        least over codebooks; `cosine` says how well codes alone guess the search vector.
        """
        rows = self.held if len(self.held) else self.rows
        tokenizer = self.tokenizer.eval()
        sums, codes = np.zeros(3), []
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            deep, patches, target = self.batch(part)
            codes.append(tokenizer.encode(deep, patches))
            vectors = tokenizer.books.lookup(codes[-1])
            gap = tokenizer.draw(vectors).clamp(-1, None) - tokenizer.joined(patches)
            cosine = torch.einsum("bd,bd->b", tokenizer.meaning(vectors), target)
            sums += len(part) * np.array(
                [gap.abs().mean().item(), gap.square().mean().item(), cosine.mean().item()]
            )
        used = perplexity(torch.cat(codes), size=self.settings.codes)
        self._train_mode()
        l1, square, cosine = (sums / len(rows)).tolist()
        return {
            "l1": l1,
            "psnr": 10 * math.log10(4 / max(square, 1e-12)),
            "perplexity": used.min().item(),
            "cosine": cosine,
            "items": float(len(rows)),
        }

    @torch.inference_mode()
    def write_samples(self) -> None:
        """Held-out reconstructions: `tokens-image.png` (originals above) or `tokens-audio/`."""
        rows = self.held if len(self.held) else self.rows
        rows = rows[:: max(1, len(rows) // _SAMPLES)][:_SAMPLES]
        deep, patches, _ = self.batch(rows)
        true = self.tokenizer.joined(patches)
        made = self.tokenizer.eval().decode(self.tokenizer.encode(deep, patches))
        if self.modality is Modality.IMAGE:
            write_contact_sheet(true, made, self.config.run / "tokens-image.png")
        else:
            write_sounds(true, made, self.config.run / "tokens-audio")

    def _save(self, path: Path) -> None:
        books: MultiCodebook = self.tokenizer.books
        save_progress(
            {
                "step": self.step,
                "tokenizer": self.tokenizer.state_dict(),
                "usage": books.get_buffer("usage"),
                "optimizer": self.optimizer.state_dict(),
                "aim": self.aim,
            },
            path,
        )
        append_log(self.log, path.with_suffix(".csv"))

    def _restore(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        if state.get("aim", _USUAL_AIM) != self.aim:
            raise TrainingError(
                f"{path} was trained with another perceptual_weight, start or only_decoder",
                hint="give this training a run folder of its own",
            )
        self.tokenizer.load_state_dict(state["tokenizer"])
        self.tokenizer.books.get_buffer("usage").copy_(state["usage"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
