"""The generating half on disk: one safetensors file, half precision, tied to its encoder.

It holds the backbone as flow training left it, code inputs, heads and markers; word embeddings and
encoders are the search checkpoint's. Metadata: `format`, `towers`, `settings` (JSON), `training`.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import copy
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from .errors import CheckpointError
from .flow_generate import Paths
from .flow_model import FlowModel
from .flow_path import MetricPath
from .network import OmniNetwork
from .patches import POSITIONS
from .stored import write_stored
from .token_checkpoint import Tokenizers, read_tensors, towers_digest
from .types import Modality

FORMAT = "omnidex-flow-1"
END_ID, PAD_ID = 102, 0  # [SEP] serves as <EOS>
_CONTROL = (100, 101, 103)  # [UNK], [CLS], [MASK]
_SHARED = ("network.backbone.",)


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """A generating model and the noise it was trained on.

    Attributes:
        model: Its network is a copy of the encoder's, with a backbone of its own.
        paths: The noise of words and of each codebook.
        training: How it was trained; values that JSON can hold.
    """

    model: FlowModel
    paths: Paths
    training: dict[str, object]


def new_flow(network: OmniNetwork, tokenizers: Tokenizers, *, inner: int = 128) -> Flow:
    """A model that starts from an encoder's backbone, with fresh inputs and heads."""
    books = {
        modality: tokenizer.books.vectors().detach().clone()
        for modality, tokenizer in tokenizers.by_modality.items()
    }
    model = FlowModel(
        copy.deepcopy(network), books, slots=dict.fromkeys(books, POSITIONS), inner=inner
    )
    words = network.text.words.weight.detach().clone()
    words[[END_ID, PAD_ID]] = 0  # isolated: equally far from every word
    support = torch.ones(len(words), dtype=torch.bool)
    # Below 100 lie padding and names that were never used.
    support[1:100] = False
    support[list(_CONTROL)] = False
    paths = {m: [MetricPath(book).calibrated() for book in rows] for m, rows in books.items()}
    paths[Modality.TEXT] = [MetricPath(words, support=support).calibrated(most=256)]
    return Flow(model.eval(), paths, {})


def save_flow(flow: Flow, path: Path) -> None:
    """Write a generating model, whole or not at all.

    Raises:
        ValueError: Its network is no `OmniNetwork`.
    """
    network = flow.model.network
    if not isinstance(network, OmniNetwork):
        raise ValueError(f"a flow is kept for an OmniNetwork, got {type(network).__name__}")
    tensors = {
        name: tensor.half().contiguous()
        for name, tensor in flow.model.state_dict().items()
        if not name.startswith("network.") or name.startswith(_SHARED)
    }
    metadata = {
        "format": FORMAT,
        "towers": towers_digest(network),
        "training": json.dumps(flow.training, sort_keys=True),
    }
    write_stored(tensors, metadata, path)


def load_flow(path: Path, network: OmniNetwork, tokenizers: Tokenizers) -> Flow:
    """Read a generating model of an encoder and its tokenizers.

    Raises:
        CheckpointError: The file is missing, damaged, of another format, or belongs to another
            encoder or other tokenizers.
    """
    tensors, metadata = read_tensors(path, FORMAT)
    if metadata["towers"] != towers_digest(network):
        raise CheckpointError(
            f"{path} belongs to another encoder",
            hint="train one for this encoder: omnidex train, section [flow]",
        )
    training: dict[str, object] = json.loads(metadata["training"])
    inner = tensors.get("words.map.weight")
    heads = [t for n, t in tensors.items() if n.endswith(".enter.weight")]
    if inner is None or not heads:
        raise CheckpointError(f"{path} lacks heads", hint="it was altered; fetch it again")
    flow = new_flow(network, tokenizers, inner=len(heads[0]))
    for modality, tokenizer in tokenizers.by_modality.items():
        kept = tensors.get(f"inputs.{modality}.codebooks")
        own = tokenizer.books.vectors()
        if kept is None or kept.shape != own.shape or (kept - own).abs().max() > 1e-2:
            raise CheckpointError(
                f"{path} was trained on other codes of {modality}",
                hint="train it anew after the tokenizers: omnidex train, section [flow]",
            )
    try:
        missing, unexpected = flow.model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:  # a tensor of another size
        raise CheckpointError(
            f"{path} is of another size than this encoder: {str(error)[:300]}",
            hint="use the flow that was trained from this encoder",
        ) from error
    lost = [n for n in missing if not n.startswith("network.") or n.startswith(_SHARED)]
    if lost or unexpected:
        raise CheckpointError(
            f"{path} doesn't fit the model it describes: {[*lost, *unexpected][0]}",
            hint="it was written by another version of omnidex, or altered",
        )
    return Flow(flow.model.eval(), flow.paths, training)
