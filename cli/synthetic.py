"""What the model drew for a query and where it lies: no hits, and in no collection."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import render

SYNTHETIC_LINE = "-- synthetic: drawn from the query, in no collection --"
SUFFIXES = {"text": ".txt", "image": ".png", "audio": ".wav", "video": ".gif"}
"""Of files that drawn things are written to."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawn thing that was written.

    Attributes:
        modality: What it is.
        path: Its file.
        text: What it says, if it is a text.
        seed: It was drawn with.
        number: Of several of one seed, from 1.
    """

    modality: str
    path: Path
    text: str | None
    seed: int
    number: int

    def as_json(self) -> dict[str, object]:
        """As it stands in JSON."""
        return {
            "synthetic": True,
            "modality": self.modality,
            "file": str(self.path),
            "text": self.text,
            "seed": self.seed,
            "number": self.number,
        }


def print_drawn(drawn: Sequence[Drawn]) -> None:
    """Write what was drawn as a block of its own; piped, `synthetic` stands where ranks do."""
    if not drawn:
        return
    rows = [
        ["synthetic", one.modality, str(one.path), render.one_line(one.text or "")] for one in drawn
    ]
    columns = (
        render.Column("#"),
        render.Column("kind"),
        render.Column("path", overflow="fold"),
        render.Column("what", overflow="ellipsis", movable=True),
    )
    if render.on_terminal():
        render.write(f"\n{SYNTHETIC_LINE}\n")
    render.table(columns, rows)
