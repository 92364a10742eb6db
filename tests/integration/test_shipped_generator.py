"""The generating half that ships: it belongs to the shipped encoder, and draws every kind."""

import numpy as np
import pytest

from omni_encoder.flow_generate import GenerateRule
from omni_encoder.generator import OmniGenerator
from omni_encoder.shipped import shipped_flow, shipped_tokens
from omni_encoder.types import MediaItem, Modality


@pytest.fixture(scope="module")
def generator() -> OmniGenerator:
    if not (shipped_tokens().is_file() and shipped_flow().is_file()):
        pytest.skip("the shipped tokenizers or generating half are not in this checkout")
    return OmniGenerator.load(threads=1)


def test_the_shipped_files_fit_each_other_and_draw(generator: OmniGenerator) -> None:
    words = MediaItem(Modality.TEXT, "a red apple")
    rule = GenerateRule(steps=2, most_blocks=1)

    (picture,) = generator.generate([words], Modality.IMAGE, rule=rule)
    (sound,) = generator.generate([words], Modality.AUDIO, rule=rule)
    (again,) = generator.generate([words], Modality.IMAGE, rule=rule)
    (caption,) = generator.generate([picture, sound], Modality.TEXT, rule=rule)

    assert np.asarray(picture.content).shape == (64, 64, 3)
    assert np.abs(np.asarray(sound.content)).max() > 0
    np.testing.assert_array_equal(again.content, picture.content)
    assert isinstance(caption.content, str)
    assert caption.content
