"""The generating half on a tiny network: what it may see, and that it learns both directions."""

from dataclasses import replace

import pytest
import torch

from omni_encoder.config import tiny_config
from omni_encoder.flow_generate import GenerateRule, generate, text_slots
from omni_encoder.flow_model import FlowModel, Part, SubCodeHead
from omni_encoder.flow_objective import block_padded, denoising_loss, flow_loss, noised
from omni_encoder.flow_path import MetricPath
from omni_encoder.network import OmniNetwork
from omni_encoder.types import Modality

_BOOKS, _CODES, _SLOTS, _WORDS = 2, 8, 4, 400
_END, _PAD = 102, 0


def _model(seed: int = 0) -> tuple[FlowModel, dict[Modality, list[MetricPath]]]:
    torch.manual_seed(seed)
    books = torch.randn(_BOOKS, _CODES, 4)
    model = FlowModel(
        OmniNetwork(tiny_config()),
        {Modality.IMAGE: books},
        slots={Modality.IMAGE: _SLOTS},
        inner=32,
    )
    # What starts alike learns slowly: the real network starts from MiniLM's words and places.
    torch.nn.init.normal_(model.network.text.words.weight, std=0.3)
    torch.nn.init.normal_(model.network.text.positions, std=0.3)
    words = torch.randn(_WORDS, 16)
    words[[_END, _PAD]] = 0
    paths = {
        Modality.IMAGE: [MetricPath(book).calibrated() for book in books],
        Modality.TEXT: [MetricPath(words).calibrated()],
    }
    return model.eval(), paths


def _pairs() -> tuple[Part, Part]:
    """Four captions of two words and the codes they stand for."""
    generator = torch.Generator().manual_seed(5)
    words = torch.randint(110, 390, (4, 2), generator=generator).tolist()
    ids, real = block_padded(words, end=_END, pad=_PAD, block=4)
    codes = torch.randint(_CODES, (4, _SLOTS, _BOOKS), generator=generator)
    every = torch.ones(4, _SLOTS, dtype=torch.bool)
    return Part(Modality.TEXT, ids[..., None], real), Part(Modality.IMAGE, codes, every)


def _target(part: Part) -> Part:
    return Part(part.modality, part.tokens, part.real, target=True)


def test_what_stands_in_padding_has_no_influence() -> None:
    model, _ = _model()
    text, image = _pairs()
    real = text.real.clone()
    real[:, -1] = False
    other = text.tokens.clone()
    other[:, -1] = 300

    first, second = (
        model.hidden([Part(Modality.TEXT, tokens, real), _target(image)])
        for tokens in (text.tokens, other)
    )

    torch.testing.assert_close(first, second)


def test_a_dropped_condition_says_nothing() -> None:
    model, _ = _model()
    text, image = _pairs()
    swapped = Part(text.modality, text.tokens.flip(0), text.real)
    nothing = torch.ones(4, dtype=torch.bool)

    first, second = (
        model.hidden([part, _target(image)], dropped=nothing) for part in (text, swapped)
    )

    torch.testing.assert_close(first, second)
    assert not torch.allclose(model.hidden([text, _target(image)]), first)


@pytest.mark.parametrize("layers", [1, 3])
def test_codes_are_guessed_one_after_the_other_as_they_are_learnt(layers: int) -> None:
    """Drawing greedily and teaching with the drawn codes give the same logits."""
    torch.manual_seed(1)
    head = SubCodeHead(16, 4, 8, inner=32, heads=4, layers=layers).eval()
    hidden = torch.randn(5, 16)
    walk = head.one_by_one(hidden)
    steps = [next(walk)]
    for _ in range(3):
        steps.append(walk.send(steps[-1].argmax(dim=1)))
    known = torch.stack([step.argmax(dim=1) for step in steps], dim=1)

    torch.testing.assert_close(head(hidden, known[:, :-1]), torch.stack(steps, dim=1))
    other = known.clone()
    other[:, 1] = (other[:, 1] + 1) % 8
    torch.testing.assert_close(
        head(hidden, other[:, :-1])[:, :2], head(hidden, known[:, :-1])[:, :2]
    )


