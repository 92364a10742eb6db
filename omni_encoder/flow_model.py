"""The generating half of the model: codes enter the shared backbone, and heads read them out again.

As in NExT-OMNI (2510.13721): media enter as the vectors of their codes, not as ids; words keep
their embeddings; an item's search vector may go in front of either. One bidirectional backbone sees
the whole interleaved sequence; a light head for each kind of media guesses the clean codes of a
position one after the other, and the word head is tied to the embeddings. There is no time input:
how noisy a sequence is can be seen.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from .audio import AudioLayer
from .code_input import CodeInput, grid_of
from .large import LargeNetwork
from .network import OmniNetwork
from .types import Modality


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A stretch of one kind in a sequence.

    Attributes:
        modality: Text, image or audio.
        tokens: Word ids (one book) or codes.
        real: Slots that are not padding.
        target: Whether it is to be generated; the rest is the condition.
        vectors: Search vectors of the items, less the mean of their modality, at unit length; they
            enter in front as one more token. A part may hold nothing else: no slots.
        frame: Which frame of a video or block of a sound it is, from 0.
        turn: Which message of a conversation it is in, counted back from the newest, 0.
        pooled: Whether four neighbouring positions of a picture are averaged to one, as frames of
            a video are when they are only looked at.
        in_order: Whether slots enter with codes of those before them only, as drawing slot after
            slot needs.
    """

    modality: Modality
    tokens: Int[Tensor, "batch slots books"]
    real: Bool[Tensor, "batch slots"]
    target: bool = False
    vectors: Float[Tensor, "batch width"] | None = None
    frame: int = 0
    turn: int = 0
    pooled: bool = False
    in_order: bool = False


