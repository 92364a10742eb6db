"""Commands that look at a collection and at the installation, and `omnidex rm`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import render
from .answers import record_json
from .coding import codes_state, codes_words
from .errors import FAILED
from .index_report import count_files, problem_json
from .options import CollectionOption, JsonOption, collection_directory, is_id, item_id
from .plain import counted
from .search_state import search_facts, search_json

if TYPE_CHECKING:
    from indexer import Collection, Record
    from indexer.types import Removal
    from omni_encoder.diagnosis import Finding, State


def status(
    problems: Annotated[
        bool, typer.Option("--problems", help="List the files that could not be indexed, and why.")
    ] = False,
    passed: Annotated[
        bool, typer.Option("--passed-over", help="List what is no media or was ignored, and why.")
    ] = False,
    as_json: JsonOption = False,
    collection: CollectionOption = None,
) -> None:
    """Say what a collection holds, and which files could not be indexed.

    Example:
    omnidex status --problems
    omnidex status --passed-over
    """
    from indexer import Collection

    with Collection.open(collection_directory(collection)) as opened:
        if passed:
            _list_passed(opened, as_json=as_json)
            return
        found = opened.problems()
        if as_json:
            document = _status_json(opened) | {"problem_count": len(found)}
            listed = {"problems": list(map(problem_json, found))} if problems else {}
            render.write_json(document | listed)
        elif problems:
            columns = (
                render.Column("reason"),
                render.Column("path", overflow="fold"),
                render.Column("what", overflow="fold"),
            )
            rows = [[p.reason, render.short_path(p.path), p.message] for p in found]
            render.table(columns, rows)
            if not found:
                render.note("No problems.")
        else:
            render.facts(_status_facts(opened, problems=len(found)))


def _list_passed(opened: "Collection", *, as_json: bool) -> None:
    from indexer import passed_over

    steps = passed_over(opened.directory)
    if as_json:
        listed = [{"path": str(step.path), "reason": step.why} for step in steps]
        render.write_json({"schema": render.SCHEMA, "collection": opened.place, "passed": listed})
        return
    columns = (render.Column("reason"), render.Column("path", overflow="fold"))
    render.table(columns, [[step.why, render.short_path(step.path)] for step in steps])
    if not steps:
        render.note("Nothing was passed over.")


def show(
    id: Annotated[
        str,
        typer.Argument(
            metavar="ID-or-FILE",
            help="An id, its first digits, or an indexed file.",
            show_default=False,
        ),
    ],
    as_json: JsonOption = False,
    collection: CollectionOption = None,
) -> None:
    """Print everything that is known of one item.

    Example:
    omnidex show 3f2a9c01be
    omnidex show ~/Pictures/cat.jpg
    """
    from indexer import Collection

    with Collection.open(collection_directory(collection)) as opened:
        record = opened.get(item_id(id, opened))
    if as_json:
        item = record_json(record) | {"bytes": record.bytes, "mtime": record.mtime}
        render.write_json({"schema": render.SCHEMA, "item": item})
    else:
        render.facts(_record_facts(record))


def rm(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH-or-ID", help="Files, folders, or ids of items.", show_default=False
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: JsonOption = False,
    collection: CollectionOption = None,
) -> None:
    """Remove files from the collection. The files themselves stay where they are.

    Asks first when there is somebody to ask.
    Indexing their folder again brings them back.

    Example:
    omnidex rm ~/Pictures/old 3f2a9c01be -y
    """
    from indexer import Collection

    with Collection.open(collection_directory(collection)) as opened:
        names = ", ".join(targets[:3]) + (", ..." if len(targets) > 3 else "")
        question = f"Remove {names} from {opened.place}? The files stay."
        if not yes and render.may_ask() and not render.confirm(question):
            render.note("Nothing was removed.")
            raise typer.Exit(FAILED)
        removal = opened.remove([_target(target) for target in targets])
        place = opened.place
    if as_json:
        render.write_json(
            {
                "schema": render.SCHEMA,
                "collection": place,
                "paths": [str(path) for path in removal.paths],
                "items_removed": removal.items,
                "copies": removal.copies,
            }
        )
        return
    render.write(_removed(removal))


def _removed(removal: "Removal") -> str:
    files = count_files(len(removal.paths))
    stay = "the files themselves stay.\n"
    if not removal.copies:
        return f"Removed {counted(removal.items, 'item')} of {files} from the collection; {stay}"
    if not removal.items:
        return f"Forgot {files} and removed no items: other files there hold the same; {stay}"
    shared = f"what {removal.copies} of them hold, others there hold too"
    return (
        f"Removed {counted(removal.items, 'item')} of {files} from the collection; {shared}; {stay}"
    )


def doctor(
    as_json: JsonOption = False,
    collection: CollectionOption = None,
) -> None:
    """Check the installation, the shipped checkpoint and the collection.

    Exits with 2 when something is broken. Needs no network.

    Example:
    omnidex doctor
    """
    from indexer.diagnosis import diagnose_faiss, installed_builds
    from omni_encoder.diagnosis import State, diagnose, package_versions

    findings = [
        *diagnose(),
        diagnose_faiss(installed_builds()),
        _collection_health(collection_directory(collection)),
    ]
    if as_json:
        render.write_json(
            {
                "schema": render.SCHEMA,
                "versions": package_versions(),
                "findings": [
                    {"name": f.name, "state": str(f.state), "detail": f.detail} for f in findings
                ],
            }
        )
    else:
        columns = (
            render.Column("state"),
            render.Column("what"),
            render.Column("seen", overflow="fold"),
        )
        render.table(columns, [[str(f.state), f.name, f.detail] for f in findings])
    if any(finding.state is State.FAILURE for finding in findings):
        raise typer.Exit(FAILED)


def _status_json(collection: "Collection") -> dict[str, object]:
    spec = collection.spec
    return {
        "schema": render.SCHEMA,
        "collection": collection.place,
        "encoder": {
            "name": spec.name,
            "fingerprint": spec.fingerprint,
            "dim": spec.dim,
            "modalities": [str(modality) for modality in spec.modalities],
        },
        "items": {str(modality): count for modality, count in collection.counts().items()},
        "search": search_json(collection.cache_report()),
        "codes": codes_state(collection),
        "bytes": _bytes_under(collection.directory),
    }


def _status_facts(collection: "Collection", *, problems: int) -> Sequence[tuple[str, str]]:
    spec = collection.spec
    counts = collection.counts()
    return [
        ("collection", collection.place),
        ("encoder", f"{spec.name} ({spec.fingerprint[:12]}, {spec.dim} dimensions)"),
        ("items", str(sum(counts.values()))),
        *((str(modality), str(count)) for modality, count in counts.items()),
        *search_facts(collection.cache_report()),
        ("codes", codes_words(collection)),
        ("size", render.size(_bytes_under(collection.directory))),
        ("problems", f"{problems}, listed by: omnidex status --problems" if problems else "none"),
    ]


def _record_facts(record: "Record") -> Sequence[tuple[str, str]]:
    shape = f"{record.width} x {record.height}" if record.width and record.height else ""
    return [
        ("id", record.id),
        ("kind", str(record.modality)),
        *(("path", str(path)) for path in record.paths),
        ("part", str(record.part) if record.part else ""),
        ("at", render.span_text(record.span)),
        ("type", record.mime),
        ("title", record.title or ""),
        ("caption", record.caption or ""),
        ("text", render.one_line(record.text or "")),
        ("pixels", shape),
        ("duration", render.clock(record.duration) if record.duration else ""),
        ("size", render.size(record.bytes) if record.bytes else ""),
    ]


def _target(text: str) -> Path | str:
    """What a name on the command line stands for: an id only if no such file is there."""
    return text if is_id(text) else Path(text)


def _bytes_under(directory: Path) -> int:
    return sum(path.lstat().st_size for path in directory.rglob("*") if path.is_file())


def _collection_health(directory: Path) -> "Finding":
    """Whether the collection can be searched, by the encoder that it names."""
    from indexer.manifest import MANIFEST_NAME
    from indexer.remote import shown
    from omni_encoder import OmniError
    from omni_encoder.diagnosis import Finding, State

    name = "collection"
    if not (directory / MANIFEST_NAME).exists():
        return Finding(
            name, State.OK, f"none in {shown(directory)} yet: omnidex index PATH makes it"
        )
    try:
        return Finding(name, *_searchable(directory))
    except OmniError as error:
        return Finding(name, State.FAILURE, f"{error.message} {error.hint}".strip())
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        return Finding(name, State.FAILURE, f"{shown(directory)}: {type(error).__name__}: {error}")


def _searchable(directory: Path) -> tuple["State", str]:
    """How a collection is: its rows are read, searched and counted, and its encoder is loaded."""
    import numpy as np

    from indexer import Collection
    from indexer.maintenance import verify
    from omni_encoder import load_encoder
    from omni_encoder.diagnosis import State

    with Collection.open(directory) as opened:
        items, problems = sum(opened.counts().values()), len(opened.problems())
        seen = f"{opened.place}: {counted(items, 'item')}, {counted(problems, 'problem')}"
        verify(opened)
        found = opened.nearest(np.ones(opened.spec.dim, np.float32), k=items + 1)
        opened.records(found.rows[:1])
        if not len(found.rows) and items:
            return State.FAILURE, f"{seen}, but no vector; index the folders again"
        if not np.isfinite(found.scores).all():
            return State.FAILURE, f"{seen}, but vectors that are damaged; index into a new one"
        name = opened.spec.name
        if not _is_here(name):
            return State.OK, f"{seen}; {name} was not loaded, which may need the network"
        opened.check_encoder(load_encoder(name).spec)
        if len(found.rows) != items:
            return State.WARNING, f"{seen}, but {len(found.rows)} vectors; index the folders again"
        return State.OK, f"{seen}, searchable by {name}"


def _is_here(encoder: str) -> bool:
    """Whether an encoder can be loaded without a network: a tag of open_clip is downloaded."""
    family, _, rest = encoder.partition(":")
    return family != "open_clip" or Path(rest).is_file() or Path(rest.partition("/")[2]).is_file()
