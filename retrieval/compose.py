"""Several parts of a query made one vector, in either of two ways.

`Arithmetic` adds the parts' vectors, each less the mean of its modality. `Joint` lets the model
read the parts as one sequence, media standing as pseudo-words where their names would stand, and
reads the vector at `<EOS>`. What is not wanted is subtracted in both: a text encoder takes "not
rain" for something about rain. docs/adr/0050 has the figures of both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from indexer import Record
from omni_encoder import JointEncoder, Modality, QueryError
from omni_encoder.arrays import Float32

from .embed import unit

UNWANTED = 0.3
"""How much a part that isn't wanted counts unless said otherwise.

At 1, as wanted parts do, it takes away what is right: on training items nDCG@10 falls from .41 to
.20, at 0.3 to .40, while the unwanted among the first ten fall by a third.
"""

# What is left of parts that cancel each other out is shorter than this.
_CANCELLED = 1e-4

Centre = Callable[[Float32[np.ndarray, " dim"], Modality], Float32[np.ndarray, " dim"]]
"""Takes a vector's modality mean off it and gives a unit vector."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPart:
    """One part of a query, encoded.

    Attributes:
        modality: What it is.
        vector: Unit length, not centred.
        weight: How much it counts, not 0; below 0 it pushes hits away.
        text: What it says, if it is a text that was typed.
        record: The item, if it is one of the collection.
    """

    modality: Modality
    vector: Float32[np.ndarray, " dim"]
    weight: float = 1.0
    text: str | None = None
    record: Record | None = None


@runtime_checkable
class Composer(Protocol):
    """Makes one vector of the parts of a query."""

    def compose(self, parts: Sequence[EncodedPart]) -> Float32[np.ndarray, " dim"]:
        """The vector to search by, centred; its length means nothing.

        Raises:
            QueryError: The parts cancel each other out.
            EncoderError: The encoder can't compose in this way.
        """
        ...


class Arithmetic:
    """The weighted sum of the parts' centred unit vectors."""

    def __init__(self, centre: Centre) -> None:
        self._centre = centre

    def compose(self, parts: Sequence[EncodedPart]) -> Float32[np.ndarray, " dim"]:
        """See `Composer.compose`."""
        vectors = [self._centre(part.vector, part.modality) for part in parts]
        return _mix(vectors, [part.weight for part in parts])


class Joint:
    """Parts of one positive weight are read as one sequence, in their order; the rest is added.

    A sequence counts as the sum of its weights. A part alone is its own vector, so a query of one
    part is the same however it is composed.
    """

    def __init__(self, centre: Centre, encoder: JointEncoder) -> None:
        self._centre = centre
        self._encoder = encoder

    def compose(self, parts: Sequence[EncodedPart]) -> Float32[np.ndarray, " dim"]:
        """See `Composer.compose`."""
        groups: dict[float, list[EncodedPart]] = {}
        for part in parts:
            if part.weight > 0:
                groups.setdefault(part.weight, []).append(part)
        joined = {weight: group for weight, group in groups.items() if len(group) > 1}
        alone = [part for part in parts if part.weight not in joined]
        vectors = [self._centre(part.vector, part.modality) for part in alone]
        weights = [part.weight for part in alone]
        if joined:
            read = self._encoder.encode_joint([self._sequence(group) for group in joined.values()])
            vectors += [self._centre(vector, Modality.TEXT) for vector in read]
            weights += [weight * len(group) for weight, group in joined.items()]
        return _mix(vectors, weights)

    def _sequence(self, parts: Sequence[EncodedPart]) -> list[str | Float32[np.ndarray, " dim"]]:
        return [
            part.text if part.text is not None else self._centre(part.vector, part.modality)
            for part in parts
        ]


def _mix(
    vectors: Sequence[Float32[np.ndarray, " dim"]], weights: Sequence[float]
) -> Float32[np.ndarray, " dim"]:
    mixed = np.einsum("i,id->d", np.array(weights), np.stack(vectors).astype(np.float64))
    if np.linalg.norm(mixed) < _CANCELLED * np.abs(weights).sum():
        raise QueryError(
            "the terms of the query cancel each other out",
            hint="leave one of them out, or give them other weights",
        )
    return unit(mixed[None])[0]
