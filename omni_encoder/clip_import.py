"""A CLIP that a user names as the start of `base`: its towers, tensor by tensor."""

# What torch returns is typed only in part; it is checked where it is named or passed on.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from .clip_loading import load_clip
from .clip_towers import ViTConfig, renamed
from .errors import CheckpointError
from .large import LargeConfig, LargeNetwork
from .rotary import RotaryConfig


def base_from_clip(name: str, config: LargeConfig) -> LargeNetwork:
    """A network whose image encoder, words and backbone are a CLIP's; the rest starts fresh.

    Args:
        name: `MODEL/FILE.safetensors`, as `load_clip` takes it; a plain ViT CLIP.
        config: What the CLIP doesn't say: the audio encoder.

    Raises:
        CheckpointError: The file is missing, no safetensors, damaged, or no plain CLIP.
        EncoderError: open_clip doesn't know the model.
    """
    if not name.endswith(".safetensors"):
        raise CheckpointError(
            f"{name} is no safetensors file", hint="save the model's state_dict as .safetensors"
        )
    clip = load_clip(name)
    vision, text = (
        cast("Mapping[str, object]", clip.architecture[part]) for part in ("vision_cfg", "text_cfg")
    )
    unlike = [part for part in ("timm_model_name", "hf_model_name") if part in {**vision, **text}]
    if unlike or text.get("no_causal_mask") or not isinstance(vision.get("layers"), int):
        raise CheckpointError(
            f"{name} is no plain CLIP", hint="use one with a ViT and a causal text tower"
        )
    state = clip.model.state_dict()
    shaped = _shaped(config, clip.architecture, vision, text)
    tensors = renamed(state, vision_layers=shaped.vision.layers, text_layers=shaped.backbone.layers)
    network = LargeNetwork(shaped)
    own = network.state_dict()
    for ours, tensor in tensors.items():
        if own[ours].shape != tensor.shape:
            raise CheckpointError(
                f"{name} has another shape than its configuration says, first in {ours}",
                hint="name the model that the weights were saved from",
            )
    network.load_state_dict(tensors, strict=False)
    return network.eval()


def _shaped(
    config: LargeConfig,
    clip: Mapping[str, object],
    vision: Mapping[str, object],
    text: Mapping[str, object],
) -> LargeConfig:
    """The configuration with a CLIP's shapes."""

    def number(table: Mapping[str, object], name: str, default: int) -> int:
        return int(cast("int", table.get(name, default)))

    width, words = number(vision, "width", 768), number(text, "width", 512)
    return replace(
        config,
        backbone=RotaryConfig(
            width=words,
            heads=number(text, "heads", 8),
            key_heads=number(text, "heads", 8),
            layers=number(text, "layers", 12),
            hidden=4 * words,
        ),
        vision=ViTConfig(
            width=width,
            layers=number(vision, "layers", 12),
            heads=width // number(vision, "head_width", 64),
            patch=number(vision, "patch_size", 16),
            pixels=number(vision, "image_size", 224),
        ),
        vocabulary=number(text, "vocab_size", 49_408),
        text_tokens=number(text, "context_length", 77),
        rotary=False,
        quick=bool(clip.get("quick_gelu", False)),
        clip_width=number(clip, "embed_dim", 512),
    )
