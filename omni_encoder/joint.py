"""Joint reading: the backbone reads texts and media of one query as one sequence, up to `<EOS>`.

A medium, or any vector of the search space, takes part as a few pseudo-words: one linear map from
the vector to word embeddings, as in Pic2Word (2302.03084), but learned from texts alone, as in
LinCIR (2312.01998). The backbone itself stays as it is, so texts keep their vectors.
"""

# What torch and safetensors return is typed only in part; it is checked where it is passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from .errors import CheckpointError
from .network import OmniNetwork

FORMAT = "omnidex-joint-1"
_CLS_ID, _EOS_ID = 101, 102

Sequences = Sequence[Sequence[list[int] | Tensor]]
"""Each part is the token ids of a text, or pseudo-words [words, width]."""


class PseudoWords(nn.Module):
    """A vector of the search space, centred, as `count` word embeddings."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.project = nn.Linear(width, count * width)

    def forward(self, vectors: Float[Tensor, "batch width"]) -> Float[Tensor, "batch count width"]:
        """Word embeddings without positions, to stand where the thing's name would."""
        return self.project(vectors).unflatten(1, (self.count, -1))


def read_sequences(
    network: OmniNetwork, sequences: Sequences, *, between: Sequence[int]
) -> Float[Tensor, "batch width"]:
    """Unit vectors at `<EOS>` of sequences of words and pseudo-words.

    A sequence is `[CLS]` part `between` part ... `<EOS>`, cut at the model's limit.

    Args:
        network: Whose backbone reads.
        sequences: What is read; none is empty.
        between: Token ids that separate parts, such as a comma's.
    """
    words: Tensor = network.text.words.weight
    limit = len(network.text.positions)
    rows: list[Tensor] = []
    for sequence in sequences:
        pieces: list[Tensor] = [words[[_CLS_ID % len(words)]]]
        for number, part in enumerate(sequence):
            if number and between:
                pieces.append(words[list(between)])
            pieces.append(words[part] if isinstance(part, list) else part)
        eos = words[[_EOS_ID % len(words)]]
        row = torch.cat([torch.cat(pieces)[: limit - 1], eos])
        rows.append(row + network.text.positions[: len(row)])
    lengths = torch.tensor([len(row) for row in rows])
    tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    real = torch.arange(tokens.shape[1])[None] < lengths[:, None]
    hidden = network.backbone(tokens, real)
    eos = hidden[torch.arange(len(rows)), lengths - 1]
    return network.adapt_text(functional.normalize(network.readout(hidden, real, eos), dim=-1))


class JointReader:
    """Reads query parts with an encoder's network and the pseudo-words learned for it."""

    def __init__(self, network: OmniNetwork, tokenizer: Tokenizer, words: PseudoWords) -> None:
        self._network, self._tokenizer = network, tokenizer
        self._words = words.eval()
        self._between = word_ids(tokenizer, ",")

    @torch.inference_mode()
    def read(
        self, sequences: Sequence[Sequence[str | Float32[np.ndarray, " dim"]]]
    ) -> Float32[np.ndarray, "sequences dim"]:
        """See `JointEncoder.encode_joint`."""
        parts: list[list[list[int] | Tensor]] = [
            [
                word_ids(self._tokenizer, part)
                if isinstance(part, str)
                else self._words(torch.from_numpy(part)[None])[0]
                for part in sequence
            ]
            for sequence in sequences
        ]
        return read_sequences(self._network, parts, between=self._between).numpy()


def word_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """The token ids of a text, without `[CLS]` and `<EOS>`."""
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def save_pseudo_words(words: PseudoWords, path: Path, *, fingerprint: str) -> None:
    """Write pseudo-words, in half precision, tied to the encoder of a fingerprint."""
    tensors = {name: tensor.half().contiguous() for name, tensor in words.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial")
    save_file(tensors, unfinished, {"format": FORMAT, "encoder": fingerprint})
    unfinished.replace(path)


def load_pseudo_words(path: Path, *, fingerprint: str) -> PseudoWords:
    """Read pseudo-words and check that they belong to an encoder.

    Raises:
        CheckpointError: The file is missing, damaged, or belongs to another encoder.
    """
    hint = "compose by --compose arithmetic, or train them: a section [joint], docs/training.md"
    if not path.is_file():
        raise CheckpointError(f"this encoder has no pseudo-words: there is no {path}", hint=hint)
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            weight = file.get_tensor("project.weight").float()
            bias = file.get_tensor("project.bias").float()
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} holds no pseudo-words: {error}", hint=hint) from error
    if metadata.get("format") != FORMAT or metadata.get("encoder") != fingerprint:
        raise CheckpointError(f"{path} belongs to another encoder", hint=hint)
    words = PseudoWords(weight.shape[1], weight.shape[0] // weight.shape[1])
    words.load_state_dict({"project.weight": weight, "project.bias": bias})
    return words
