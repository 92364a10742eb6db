"""Conversations made of pairs: who said what when, and what is left of an earlier answer."""

import torch

from omni_encoder.flow_checkpoint import END_ID, PAD_ID
from omni_encoder.flow_model import Part
from omni_encoder.flow_objective import block_padded
from omni_encoder.train_turns import before, instruction
from omni_encoder.types import Modality


def _image(*, target: bool) -> Part:
    codes = torch.ones(2, 4, 2, dtype=torch.long)
    vectors = None if target else torch.ones(2, 8)
    return Part(Modality.IMAGE, codes, torch.ones(2, 4).bool(), target=target, vectors=vectors)


def _caption() -> Part:
    ids, real = block_padded([[7], [8, 9]], end=END_ID, pad=PAD_ID, block=4)
    return Part(Modality.TEXT, ids[..., None], real, target=True)


def test_an_earlier_exchange_lies_in_the_turns_before() -> None:
    now = [_image(target=False), _caption()]

    parts = before([instruction([5], torch.ones(8), 2), _image(target=True)], now)

    assert [part.turn for part in parts] == [2, 1, 0, 0]
    assert [part.target for part in parts] == [False, False, False, True]
    assert parts[2:] == now


def test_an_earlier_answer_of_words_is_its_words() -> None:
    said = before([_image(target=False), _caption()], [])

    assert said[0].vectors is not None
    assert said[1].tokens[..., 0].tolist() == [[7, END_ID], [8, 9]]
    assert said[1].real.tolist() == [[True, False], [True, True]]


def test_an_instruction_is_the_same_in_every_row() -> None:
    part = instruction([5, 6], torch.arange(3.0), 4)

    assert part.tokens.shape == (4, 2, 1)
    assert part.tokens[3, :, 0].tolist() == [5, 6]
    assert part.vectors is not None
    assert part.vectors.tolist() == [[0.0, 1.0, 2.0]] * 4
