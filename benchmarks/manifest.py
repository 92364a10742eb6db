"""Reading a manifest of annotated media: what may be asked of them and what answers it.

A manifest is a JSONL file beside its media. A line needs `id`, `modality` and `file` (relative to
the manifest); `captions`, `source`, `label`, `pair_id` and `caption_kind` are used when present.
Items marked `low_content` are left out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from omni_encoder import MediaError, MediaLayout, Modality, OmniError
from omni_encoder.splits import read_manifest

NO_SOURCE = "unknown"


@dataclass(frozen=True, slots=True)
class ManifestItem:
    """One annotated media file.

    Attributes:
        id: As in the manifest, unique there.
        modality: What it is.
        path: Where it lies.
        captions: Texts that describe it, maybe none.
        source: Where it comes from.
        label: Its class, if it has one.
        pair_id: What it shares with items of other modalities that show the same thing.
        caption_kind: How its captions came about, such as `human-sentence`.
    """

    id: str
    modality: Modality
    path: Path
    captions: tuple[str, ...]
    source: str
    label: str | None
    pair_id: str | None
    caption_kind: str


def load_items(
    manifest: Path, *, split: Path | None = None, limit: int | None = None
) -> list[ManifestItem]:
    """The items of a manifest, in its order.

    Args:
        manifest: A JSONL file.
        split: A JSON file whose `validation` lists the ids to keep.
        limit: At most so many items of each modality, spread evenly over the manifest.

    Raises:
        OmniError: The manifest or the split can't be read, files are missing, or nothing is left.
    """
    try:
        rows = read_manifest(manifest)
    except (OSError, ValueError, AttributeError) as error:
        raise OmniError(
            f"{manifest} can't be read as a manifest: {error}",
            hint="a manifest has one JSON object a line, with id, modality and file",
        ) from error
    items = [_item(row, folder=manifest.parent) for row in rows]
    if split is not None:
        wanted = _validation_ids(split)
        items = [item for item in items if item.id in wanted]
    items = _limited(items, limit)
    if not items:
        where = f" and in the split {split}" if split else ""
        raise OmniError(f"no item is in {manifest}{where}", hint="check that both belong together")
    missing = [item.path for item in items if not item.path.is_file()]
    if missing:
        raise OmniError(
            f"{len(missing)} of {len(items)} files of {manifest} are missing, such as {missing[0]}",
            hint="the media must lie where the manifest says, relative to the manifest's folder",
        )
    return items


def check_kinds(items: Sequence[ManifestItem]) -> None:
    """Look whether files hold what the manifest says; those that can't be decoded are passed over.

    An animation may be called an image or a video.

    Raises:
        OmniError: One holds something else.
    """
    wrong = [(item, held) for item in items if (held := _other_kind(item)) is not None]
    if wrong:
        item, held = wrong[0]
        raise OmniError(
            f"{len(wrong)} of {len(items)} items hold another kind than the manifest says, such as "
            f"{item.id}: {item.path} holds {held}, not {item.modality}",
            hint="put the modality or the file of the item right",
        )


def _other_kind(item: ManifestItem) -> Modality | None:
    """What the file of an item holds, if that isn't what the manifest says."""
    from omni_encoder.media import open_media, source_of

    try:
        # Pictures are told by their first bytes; of sounds and videos the streams decide.
        if item.modality is Modality.IMAGE and source_of(item.path).kind.modality is Modality.IMAGE:
            return None
        held = open_media(item.path, MediaLayout())[0].modality
    except MediaError:
        return None
    return None if held is item.modality else held


def _item(row: Mapping[str, object], *, folder: Path) -> ManifestItem:
    try:
        return ManifestItem(
            id=str(row["id"]),
            modality=Modality(str(row["modality"])),
            path=folder / str(row["file"]),
            captions=_captions(row.get("captions")),
            source=str(row.get("source") or NO_SOURCE),
            label=_optional(row.get("label")),
            pair_id=_optional(row.get("pair_id")),
            caption_kind=str(row.get("caption_kind") or NO_SOURCE),
        )
    except (KeyError, ValueError) as error:
        raise OmniError(
            f"a manifest item isn't complete: {error} in {str(dict(row))[:120]}",
            hint="every line needs id, modality (image, audio or video) and file",
        ) from error


def _captions(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError(f"captions must be a list, got {value!r}")
    entries = cast("list[object]", value)
    return tuple(caption for caption in entries if isinstance(caption, str) and caption.strip())


def _optional(value: object) -> str | None:
    return None if value is None or value == "" else str(value)


def _validation_ids(split: Path) -> set[str]:
    try:
        content: object = json.loads(split.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OmniError(f"{split} can't be read as a split: {error}") from error
    fields = cast("dict[str, object]", content) if isinstance(content, dict) else {}
    ids = fields.get("validation")
    if not isinstance(ids, list):
        raise OmniError(
            f"{split} is not a split",
            hint='a split is a JSON object with the ids to evaluate under "validation"',
        )
    return {str(entry) for entry in cast("list[object]", ids)}


def _limited(items: Sequence[ManifestItem], limit: int | None) -> list[ManifestItem]:
    if limit is None:
        return list(items)
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    kept: set[str] = set()
    for modality in Modality:
        ids = [item.id for item in items if item.modality is modality]
        count = min(limit, len(ids))
        kept.update(ids[i * len(ids) // count] for i in range(count))
    return [item for item in items if item.id in kept]