def place(frame: int, turn: int, width: int) -> Float[Tensor, " width"]:
    """What is added to all positions of a part so that order can be seen; frame 0, turn 0: nothing.

    Sinusoids (Vaswani et al., 1706.03762, section 3.5) less their values at 0: the first half of
    the numbers tells frames apart, the second turns. They are as large as fresh places of
    words, hold no parameters, and leave a single picture, sound or question as it was.
    """
    halves: list[Tensor] = []
    for number, size in ((frame, width // 2), (turn, width - width // 2)):
        angles = number / 10_000 ** torch.linspace(0, 1, -(-size // 2))
        halves.append(torch.stack([angles.sin(), angles.cos() - 1], dim=1).flatten()[:size])
    return 0.02 * torch.cat(halves)


class SubCodeHead(nn.Module):
    """The clean codes of a position, one after the other.

    One causal attention step over the position's feature and the codes before, as UniTok's head.
    """

    def __init__(
        self, width: int, books: int, codes: int, *, inner: int, heads: int, layers: int = 1
    ) -> None:
        super().__init__()
        self.books, self.codes, self.heads = books, codes, heads
        self.enter = nn.Linear(width, inner)
        self.before = nn.Parameter(torch.randn(books - 1, codes, inner) * 0.02)
        self.places = nn.Parameter(torch.randn(books, inner) * 0.02)
        self.attention_norm = nn.LayerNorm(inner)
        self.qkv = nn.Linear(inner, 3 * inner)
        self.out = nn.Linear(inner, inner)
        self.mlp_norm = nn.LayerNorm(inner)
        self.up = nn.Linear(inner, 4 * inner)
        self.down = nn.Linear(4 * inner, inner)
        self.more = nn.ModuleList(AudioLayer(inner, heads) for _ in range(layers - 1))
        self.norm = nn.LayerNorm(inner)
        self.logits = nn.Linear(inner, codes)

    def forward(
        self, hidden: Float[Tensor, "rows width"], known: Int[Tensor, "rows books_before"]
    ) -> Float[Tensor, "rows books_before_and_1 codes"]:
        """Logits of the first codes of each row, each given the true ones before it."""
        count = known.shape[1]
        numbers = torch.arange(count, device=known.device)
        x = torch.cat([self.enter(hidden)[:, None], self.before[numbers, known]], dim=1)
        x = x + self.places[: count + 1]
        rows, length, inner = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(rows, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(rows, length, inner))
        x = x + self.down(functional.gelu(self.up(self.mlp_norm(x))))
        for layer in self.more:
            x = layer(x, torch.ones(length, length, dtype=torch.bool, device=x.device).tril())
        return self.logits(self.norm(x))

    def one_by_one(
        self, hidden: Float[Tensor, "rows width"]
    ) -> Generator[Float[Tensor, "rows codes"], Int[Tensor, " rows"]]:
        """Yields each book's logits and is sent the codes chosen; nothing is computed twice."""
        layers = (self, *self.more)
        kept: list[tuple[Tensor, Tensor] | None] = [None] * len(layers)
        entering = self.enter(hidden)
        for book in range(self.books):
            x = (entering + self.places[book])[:, None]
            for number, layer in enumerate(layers):
                x, kept[number] = _one_more(layer, x, kept[number])
            codes = yield self.logits(self.norm(x))[:, 0]
            if book + 1 < self.books:
                entering = self.before[book, codes]


def _one_more(
    layer: nn.Module,
    x: Float[Tensor, "rows 1 inner"],
    kept: tuple[Tensor, Tensor] | None,
) -> tuple[Float[Tensor, "rows 1 inner"], tuple[Tensor, Tensor]]:
    """A causal layer's output at one more place, and its keys and values with this place's."""
    assert isinstance(layer, SubCodeHead | AudioLayer)
    rows, _, inner = x.shape
    qkv = layer.qkv(layer.attention_norm(x)).view(rows, 1, 3, layer.heads, -1)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    if kept is not None:
        k, v = (torch.cat([old, new], dim=2) for old, new in zip(kept, (k, v), strict=True))
    mixed = functional.scaled_dot_product_attention(q, k, v)
    x = x + layer.out(mixed.transpose(1, 2).reshape(rows, 1, inner))
    return x + layer.down(functional.gelu(layer.up(layer.mlp_norm(x)))), (k, v)


class WordHead(nn.Module):
    """Logits of words, tied to the embeddings they entered by."""

    def __init__(self, width: int, words: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(words))

    def forward(
        self, hidden: Float[Tensor, "rows width"], words: Float[Tensor, "words width"]
    ) -> Float[Tensor, "rows words"]:
        """Logits of every word."""
        return self.norm(functional.gelu(self.map(hidden))) @ words.T + self.bias


class FreeWordHead(nn.Module):
    """Logits of words by a matrix of their own, as Qwen2.5-7B has it."""

    def __init__(self, width: int, words: int) -> None:
        super().__init__()
        self.logits = nn.Linear(width, words, bias=False)

    def forward(
        self, hidden: Float[Tensor, "rows width"], words: Float[Tensor, "words width"]
    ) -> Float[Tensor, "rows words"]:
        """Logits of every word; `words` is what the tied head would take."""
        assert words.shape == self.logits.weight.shape
        return self.logits(hidden)


class FlowModel(nn.Module):
    """The shared network with inputs and heads for codes.

    Args:
        network: The network whose backbone and word embeddings are shared, not copied.
        codebooks: The code vectors of each kind of media, [books, codes, dim].
        slots: The most positions of each kind of media; of a picture, a square number.
        inner: Inner width of the code heads.
        layers: Their layers.
        heads: Attention heads of their layers.
    """

    def __init__(
        self,
        network: OmniNetwork | LargeNetwork,
        codebooks: Mapping[Modality, Tensor],
        *,
        slots: Mapping[Modality, int],
        inner: int = 128,
        layers: int = 1,
        heads: int = 4,
    ) -> None:
        super().__init__()
        width = network.config.backbone.width
        self.network = network
        self.inputs = nn.ModuleDict(
            {m: CodeInput(books, grid_of(m, slots[m]), width) for m, books in codebooks.items()}
        )
        self.heads = nn.ModuleDict(
            {
                m: SubCodeHead(width, *books.shape[:2], inner=inner, heads=heads, layers=layers)
                for m, books in codebooks.items()
            }
        )
        is_free = isinstance(network, LargeNetwork) and network.config.rotary
        self.words = (FreeWordHead if is_free else WordHead)(width, network.config.vocabulary)
        # One map for all modalities: less their means, their vectors share a space.
        self.whole = nn.Linear(width, width)
        kinds = len(Modality)
        self.markers = nn.Parameter(torch.randn(kinds, 2, width) * 0.02)
        self.role = nn.Parameter(torch.zeros(2, width))  # condition, target
        self.null = nn.Parameter(torch.randn(width) * 0.02)

    def hidden(
        self,
        parts: Sequence[Part],
        *,
        dropped: Bool[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch target_slots width"]:
        """The backbone's features at the slots of the one target part.

        Args:
            parts: The sequence, in order; one is the target.
            dropped: Rows whose condition is replaced by the null token, for guidance.

        Raises:
            ValueError: Not exactly one part is the target.
        """
        targets = [i for i, part in enumerate(parts) if part.target]
        if len(targets) != 1:
            raise ValueError(f"a sequence has one target part, got {len(targets)}")
        embedded: list[Tensor] = []
        real: list[Tensor] = []
        start = 0
        for i, part in enumerate(parts):
            tokens, there = self.embed(part, dropped)
            if i == targets[0]:
                start = sum(x.shape[1] for x in embedded) + 1
            embedded.append(tokens)
            real.append(there)
        out = self.network.backbone(torch.cat(embedded, dim=1), torch.cat(real, dim=1))
        return out[:, start : start + parts[targets[0]].tokens.shape[1]]

    def embed(
        self, part: Part, dropped: Bool[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, "batch tokens width"], Bool[Tensor, "batch tokens"]]:
        """A part as tokens of the backbone between its two markers, and which of them are real."""
        real = part.real
        x = self.entered(part)
        if part.pooled:
            side = math.isqrt(x.shape[1])
            x = functional.avg_pool2d(x.transpose(1, 2).unflatten(2, (side, side)), 2)
            x = x.flatten(2).transpose(1, 2)
            real = real[:, : x.shape[1]]
        if part.vectors is not None:
            scale = part.vectors.shape[1] ** 0.5  # entries of about 1
            x = torch.cat([self.whole(part.vectors * scale)[:, None], x], dim=1)
            real = torch.cat([real.new_ones(len(real), 1), real], dim=1)
        batch = len(x)
        first, last = (
            self.markers[list(Modality).index(part.modality)].expand(batch, 2, -1).split(1, dim=1)
        )
        if dropped is not None and not part.target:
            x = torch.where(dropped[:, None, None], self.null, x)
        x = torch.cat([first, x, last], dim=1) + self.role[int(part.target)]
        if part.frame or part.turn:
            x = x + place(part.frame, part.turn, x.shape[2]).to(x)
        always = real.new_ones(batch, 1)
        return x, torch.cat([always, real, always], dim=1)

    def entered(self, part: Part) -> Float[Tensor, "batch slots width"]:
        """A part's words or codes as tokens of the backbone."""
        if not part.tokens.shape[1]:  # a modality without codes has no input of its own
            return self.null.new_zeros(len(part.real), 0, len(self.null))
        if part.modality is Modality.TEXT:
            return self.network.text(part.tokens[..., 0])
        return self.inputs[part.modality](part.tokens, causal=part.in_order)

    def logits(
        self,
        modality: Modality,
        hidden: Float[Tensor, "rows width"],
        clean: Int[Tensor, "rows books"],
    ) -> list[Float[Tensor, "rows size"]]:
        """Logits of each book, given the true codes before it: what training and scoring need."""
        if modality is Modality.TEXT:
            return [self.words(hidden, self.network.text.words.weight)]
        books = self.heads[modality](hidden, clean[:, :-1])
        return list(books.unbind(dim=1))

    def drawn(
        self,
        modality: Modality,
        hidden: Sequence[Float[Tensor, "rows width"]],
        choose: Callable[[Sequence[Tensor], int], Tensor],
    ) -> Int[Tensor, "rows books"]:
        """Clean codes drawn one book after the other.

        Args:
            modality: Of the target.
            hidden: Features with the condition and, for guidance, without.
            choose: Takes the logits that each of `hidden` gives and the book's number.
        """
        if modality is Modality.TEXT:
            words = self.network.text.words.weight
            return choose([self.words(h, words) for h in hidden], 0)[:, None]
        head = self.heads[modality]
        assert isinstance(head, SubCodeHead)
        walks = [head.one_by_one(h) for h in hidden]
        logits = [next(walk) for walk in walks]
        known = [choose(logits, 0)]
        for book in range(1, head.books):
            logits = [walk.send(known[-1]) for walk in walks]
            known.append(choose(logits, book))
        return torch.stack(known, dim=1)
