"""`omnidex models`: the encoders that `--encoder` takes, and the sizes of the model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from . import render
from .options import JsonOption

_ALL_KINDS = ("text", "image", "audio", "video")
_CLIP_KINDS = ("text", "image", "video")


@dataclass(frozen=True, slots=True)
class _Model:
    """A name that `--encoder` takes; `file` is given where one certain file is meant."""

    name: str
    modalities: tuple[str, ...]
    note: str
    file: Path | None = None

    def as_json(self) -> dict[str, object]:
        there = self.file is not None and self.file.is_file()
        return {
            "name": self.name,
            "modalities": list(self.modalities),
            "note": self.note,
            "file": None if self.file is None else str(self.file),
            "bytes": self.file.stat().st_size if self.file is not None and there else None,
            "available": None if self.file is None else there,
        }


def models(
    open_clip: Annotated[
        bool,
        typer.Option("--open-clip", help="List open_clip's pretrained models too; takes seconds."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the encoders that `--encoder` takes, and the sizes of the model.

    Example:
    omnidex models --open-clip
    """
    from omni_encoder.shipped import shipped_checkpoint
    from omni_encoder.sizes import SIZES

    shipped = shipped_checkpoint()
    listed = [
        _Model("omni", _ALL_KINDS, "the default", shipped),
        _Model("omni:FILE", _ALL_KINDS, "a checkpoint that `omnidex train` wrote"),
        _Model("open_clip:MODEL/FILE", _CLIP_KINDS, "a .safetensors, .pt or .bin file"),
        _Model("open_clip:FILE", _CLIP_KINDS, "the same, with open_clip_config.json beside it"),
        _Model("open_clip:MODEL/TAG", _CLIP_KINDS, "listed by: omnidex models --open-clip"),
    ]
    if open_clip:
        from omni_encoder.clip_loading import list_pretrained

        listed[-1:] = [
            _Model(f"open_clip:{model}/{tag}", _CLIP_KINDS, "downloaded at first use")
            for model, tag in list_pretrained()
        ]
    if as_json:
        documents = [model.as_json() for model in listed]
        sizes = [
            {
                "name": size.name,
                "what": size.what,
                "parameters": size.parameters,
                "backbone": size.backbone,
                "heads": size.heads,
            }
            for size in SIZES.values()
        ]
        render.write_json({"schema": render.SCHEMA, "models": documents, "sizes": sizes})
        return
    columns = (
        render.Column("name"),
        render.Column("encodes", overflow="fold"),
        render.Column("what", overflow="ellipsis"),
    )
    render.table(columns, [[m.name, ", ".join(m.modalities), m.note] for m in listed])
    render.write("\n")
    columns = (
        render.Column("size"),
        *(render.Column(name, align="right") for name in ("parameters", "backbone", "code heads")),
        render.Column("what", overflow="ellipsis"),
    )
    rows = [
        [s.name, *(f"{n / 1e6:,.1f}M" for n in (s.parameters, s.backbone, s.heads)), s.what]
        for s in SIZES.values()
    ]
    render.table(columns, rows)
    if not shipped.is_file():
        render.note(f"The shipped checkpoint is missing: {shipped}")
