"""Whether what the flow draws is what was asked for: held-out items, beside two controls.

Protocol. For each direction, N items with different first captions, spread over the manifest, give
prompt and answer: a picture from its caption, a caption for a picture, and so on. Each prompt's
answer is drawn once. Figures, each beside the same for the next item's answer (`shuffled`) and for
answers drawn without a condition (`unconditional`); success@1 also beside true answers, and those
rebuilt from their codes, which no drawing of codes can be expected to beat:

    success@1  how often the answer's search vector is nearest to its own prompt's among all N;
               chance is 1 / N, and equal cosines count as worst case
    cosine     of the two vectors, mean
    nats       cross-entropy a slot of the true answer's codes, given the prompt
    distance   kernel distance of drawn answers to true ones (Bińkowski et al., 1801.01401:
               unbiased squared MMD with a cubic kernel, times 1,000), on search vectors in place of
               Inception's features; 0 is the distance of true answers to others like them

Search vectors are less the mean of their modality. They are no eye: a picture may be near to a
caption and please nobody.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Float64

from omni_encoder import MediaItem, MediaLayout, Modality, OmniError
from omni_encoder.media import open_media

from .generation import match
from .manifest import ManifestItem, load_items
from .timing import machine

if TYPE_CHECKING:
    from omni_encoder.flow_generate import GenerateRule
    from omni_encoder.generator import OmniGenerator

SCHEMA = 1
MEDIA = (Modality.IMAGE, Modality.AUDIO)


@dataclass(frozen=True, slots=True)
class DrawingOptions:
    """How to measure.

    Attributes:
        rule: How to draw.
        count: N, items of a direction.
        progress: Told what is done, how much of it, and of how much.
    """

    rule: "GenerateRule"
    count: int = 100
    progress: Callable[[str, int, int], None] | None = None

    def __post_init__(self) -> None:
        if self.count < 4:
            raise ValueError(f"count must be at least 4, got {self.count}")


def run(
    manifest: Path,
    *,
    generator: "OmniGenerator",
    split: Path | None = None,
    options: DrawingOptions,
) -> dict[str, object]:
    """Measure text to image and back, and text to audio and back, as far as the manifest has them.

    Args:
        manifest: A JSONL file beside its media.
        generator: The model.
        split: A JSON file; only its `validation` ids are used.
        options: See `DrawingOptions`.

    Raises:
        OmniError: The manifest or the split can't be used, files are missing or can't be decoded,
            or no kind of media has four items with captions.
    """
    items = load_items(manifest, split=split)
    directions: dict[str, object] = {}
    for kind in MEDIA:
        chosen = _spread(items, kind, options.count)
        if len(chosen) < 4:
            continue
        media = [_opened(item, number, kind) for number, item in enumerate(chosen)]
        texts = [MediaItem(Modality.TEXT, item.captions[0]) for item in chosen]
        for prompts, answers in ((texts, media), (media, texts)):
            name = f"{prompts[0].modality}->{answers[0].modality}"
            directions[name] = _measure(generator, prompts, answers, options, name)
    if not directions:
        raise OmniError(
            "no kind of media has four items with different captions",
            hint="drawing is measured on captions and what carries them",
        )
    rule = options.rule
    return {
        "schema": SCHEMA,
        "steps": rule.steps,
        "guidance": rule.guidance,
        "temperature": rule.temperature,
        "seed": rule.seed,
        "directions": directions,
        "machine": machine("torch", "omnidex"),
    }


def _spread(items: Sequence[ManifestItem], kind: Modality, count: int) -> list[ManifestItem]:
    """Items of a kind whose first captions differ, spread over the manifest."""
    first: dict[str, ManifestItem] = {}
    for item in items:
        if item.modality is kind and item.captions:
            first.setdefault(item.captions[0], item)
    found = list(first.values())
    return [found[i] for i in np.linspace(0, len(found) - 1, min(count, len(found))).astype(int)]


def _opened(item: ManifestItem, number: int, kind: Modality) -> MediaItem:
    parts = iter(open_media(item.path, MediaLayout())[1])
    found = next(parts, None)
    if found is None or found.modality is not kind:
        raise OmniError(f"{item.path} holds no {kind}", hint=f"entry {number + 1} of those drawn")
    return found


def _measure(
    generator: "OmniGenerator",
    prompts: Sequence[MediaItem],
    answers: Sequence[MediaItem],
    options: DrawingOptions,
    name: str,
) -> dict[str, object]:
    from omni_encoder.likelihood import target_nats
    from omni_encoder.samplers import drawn_by_number, vectors_of

    alone = replace(options.rule, guidance=0.0)
    made: list[MediaItem] = []
    free: list[MediaItem] = []
    nats: list[list[float]] = []
    for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        for rule, into in ((options.rule, made), (alone, free)):
            into.append(drawn_by_number(generator, prompt, answer.modality, rule, number=number))
        other = prompts[(number + 1) % len(prompts)]
        asked = [target_nats(generator, given, answer) for given in (prompt, other)]
        nats.append([*asked, target_nats(generator, prompt, answer, dropped=True)])
        if options.progress is not None:
            options.progress(name, number + 1, len(prompts))
    wanted, true, rebuilt, ours, without = (
        vectors_of(generator, list(row))
        for row in (prompts, answers, _rebuilt(generator, answers), made, free)
    )
    own, shuffled, dropped = np.mean(nats, axis=0).tolist()
    matched, unmatched = match(ours, wanted), match(without, wanted)
    return {
        "items": len(prompts),
        "chance": matched["chance"],
        "success@1": matched["success@1"],
        "success@1 unconditional": unmatched["success@1"],
        "success@1 of true answers": match(true, wanted)["success@1"],
        "success@1 of rebuilt answers": match(rebuilt, wanted)["success@1"],
        "cosine": matched["cosine"],
        "cosine shuffled": matched["shuffled"],
        "cosine unconditional": unmatched["cosine"],
        "nats": own,
        "nats shuffled": shuffled,
        "nats unconditional": dropped,
        "distance": kernel_distance(ours, true),
        "distance unconditional": kernel_distance(without, true),
    }


def _rebuilt(generator: "OmniGenerator", answers: Sequence[MediaItem]) -> list[MediaItem]:
    """What is left of answers in their codes; a text's words are its codes."""
    return [
        answer if answer.modality is Modality.TEXT else generator.show(generator.read(answer))
        for answer in answers
    ]


def kernel_distance(
    drawn: Float32[np.ndarray, "drawn dim"], true: Float32[np.ndarray, "true dim"]
) -> float:
    """Unbiased squared MMD with the kernel (x.y / dim + 1)^3 of KID, times 1,000.

    Unit rows are scaled to entries of about 1, as KID's kernel expects.

    Raises:
        ValueError: There are fewer than two rows on a side.
    """
    if min(len(drawn), len(true)) < 2:
        raise ValueError(f"a distance needs two rows a side, got {len(drawn)} and {len(true)}")
    within = [_without_self(_kernel(rows, rows)) for rows in (drawn, true)]
    return 1000 * float(sum(within) - 2 * _kernel(drawn, true).mean())


def _kernel(left: np.ndarray, right: np.ndarray) -> Float64[np.ndarray, "left right"]:
    # Rows of unit length times the root of their number of entries: x.y / dim is the cosine.
    return (left.astype(np.float64) @ right.T.astype(np.float64) + 1) ** 3


def _without_self(kernel: np.ndarray) -> float:
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))
