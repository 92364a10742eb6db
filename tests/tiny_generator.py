"""A whole generating model, tiny and random, in the three files that a real one has."""

from dataclasses import dataclass
from pathlib import Path

import torch

from omni_encoder.audio import BLOCK_SAMPLES
from omni_encoder.flow_checkpoint import new_flow, save_flow
from omni_encoder.generator import OmniGenerator
from omni_encoder.model import OmniEncoder, tiny_checkpoint
from omni_encoder.token_checkpoint import Tokenizers, save_tokenizers, towers_digest
from omni_encoder.tokenizer import MediaTokenizer, TokenizerConfig
from omni_encoder.train_token_data import deep_image, deep_sound
from omni_encoder.types import Modality


@dataclass(frozen=True, slots=True)
class TinyFiles:
    """The files of a model."""

    encoder: Path
    tokens: Path
    flow: Path

    def load(self) -> OmniGenerator:
        return OmniGenerator.load(encoder=self.encoder, tokens=self.tokens, flow=self.flow)

    def options(self) -> list[str]:
        """As a command takes them."""
        return [
            *("--checkpoint", str(self.encoder)),
            *("--tokens", str(self.tokens)),
            *("--flow", str(self.flow)),
        ]


def write_tiny_generator(folder: Path, *, seed: int = 0) -> TinyFiles:
    files = TinyFiles(*(folder / f"{n}-{seed}.safetensors" for n in ("encoder", "tokens", "flow")))
    encoder = OmniEncoder.load(tiny_checkpoint(files.encoder, seed=seed), name="tiny")
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        side = encoder.network.config.vision.pixels
        picture = deep_image(encoder, torch.zeros(1, 3, side, side, dtype=torch.uint8))
        sound = deep_sound(encoder, torch.zeros(1, BLOCK_SAMPLES))
        shapes = (
            (Modality.IMAGE, picture.shape[2], 192, 4),
            (Modality.AUDIO, sound.shape[2], 256, 2),
        )
        made: dict[Modality, MediaTokenizer] = {}
        for modality, deep, patch, books in shapes:
            config = TokenizerConfig(
                modality, deep, patch, books, codes=16, width=24, heads=2, vector=32
            )
            made[modality] = MediaTokenizer(config).eval()
        tokenizers = Tokenizers(made, towers_digest(encoder.network), {})
        save_tokenizers(tokenizers, files.tokens)
        flow = new_flow(encoder.network, tokenizers, inner=16)
        # As initialised, words have no say: these make a prompt count.
        flow.model.null.normal_()
        save_flow(flow, files.flow)
    return files
