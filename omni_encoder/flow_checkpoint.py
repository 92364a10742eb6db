"""The generating half on disk: one safetensors file, tied to its encoder.

It holds the backbone's corrections of low rank and its norms, code inputs, heads and markers; the
backbone itself, word embeddings and encoders are the search checkpoint's. Matrices are stored in 8
bits as `NAME.int8` and `NAME.scale`, the rest in half precision. Metadata: `format`, `towers`,
`training` (JSON), `sharpness` (JSON: each path's `c` by modality, which takes seconds to find).
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from .backbone import Backbone
from .errors import CheckpointError
from .flow_low_rank import correct, fold, is_own
from .flow_model import FlowModel
from .flow_objective import Paths
from .flow_path import MetricPath
from .network import OmniNetwork
from .packing import packed, unpacked
from .patches import POSITIONS
from .stored import write_stored
from .token_checkpoint import Tokenizers, read_tensors, towers_digest
from .types import Modality

FORMAT = "omnidex-flow-3"
_EARLIER = "omnidex-flow-2"  # without the slots around
START_ID, END_ID, PAD_ID = 101, 102, 0  # [CLS]; [SEP] serves as <EOS>
_CONTROL = (100, START_ID, 103)  # [UNK], [CLS], [MASK]


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """A generating model and the noise it was trained on.

    Attributes:
        model: Its network is a copy of the encoder's, whose backbone is corrected.
        paths: The noise of words and of each codebook.
        training: How it was trained; values that JSON can hold.
    """

    model: FlowModel
    paths: Paths
    training: dict[str, object]


def new_flow(
    network: OmniNetwork,
    tokenizers: Tokenizers,
    *,
    inner: int = 128,
    rank: int = 48,
    kind: type[FlowModel] = FlowModel,
    sharpness: Mapping[str, Sequence[float]] | None = None,
) -> Flow:
    """A model that starts from an encoder's backbone, with fresh inputs and heads.

    Args:
        network: The encoder's.
        tokenizers: Of its codes.
        inner: Inner width of the code heads.
        rank: Of the backbone's corrections.
        kind: What is built.
        sharpness: `c` of the paths by modality, a number a codebook; None calibrates them.
    """
    books = {
        modality: tokenizer.books.vectors().detach().clone()
        for modality, tokenizer in tokenizers.by_modality.items()
    }
    slots = dict.fromkeys(books, POSITIONS)
    model = kind(copy.deepcopy(network), books, slots=slots, inner=inner)
    correct(_backbone(model), rank)
    words = network.text.words.weight.detach().clone()
    words[[END_ID, PAD_ID]] = 0  # isolated: equally far from every word
    support = torch.ones(len(words), dtype=torch.bool)
    # Below 100 lie padding and names that were never used.
    support[1:100] = False
    support[list(_CONTROL)] = False
    if sharpness is None:
        paths = {m: [MetricPath(book).calibrated() for book in rows] for m, rows in books.items()}
        paths[Modality.TEXT] = [MetricPath(words, support=support).calibrated(most=256)]
    else:
        paths = {
            m: [MetricPath(book, c=c) for book, c in zip(rows, sharpness[m], strict=True)]
            for m, rows in books.items()
        }
        (c,) = sharpness[Modality.TEXT]
        paths[Modality.TEXT] = [MetricPath(words, support=support, c=c)]
    return Flow(model.eval(), paths, {})


def begin_from(path: Path, flow: Flow, tokenizers: Tokenizers) -> None:
    """Take over a stored generating half; what one of the earlier format lacks stays fresh.

    Raises:
        CheckpointError: The file is missing, damaged, of another format or size, or belongs to
            another encoder or other tokenizers.
    """
    hint = "train with the settings that it had, or leave `start` out"
    tensors, metadata = read_tensors(path, _EARLIER if _is_earlier(path) else FORMAT)
    if metadata["towers"] != towers_digest(_network(flow.model)):
        raise CheckpointError(f"{path} belongs to another encoder", hint=hint)
    tensors = unpacked(tensors)
    check_codebooks(path, tensors, tokenizers, hint=hint)
    fresh = ["codebooks"]  # the tokenizers have them in full precision
    if metadata["format"] == _EARLIER:
        fresh += ["around", "positions"]  # it has none of the former, and the latter too faint
    tensors = {n: t for n, t in tensors.items() if n.rpartition(".")[2] not in fresh}
    own = {
        name: tensor
        for name, tensor in flow.model.state_dict().items()
        if is_own(name) and name.rpartition(".")[2] not in fresh
    }
    other = [n for n, t in tensors.items() if n not in own or own[n].shape != t.shape]
    other += sorted(own.keys() - tensors.keys())
    if other:
        raise CheckpointError(f"{path} is of another size: {other[0]}", hint=hint)
    flow.model.load_state_dict(tensors, strict=False)


def _is_earlier(path: Path) -> bool:
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("format") == _EARLIER
    except (OSError, SafetensorError):
        return False  # reading it whole says what is wrong


def check_codebooks(
    path: Path, tensors: Mapping[str, torch.Tensor], tokenizers: Tokenizers, *, hint: str
) -> None:
    """Make sure that a stored half reads the codes of these tokenizers.

    Raises:
        CheckpointError: It reads others.
    """
    for modality, tokenizer in tokenizers.by_modality.items():
        kept = tensors.get(f"inputs.{modality}.codebooks")
        own = tokenizer.books.vectors()
        if kept is None or kept.shape != own.shape or (kept - own).abs().max() > 1e-2:
            raise CheckpointError(f"{path} was trained on other codes of {modality}", hint=hint)


def save_flow(flow: Flow, path: Path) -> None:
    """Write a generating model, whole or not at all.

    Raises:
        ValueError: Its network is no `OmniNetwork`.
    """
    network = flow.model.network
    if not isinstance(network, OmniNetwork):
        raise ValueError(f"a flow is kept for an OmniNetwork, got {type(network).__name__}")
    own = {name: tensor for name, tensor in flow.model.state_dict().items() if is_own(name)}
    tensors = packed(own, narrow=_is_map)
    metadata = {
        "format": FORMAT,
        "towers": towers_digest(network),
        "training": json.dumps(flow.training, sort_keys=True),
        "sharpness": json.dumps({m: [path.c for path in row] for m, row in flow.paths.items()}),
    }
    write_stored(tensors, metadata, path)


def _network(model: FlowModel) -> OmniNetwork:
    assert isinstance(model.network, OmniNetwork)  # larger sizes are not stored like this
    return model.network


def _backbone(model: FlowModel) -> Backbone:
    return _network(model).backbone


def _is_map(name: str) -> bool:
    """Whether a matrix may be stored in 8 bits: codebooks and places are few and stay precise."""
    return name.endswith((".weight", ".a", ".b"))


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
    tensors = unpacked(tensors)
    training: dict[str, object] = json.loads(metadata["training"])
    heads = [t for n, t in tensors.items() if n.endswith(".enter.weight")]
    corrections = [t for n, t in tensors.items() if n.endswith(".qkv.a")]
    if not corrections or not heads:
        raise CheckpointError(f"{path} lacks heads", hint="it was altered; fetch it again")
    try:
        flow = new_flow(
            network,
            tokenizers,
            inner=len(heads[0]),
            rank=len(corrections[0]),
            sharpness=json.loads(metadata.get("sharpness", "null")),  # absent in earlier files
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} lacks the sharpness of its noise: {error}",
            hint="it was altered; fetch it again",
        ) from error
    check_codebooks(
        path,
        tensors,
        tokenizers,
        hint="train it anew after the tokenizers: omnidex train, section [flow]",
    )
    try:
        missing, unexpected = flow.model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:  # a tensor of another size
        raise CheckpointError(
            f"{path} is of another size than this encoder: {str(error)[:300]}",
            hint="use the flow that was trained from this encoder",
        ) from error
    lost = [n for n in missing if is_own(n)]
    if lost or unexpected:
        raise CheckpointError(
            f"{path} doesn't fit the model it describes: {[*lost, *unexpected][0]}",
            hint="it was written by another version of omnidex, or altered",
        )
    fold(_backbone(flow.model))
    return Flow(flow.model.eval(), flow.paths, training)
