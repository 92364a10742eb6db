"""Ways of drawing the same answer, with what each costs: for `omnidex bench generate`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter, process_time

import numpy as np
from jaxtyping import Float32

from .errors import EncoderError
from .flow_generate import GenerateRule
from .flow_order import counted, generate_in_order
from .generator import OmniGenerator, Request
from .patches import POSITIONS
from .prompt import Coded, parts_of
from .types import MediaItem, Modality

FLOW, KEPT, ANEW, ADAPTIVE = "flow", "flow, prompt kept", "flow, prompt anew", "flow, adaptive"
IN_ORDER, IN_ORDER_WHOLE = "in order, all kept", "in order, nothing kept"
SAMPLERS = {
    FLOW: "full attention, everything computed at every step: what `generate` does",
    KEPT: "block-causal attention, the prompt computed once",
    ANEW: "block-causal attention, the prompt computed at every step: draws the same",
    ADAPTIVE: "full attention, the prompt and the answer's still half anew every fourth step",
    IN_ORDER: "slot after slot, keys and values kept as language models do",
    IN_ORDER_WHOLE: "slot after slot, the whole sequence computed for each",
}


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """An answer, and what it cost.

    Attributes:
        answer: What was drawn.
        calls: Calls of the backbone.
        positions: Positions that it computed, in all calls.
        seconds: Wall time, from the prompt's codes to the answer's.
        cpu_seconds: Processor time of all threads meanwhile, which other work on the machine
            lengthens less.
    """

    answer: Coded
    calls: int
    positions: int
    seconds: float
    cpu_seconds: float


def drawn_by(
    sampler: str, generator: OmniGenerator, prompt: Sequence[Coded], request: Request
) -> Drawn:
    """Draw one picture or sound in one of the ways of `SAMPLERS`.

    Raises:
        ValueError: There is no such way.
        EncoderError: The request is for another kind.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}, got {sampler!r}")
    if request.modality not in (Modality.IMAGE, Modality.AUDIO):
        raise EncoderError("samplers are compared on images and sounds", hint="--to image")
    way = _way(sampler, generator, prompt, request)
    with counted(generator.flow.model) as work:
        start, cpu_start = perf_counter(), process_time()
        answer = way()
        passed, cpu_passed = perf_counter() - start, process_time() - cpu_start
    return Drawn(answer, work.calls, work.positions, passed, cpu_passed)


def _way(
    sampler: str, generator: OmniGenerator, prompt: Sequence[Coded], request: Request
) -> Callable[[], Coded]:
    rule = request.rule
    if sampler in (IN_ORDER, IN_ORDER_WHOLE):
        plain = replace(rule, attention="full", refresh=1, share=1.0)
        flow, keep = generator.flow, sampler == IN_ORDER
        condition = [part for coded in prompt for part in parts_of(coded, 1)]

        def in_order() -> Coded:
            codes = generate_in_order(
                flow.model,
                flow.paths,
                condition,
                request.modality,
                slots=POSITIONS,
                rule=plain,
                keep=keep,
            )
            return Coded(request.modality, codes[0].numpy())

        return in_order
    changed = {
        FLOW: replace(rule, attention="full", refresh=1, share=1.0),
        KEPT: replace(rule, attention="block-causal", refresh=0, share=1.0),
        ANEW: replace(rule, attention="block-causal", refresh=1, share=1.0),
        ADAPTIVE: replace(rule, attention="full", refresh=4, share=0.5),
    }[sampler]
    return lambda: generator.draw(prompt, replace(request, rule=changed))[0]


def vectors_of(
    generator: OmniGenerator, items: Sequence[MediaItem]
) -> Float32[np.ndarray, "items dim"]:
    """Unit vectors of items of one kind, without what all items of that kind share."""
    encoder = generator.codec.encoder
    vectors = encoder.encode(items)
    if encoder.means is not None:
        vectors = vectors - encoder.means[encoder.spec.modalities.index(items[0].modality)]
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)


def rule_with(base: GenerateRule, *, steps: int, midpoint: bool) -> GenerateRule:
    """A rule with another number of steps and step rule."""
    return replace(base, steps=steps, step_rule="midpoint" if midpoint else "euler")


def drawn_by_number(
    generator: OmniGenerator,
    prompt: MediaItem,
    modality: Modality,
    rule: GenerateRule,
    *,
    number: int,
) -> MediaItem:
    """One answer to a prompt, with the noise of a number, so that many differ without a prompt.

    Raises:
        QueryError: The prompt is too long for the model.
        EncoderError: The model can't draw this modality, or read the prompt.
    """
    request = Request(modality, rule=rule, keys=(number,))
    return generator.show(generator.draw([generator.read(prompt)], request)[0])
