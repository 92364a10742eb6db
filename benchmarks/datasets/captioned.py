"""What the datasets of captioned clips share: clips of one modality, each with its captions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..tasks import Dataset, Entry, both_ways
from .folder import DataFolder


@dataclass(frozen=True, slots=True)
class Captioned:
    """A clip and what was written about it."""

    entry: Entry
    captions: Sequence[str]


def captioned_dataset(
    folder: DataFolder,
    clips: Sequence[Captioned],
    *,
    modality: str,
    published: Mapping[str, int],
    notes: Sequence[str] = (),
) -> Dataset:
    """Text to clip with every caption a query, and clip to text with the best of its captions."""
    captions: list[Entry] = []
    pairs: list[tuple[int, int]] = []
    for number, clip in enumerate(clips):
        for place, caption in enumerate(clip.captions):
            pairs.append((len(captions), number))
            captions.append(Entry.text(f"{clip.entry.id}#{place}", caption))
    return Dataset(
        tasks=both_ways(captions, [clip.entry for clip in clips], pairs, name=f"text->{modality}"),
        counts={"clips": len(clips), "captions": len(captions)},
        published=published,
        missing=folder.missing,
        checksums=folder.checksums,
        digest=folder.digest(),
        notes=["papers call success@k of this protocol recall@k", *notes],
    )