def test_texts_are_padded_to_whole_blocks_of_their_own() -> None:
    ids, real = block_padded([[7, 8], [1, 2, 3, 4]], end=9, pad=0, block=4)

    assert ids.tolist() == [[7, 8, 9, 0, 0, 0, 0, 0], [1, 2, 3, 4, 9, 0, 0, 0]]
    assert real.sum(dim=1).tolist() == [4, 8]


def test_both_directions_are_learnt_and_drawn() -> None:
    model, paths = _model()
    text, image = _pairs()
    directions = [[text, _target(image)], [image, _target(text)]]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    model.train()
    for step in range(320):
        loss = flow_loss(model, paths, directions[step % 2], generator=generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    rule = GenerateRule(steps=6, guidance=2.0, temperature=0.5, block=4)

    codes = generate(model, paths, [text], Modality.IMAGE, slots=_SLOTS, rule=rule)
    words = generate(model, paths, [image], Modality.TEXT, slots=4, rule=rule)

    assert (codes == image.tokens).float().mean() > 0.8
    assert (words == text.tokens).float().mean() > 0.8
    assert text_slots(model, paths, [image], end=_END, rule=rule) == 4
    assert torch.equal(
        generate(model, paths, [text], Modality.IMAGE, slots=_SLOTS, rule=rule), codes
    )
    last = Part(text.modality, text.tokens[3:], text.real[3:])
    alone = generate(
        model, paths, [last], Modality.IMAGE, slots=_SLOTS, rule=rule, keys=torch.tensor([3])
    )
    assert torch.equal(alone, codes[3:])


def test_bfloat16_rounds_the_loss_and_its_slope_but_little() -> None:
    model, paths = _model()
    text, image = _pairs()
    losses: list[float] = []
    slopes: list[torch.Tensor] = []
    for precision in ("float32", "bfloat16"):
        model.zero_grad()
        generator = torch.Generator().manual_seed(0)
        loss = flow_loss(
            model, paths, [text, _target(image)], generator=generator, precision=precision
        )
        loss.backward()
        losses.append(loss.item())
        assert model.markers.grad is not None
        slopes.append(model.markers.grad.flatten())

    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    assert losses[1] != losses[0]
    assert torch.cosine_similarity(slopes[0], slopes[1], dim=0) > 0.99


def test_a_batch_is_the_mean_of_its_shares_by_slots() -> None:
    model, paths = _model()
    text, image = _pairs()
    real = text.real.clone()
    real[0, 2:] = False
    words = _target(replace(text, real=real))
    batch = noised(paths, [image, words], generator=torch.Generator().manual_seed(0), drop=0.5)
    shares = [batch.rows(slice(rank, None, 3)) for rank in range(3)]

    whole = denoising_loss(model, batch)
    parts = [denoising_loss(model, share) * share.slots for share in shares]

    assert sum(share.slots for share in shares) == batch.slots
    torch.testing.assert_close(torch.stack(parts).sum() / batch.slots, whole)


def test_an_unsure_model_gets_the_longest_text() -> None:
    model, paths = _model()
    _, image = _pairs()
    rule = GenerateRule(block=4, most_blocks=3)

    assert text_slots(model, paths, [image], end=_END, rule=rule) == 12


def test_sequences_without_one_target_or_a_condition_are_refused() -> None:
    model, paths = _model()
    text, image = _pairs()

    with pytest.raises(ValueError, match="one target"):
        model.hidden([text, image])
    with pytest.raises(ValueError, match="at least one part"):
        generate(model, paths, [], Modality.IMAGE, slots=_SLOTS)
    with pytest.raises(ValueError, match="steps"):
        GenerateRule(steps=0)
