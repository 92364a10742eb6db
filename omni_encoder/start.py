"""A nano network as training finds it: pretrained parts in place, the rest fresh."""

from dataclasses import replace

import torch
from torch.nn import functional

from .config import OmniConfig, VisionConfig
from .model import encode_texts
from .network import OmniNetwork
from .pretrained import (
    audioset_names,
    efficientnet_lite,
    imagenet_names,
    minilm,
    whisper_tiny_encoder,
)

_VISION = {
    0: VisionConfig(),
    1: VisionConfig(width=1.0, depth=1.1, pixels=240),
    2: VisionConfig(width=1.1, depth=1.2, pixels=260),
}


def start_network(*, vision_size: int, seed: int) -> tuple[OmniNetwork, str]:
    """The nano network and its tokenizer's JSON.

    The backbone comes from MiniLM, the vision encoder from EfficientNet-Lite, the audio encoder
    from Whisper tiny, the concept vectors are MiniLM's vectors of the class names.

    Raises:
        CheckpointError: A package that carries a part is not installed.
        ValueError: `vision_size` is not 0, 1 or 2.
    """
    if vision_size not in _VISION:
        raise ValueError(f"vision_size must be 0, 1 or 2, got {vision_size}")
    config = replace(OmniConfig(), vision=_VISION[vision_size])
    torch.manual_seed(seed)
    network = OmniNetwork(config)
    text, tokenizer = minilm()
    text["text.positions"] = text["text.positions"][: config.text_tokens]
    vision, weight, bias = efficientnet_lite(vision_size)
    audio = whisper_tiny_encoder()
    audio["positions"] = audio["positions"][: config.audio.positions]
    state = {
        **text,
        **{f"vision.{name}": tensor for name, tensor in vision.items()},
        **{f"audio.{name}": tensor for name, tensor in audio.items()},
        "image_concepts.classifier.0.weight": weight,
        "image_concepts.classifier.0.bias": bias,
    }
    result = network.load_state_dict(state, strict=False)
    assert not result.unexpected_keys, result
    network.eval()
    for head, names in (
        (network.image_concepts, imagenet_names()),
        (network.audio_concepts, audioset_names()),
    ):
        vectors = encode_texts(network, tokenizer, names)
        head.vectors.data.copy_(functional.normalize(torch.from_numpy(vectors), dim=-1))
    return network, tokenizer
