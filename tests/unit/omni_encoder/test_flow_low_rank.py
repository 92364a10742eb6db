"""The shared backbone with corrections: the same at first, and the same once folded."""

import pytest
import torch

from omni_encoder.backbone import Backbone
from omni_encoder.config import BackboneConfig
from omni_encoder.flow_low_rank import correct, fold, is_own
from omni_encoder.packing import packed, unpacked

_CONFIG = BackboneConfig(width=16, heads=2, layers=2, hidden=32)


def _inputs() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1)), torch.ones(2, 5) > 0


def test_a_corrected_backbone_starts_as_the_shared_one_and_folds_to_the_same() -> None:
    torch.manual_seed(0)
    backbone = Backbone(_CONFIG).eval()
    before = backbone(*_inputs())

    correct(backbone, 3)
    torch.testing.assert_close(backbone(*_inputs()), before)
    for name, parameter in backbone.named_parameters():
        if name.endswith(".b"):
            torch.nn.init.normal_(parameter, std=0.1)
    learnt = backbone(*_inputs())
    assert not torch.allclose(learnt, before, atol=1e-3)
    fold(backbone)

    torch.testing.assert_close(backbone(*_inputs()), learnt, rtol=1e-4, atol=1e-5)
    assert not any(name.endswith((".a", ".b")) for name, _ in backbone.named_parameters())


def test_only_corrections_norms_and_what_is_new_are_the_generators_own() -> None:
    backbone = Backbone(_CONFIG)
    correct(backbone, 2)
    own = {name for name, _ in backbone.named_parameters() if is_own(f"network.backbone.{name}")}

    assert "layers.0.qkv.a" in own
    assert "layers.1.mlp_norm.weight" in own
    assert "layers.0.qkv.base.weight" not in own
    assert is_own("heads.image.enter.weight")
    assert not is_own("network.vision.stem.weight")


def test_a_rank_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="rank"):
        correct(Backbone(_CONFIG), 0)


def test_packed_weights_come_back_up_to_rounding() -> None:
    state = {
        "map.weight": torch.randn(4, 64, generator=torch.Generator().manual_seed(2)),
        "places": torch.randn(3, 8, generator=torch.Generator().manual_seed(3)),
        "count": torch.tensor(7),
    }
    stored = packed(state, narrow=lambda name: name.endswith(".weight"))
    back = unpacked({name: t.float() for name, t in stored.items()})

    assert stored["map.weight.int8"].dtype == torch.int8
    assert stored["places"].dtype == torch.float16
    largest = state["map.weight"].abs().amax(dim=1, keepdim=True)
    assert ((back["map.weight"] - state["map.weight"]).abs() <= largest / 254 + 1e-6).all()
    torch.testing.assert_close(back["places"], state["places"], rtol=1e-3, atol=1e-3)
