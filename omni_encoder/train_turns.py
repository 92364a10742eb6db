"""Conversations made of pairs: words that say what is wanted, and an exchange that came before.

NExT-OMNI's last stage (2510.13721, instruction tuning) in small. Messages are numbered as a
conversation numbers them: what is said now is 0, the answer before it 1, what that answered 2.
"""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from .flow_checkpoint import END_ID, PAD_ID
from .flow_model import Part
from .types import Modality

INSTRUCTIONS: Mapping[Modality, Sequence[str]] = {
    Modality.IMAGE: (
        *("draw", "draw a picture of", "a picture of", "show me", "paint", "an image of"),
        *("what does this look like:", "i want to see"),
    ),
    Modality.AUDIO: (
        *("the sound of", "play", "let me hear", "make the sound of", "what does this sound like:"),
        *("a recording of", "i want to hear"),
    ),
    Modality.TEXT: (
        *("describe it", "what is this?", "say what it is", "what is it?", "a caption, please"),
        *("tell me about it", "put it into words"),
    ),
}
"""What a person says to have each kind made; before the words of a text, beside other media."""


def before(earlier: Sequence[Part], now: Sequence[Part]) -> list[Part]:
    """A sequence after an earlier exchange, whose target part is its answer now.

    Args:
        earlier: Condition and target of other items, as for training.
        now: Likewise; its target stays the target.
    """
    said = [_answer(part) if part.target else replace(part, turn=2) for part in earlier]
    return [*said, *now]


def _answer(part: Part) -> Part:
    """An answer as a conversation keeps it: of a text the words alone, and no search vector."""
    real = part.real
    if part.modality is Modality.TEXT:
        words = part.tokens[..., 0]
        real = real & (words != END_ID) & (words != PAD_ID)
        longest = max(1, int(real.sum(1).max()))
        return replace(
            part, tokens=part.tokens[:, :longest], real=real[:, :longest], target=False, turn=1
        )
    return replace(part, target=False, turn=1, vectors=None)


def instruction(ids: Sequence[int], vector: torch.Tensor, count: int) -> Part:
    """The same words, with their search vector, in each of `count` rows."""
    tokens = torch.tensor(ids)[None, :, None].expand(count, -1, -1)
    real = torch.ones(tokens.shape[:2], dtype=torch.bool)
    return Part(Modality.TEXT, tokens, real, vectors=vector.expand(count, -1))
