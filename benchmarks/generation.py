"""How fast the flow draws, and how well by its number of steps.

Speed: every sampler of `omni_encoder.samplers` draws an answer to the same prompt, turn about,
after one turn to warm up. The figure is `ratio`: the median over turns of the time that drawing
slot after slot takes with everything kept (as language models do), by the flow's; `cpu_ratio` is
the same in processor time. The paper reports 1.2.

Quality: each of P prompts is drawn with each number of steps and both step rules, and, to know how
many steps are as good, slot after slot with everything kept. `success@1` is
how often the answer's search vector is nearest to its own prompt's among all P (chance is 1 / P),
`cosine` the mean cosine of the two, `shuffled` that with the next prompt. Equal cosines count as
worst case. A search vector is no eye, and pictures from a poor checkpoint stay at chance.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .timing import machine, spread

if TYPE_CHECKING:
    from omni_encoder import Modality
    from omni_encoder.flow_generate import GenerateRule
    from omni_encoder.generator import OmniGenerator
    from omni_encoder.samplers import Drawn

PROMPTS = (
    *("a red apple", "a yellow banana", "a dog", "a cat", "a bird", "a fish", "a house", "a tree"),
    *("a flower", "a car", "a boat", "a plane", "a train", "a bicycle", "a clock", "a guitar"),
    *("a chair", "a star", "the sun", "a smiling face"),
)
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class GenerationBenchmark:
    """What is measured.

    Attributes:
        modality: Image or audio.
        rule: How to draw; its steps are those of the speed part.
        prompts: Texts.
        steps: Numbers of steps of the quality part; none leaves it out.
        turns: How often each sampler is timed.
        progress: Told what is done, how much of it, and of how much.
    """

    modality: "Modality"
    rule: "GenerateRule"
    prompts: Sequence[str] = PROMPTS
    steps: Sequence[int] = (2, 4, 8, 16, 32)
    turns: int = 5
    progress: Tell | None = None

    def __post_init__(self) -> None:
        if self.turns < 1 or len(self.prompts) < 2 or any(step < 1 for step in self.steps):
            raise ValueError(
                "turns and steps must be at least 1 and prompts at least 2, got "
                f"{self.turns}, {list(self.steps)}, {len(self.prompts)}"
            )


def run(options: GenerationBenchmark, generator: "OmniGenerator") -> dict[str, object]:
    """Measure a model.

    Returns:
        A JSON object; `ratio` is the figure, at least 1.2 is wanted, 3 is the aim.
    """
    speed = _speed(options, generator)
    return {
        "schema": 1,
        **speed,
        "quality": _quality(options, generator),
        "to": str(options.modality),
        "steps": options.rule.steps,
        "guidance": options.rule.guidance,
        "temperature": options.rule.temperature,
        "seed": options.rule.seed,
        "prompts": len(options.prompts),
        "turns": options.turns,
        "machine": machine("torch", "omnidex"),
    }


def _speed(options: GenerationBenchmark, generator: "OmniGenerator") -> dict[str, object]:
    from omni_encoder import MediaItem, Modality
    from omni_encoder.generator import Request
    from omni_encoder.samplers import ANEW, FLOW, IN_ORDER, KEPT, SAMPLERS, drawn_by

    prompt = [generator.read(MediaItem(Modality.TEXT, options.prompts[0]))]
    request = Request(options.modality, rule=options.rule)
    drawn: dict[str, list[Drawn]] = {name: [] for name in SAMPLERS}
    for turn in range(options.turns + 1):
        for name, before in drawn.items():
            before.append(drawn_by(name, generator, prompt, request))
        _tell(options, "Timing", turn + 1, options.turns + 1)
    times = {name: [one.seconds for one in row[1:]] for name, row in drawn.items()}
    cpu = {name: [one.cpu_seconds for one in row[1:]] for name, row in drawn.items()}
    samplers = {
        name: {
            "what": what,
            "calls": drawn[name][0].calls,
            "positions": drawn[name][0].positions,
            "seconds": spread(times[name]),
            "cpu_seconds": spread(cpu[name]),
            "times_faster_than_in_order": _ratio(times[IN_ORDER], times[name]),
            "cpu_times_faster_than_in_order": _ratio(cpu[IN_ORDER], cpu[name]),
        }
        for name, what in SAMPLERS.items()
    }
    same = drawn[ANEW][0].answer.digest() == drawn[KEPT][0].answer.digest()
    return {
        "ratio": _ratio(times[IN_ORDER], times[FLOW]),
        "cpu_ratio": _ratio(cpu[IN_ORDER], cpu[FLOW]),
        "kept_prompt_ratio": _ratio(times[ANEW], times[KEPT]),
        "kept_prompt_cpu_ratio": _ratio(cpu[ANEW], cpu[KEPT]),
        "kept_prompt_draws_the_same": same,
        "samplers": samplers,
    }


def _ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def _quality(
    options: GenerationBenchmark, generator: "OmniGenerator"
) -> list[dict[str, float | int | str]]:
    from omni_encoder import MediaItem, Modality
    from omni_encoder.generator import Request
    from omni_encoder.samplers import IN_ORDER, drawn_by, rule_with, vectors_of

    if not options.steps:
        return []
    prompts = [MediaItem(Modality.TEXT, text) for text in options.prompts]
    wanted = vectors_of(generator, prompts)
    ways = [(steps, rule) for steps in options.steps for rule in ("midpoint", "euler")]
    rows: list[dict[str, float | int | str]] = []
    for number, (steps, name) in enumerate(ways):
        rule = rule_with(options.rule, steps=steps, midpoint=name == "midpoint")
        made = [generator.generate([p], options.modality, rule=rule)[0] for p in prompts]
        rows.append({"steps": steps, "rule": name, **match(vectors_of(generator, made), wanted)})
        _tell(options, "Drawing", number + 1, len(ways) + 1)
    request = Request(options.modality, rule=options.rule)
    drawn = [drawn_by(IN_ORDER, generator, [generator.read(p)], request) for p in prompts]
    vectors = vectors_of(generator, [generator.show(one.answer) for one in drawn])
    rows.append({"steps": drawn[0].calls, "rule": IN_ORDER, **match(vectors, wanted)})
    _tell(options, "Drawing", len(ways) + 1, len(ways) + 1)
    return rows


def match(made: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """How well answers match their prompts: unit rows, one for each, in the same order."""
    scores = made @ wanted.T
    own = scores.diagonal()
    better = (scores >= own[:, None]).sum(axis=1)  # itself included, so 1 is the best
    return {
        "success@1": float((better == 1).mean()),
        "chance": 1 / len(made),
        "cosine": float(own.mean()),
        "shuffled": float((made * np.roll(wanted, 1, axis=0)).sum(axis=1).mean()),
    }


def _tell(options: GenerationBenchmark, what: str, done: int, total: int) -> None:
    if options.progress is not None:
        options.progress(what, done, total)
