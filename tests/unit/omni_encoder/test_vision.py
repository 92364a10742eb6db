import numpy as np
import pytest
import torch
from torch.nn import functional

from omni_encoder.config import VisionConfig, tiny_config
from omni_encoder.vision import SameConv, VisionEncoder, normalise_pixels


def _same_by_definition(
    image: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int
) -> np.ndarray:
    """TensorFlow's SAME: output ceil(side / stride); of an odd pad, more goes right and below."""
    kernel = weight.shape[-1]
    sides = [-(-side // stride) for side in image.shape[1:]]
    pads = [
        max((out - 1) * stride + kernel - side, 0)
        for out, side in zip(sides, image.shape[1:], strict=True)
    ]
    padded = np.pad(image, [(0, 0), *((pad // 2, pad - pad // 2) for pad in pads)])
    result = np.zeros((len(weight), *sides))
    for y in range(sides[0]):
        for x in range(sides[1]):
            window = padded[:, y * stride : y * stride + kernel, x * stride : x * stride + kernel]
            result[:, y, x] = np.tensordot(weight, window, axes=3) + bias
    return result


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("sides", [(8, 8), (7, 10), (5, 6)])
def test_a_convolution_is_padded_as_tensorflow_pads_it(
    kernel: int, stride: int, sides: tuple[int, int]
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = SameConv(3, 4, kernel, stride).double()
        image = torch.randn(1, 3, *sides, dtype=torch.float64)
    assert layer.bias is not None

    out = layer(image)[0].detach().numpy()

    expected = _same_by_definition(
        image[0].numpy(), layer.weight.detach().numpy(), layer.bias.detach().numpy(), stride
    )
    np.testing.assert_allclose(out, expected, atol=1e-12)


@torch.inference_mode()
def test_lite0_turns_224_pixels_into_a_grid_of_7_by_7() -> None:
    encoder = VisionEncoder(VisionConfig()).eval()

    trunk = encoder.trunk(torch.zeros(1, 3, 224, 224))

    assert trunk.shape == (1, 112, 14, 14)
    assert encoder.late(trunk).shape == (1, 1280, 7, 7)
    # 4.65M of the published model less its classifier of 1280 x 1000 weights and 1000 biases.
    assert 3.3e6 < sum(p.numel() for p in encoder.parameters()) < 3.4e6


@torch.inference_mode()
def test_trunk_and_late_stages_make_the_whole() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        encoder = VisionEncoder(tiny_config().vision).eval()
        pixels = torch.rand(2, 3, 64, 64) * 2 - 1

    whole = encoder(pixels)

    assert whole.shape == (2, 48, 2, 2)
    assert 0 < encoder.trunk_blocks < len(encoder.blocks)
    assert torch.equal(whole, encoder.late(encoder.trunk(pixels)))
    assert torch.equal(whole, functional.relu6(whole))


def test_pixels_are_scaled_to_about_one() -> None:
    scaled = normalise_pixels(torch.tensor([0, 127, 255], dtype=torch.uint8))

    assert scaled.tolist() == [-127 / 128, 0, 1]
