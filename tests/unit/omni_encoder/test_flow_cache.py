"""What is kept between the sampler's steps: exact where the prompt can't see the answer."""

import pytest
import torch
from torch.nn import functional

from omni_encoder.backbone import Backbone, BackboneLayer
from omni_encoder.config import tiny_config
from omni_encoder.flow_cache import CacheRule, Reader
from omni_encoder.flow_generate import GenerateRule, generate
from omni_encoder.flow_model import FlowModel, Part
from omni_encoder.flow_path import MetricPath
from omni_encoder.large import LargeNetwork
from omni_encoder.network import OmniNetwork
from omni_encoder.sizes import large_config
from omni_encoder.types import Modality

_SLOTS = 16


@pytest.fixture(scope="module")
def model() -> FlowModel:
    torch.manual_seed(0)
    network = OmniNetwork(tiny_config())
    torch.nn.init.normal_(network.text.words.weight, std=0.5)
    books = {Modality.IMAGE: torch.randn(2, 8, 4)}
    model = FlowModel(network, books, slots={Modality.IMAGE: _SLOTS}, inner=16).eval()
    for name, parameter in model.named_parameters():
        if "qkv.weight" in name:
            torch.nn.init.normal_(parameter, std=0.4)  # else attention is flat and hides mistakes
    return model


def paths(model: FlowModel) -> dict[Modality, list[MetricPath]]:
    books = model.inputs[Modality.IMAGE].get_buffer("codebooks")
    return {Modality.IMAGE: [MetricPath(book).calibrated() for book in books]}


def prompt() -> list[Part]:
    """Two rows, one of which is shorter."""
    ids = torch.arange(110, 122).view(2, 6, 1)
    real = torch.ones(2, 6, dtype=torch.bool)
    real[1, 3:] = False
    return [Part(Modality.TEXT, ids, real)]


def answer(seed: int) -> Part:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(8, (2, _SLOTS, 2), generator=generator)
    return Part(Modality.IMAGE, codes, torch.ones(2, _SLOTS, dtype=torch.bool), target=True)


def test_a_kept_prompt_gives_exactly_the_same_when_it_cannot_see_the_answer(
    model: FlowModel,
) -> None:
    made = [
        generate(
            model,
            paths(model),
            prompt(),
            Modality.IMAGE,
            slots=_SLOTS,
            rule=GenerateRule(steps=6, guidance=2.0, attention="block-causal", refresh=refresh),
        )
        for refresh in (1, 0)
    ]
    every, once = (
        Reader(model, prompt(), CacheRule("block-causal", refresh)) for refresh in (1, 0)
    )

    assert torch.equal(made[0], made[1])
    with torch.no_grad():
        for seed in range(3):
            assert torch.equal(every(answer(seed)), once(answer(seed)))


def test_block_causal_attention_is_one_pass_with_a_mask(model: FlowModel) -> None:
    """The oracle: the whole sequence at once, with a matrix that says who sees whom."""
    condition, target = prompt(), answer(1)
    parts = [model.embed(part) for part in (*condition, target)]
    tokens, real = (torch.cat(halves, dim=1) for halves in zip(*parts, strict=True))
    first = parts[0][0].shape[1]
    sees = real[:, None, None, :].expand(-1, 1, tokens.shape[1], -1).clone()
    sees[:, :, :first, first:] = False
    backbone = model.network.backbone
    assert isinstance(backbone, Backbone)
    with torch.no_grad():
        x = backbone.input_norm(tokens)
        for layer in backbone.layers:
            assert isinstance(layer, BackboneLayer)
            q, k, v = layer._by_heads(layer.qkv(x), 3)
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=sees)
            x = layer.attention_norm(x + layer.out(mixed.transpose(1, 2).flatten(2)))
            x = layer.mlp_norm(x + layer.down(functional.gelu(layer.up(x))))
        ours = Reader(model, condition, CacheRule("block-causal", 0))(target)
        full = model.hidden([*condition, target])

    torch.testing.assert_close(ours, x[:, first + 1 : first + 1 + _SLOTS], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(ours, full, atol=1e-3)


def test_in_full_attention_a_refreshed_call_is_exact_and_others_are_near(
    model: FlowModel,
) -> None:
    reader = Reader(model, prompt(), CacheRule("full", refresh=2))
    with torch.no_grad():
        for call, seed in enumerate((1, 2, 3)):
            ours, whole = reader(answer(seed)), model.hidden([*prompt(), answer(seed)])
            error = (ours - whole).norm() / whole.norm()
            if call % 2 == 0:
                assert error < 1e-5
            else:
                assert 1e-4 < error < 0.5


def test_of_an_answer_that_moved_in_part_only_that_part_need_be_computed(
    model: FlowModel,
) -> None:
    """More positions computed anew, less error; all of them, none beside the kept prompt's."""
    first, second = answer(1), answer(1)
    moved = second.tokens.clone()
    moved[:, :4] = (moved[:, :4] + 1) % 8
    second = Part(second.modality, moved, second.real, target=True)

    def ask(share: float) -> torch.Tensor:
        reader = Reader(model, prompt(), CacheRule("block-causal", 0, share))
        with torch.no_grad():
            reader(first)
            return reader(second)

    whole = ask(1.0)
    errors = [float((ask(share) - whole).norm() / whole.norm()) for share in (0.05, 0.5, 0.999)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-5  # 18 of 18 positions


def test_rules_out_of_range_and_backbones_that_keep_nothing_are_refused(
    model: FlowModel,
) -> None:
    for rule in ({"attention": "sparse"}, {"refresh": -1}, {"share": 0}):
        with pytest.raises(ValueError, match=next(iter(rule))):
            GenerateRule(**rule)
    with torch.device("meta"):
        large = FlowModel(LargeNetwork(large_config("base")), {}, slots={})
    with pytest.raises(ValueError, match="keeps nothing"):
        Reader(large, prompt(), CacheRule("block-causal"))
