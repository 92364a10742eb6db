"""Drawing slot after slot: what it costs, and that what is kept is what would be computed."""

import pytest
import torch

from omni_encoder.backbone import Backbone
from omni_encoder.flow_generate import GenerateRule
from omni_encoder.flow_order import counted, generate_in_order
from omni_encoder.generator import OmniGenerator, Request
from omni_encoder.prompt import Coded, parts_of, positions_of
from omni_encoder.samplers import ADAPTIVE, ANEW, FLOW, IN_ORDER, KEPT, SAMPLERS, drawn_by
from omni_encoder.types import MediaItem, Modality
from tests.tiny_generator import write_tiny_generator

RULE = GenerateRule(steps=4)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> OmniGenerator:
    return write_tiny_generator(tmp_path_factory.mktemp("tiny")).load()


def prompt(generator: OmniGenerator) -> list[Coded]:
    return [generator.read(MediaItem(Modality.TEXT, "abc"))]


def test_a_flow_asks_once_a_step_and_an_ordered_sampler_once_a_slot(
    generator: OmniGenerator,
) -> None:
    drawn = {
        name: drawn_by(name, generator, prompt(generator), Request(Modality.IMAGE, rule=RULE))
        for name in SAMPLERS
    }

    words = positions_of(prompt(generator)[0])
    assert (drawn[FLOW].calls, drawn[FLOW].positions) == (4, 4 * (words + 66))
    assert (drawn[KEPT].calls, drawn[KEPT].positions) == (5, words + 4 * 66)
    assert drawn[KEPT].answer.digest() == drawn[ANEW].answer.digest()
    assert drawn[ADAPTIVE].calls == 4
    assert (drawn[IN_ORDER].calls, drawn[IN_ORDER].positions) == (65, words + 64 * 2)
    assert all(row.answer.codes.shape == (64, 4) for row in drawn.values())
    guided = Request(Modality.IMAGE, rule=GenerateRule(steps=4, guidance=2.0))
    assert drawn_by(FLOW, generator, prompt(generator), guided).calls == 8


def test_a_slot_depends_on_those_before_it_alone(generator: OmniGenerator) -> None:
    flow = generator.flow
    with torch.no_grad():  # in a fresh model nothing around a slot is seen
        for entering in flow.model.inputs.values():
            entering.get_parameter("around").normal_()
    condition = [part for coded in prompt(generator) for part in parts_of(coded, 2)]

    def drawn(slots: int, *, keep: bool) -> torch.Tensor:
        rule = GenerateRule(guidance=2.0)
        return generate_in_order(
            flow.model, flow.paths, condition, Modality.AUDIO, slots=slots, rule=rule, keep=keep
        )

    longer = drawn(5, keep=True)

    assert torch.equal(longer[:, :3], drawn(3, keep=True))
    assert not torch.equal(longer[0], longer[1])
    with counted(flow.model) as work:
        assert drawn(3, keep=False).shape == (2, 3, 2)
    assert work.calls == 6
    backbone = flow.model.network.backbone
    assert isinstance(backbone, Backbone)
    assert not backbone.input_norm._forward_pre_hooks


def test_an_unknown_sampler_is_refused(generator: OmniGenerator) -> None:
    with pytest.raises(ValueError, match="sampler"):
        drawn_by("magic", generator, prompt(generator), Request(Modality.IMAGE))
